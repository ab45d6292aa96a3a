import math
from datetime import timedelta

import numpy as np
import pytest

from core.durations import DAY, HOUR
from monitors.drift.input_drift import conformal_p, evaluate, evaluate_days
from monitors.drift.input_drift_baseline import InputDriftBaseline, InputDriftParams, fit
from monitors.false_alarms.threshold import episodes
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Outcome
from monitors.statistics.seasonality import difference, find_period, window_moments
from monitors.summaries.summary import Floats
from tests.monitors.streams import ar1, day, days, etth1, grid, plant

QUICK = InputDriftParams(window=3 * DAY, days_between_false_alarms=90.0)


def learned(mean: Floats, params: InputDriftParams = QUICK) -> InputDriftBaseline:
    baseline = fit(grid(mean), params)
    assert isinstance(baseline, InputDriftBaseline)
    return baseline


@pytest.fixture(scope="module")
def stream() -> Floats:
    return plant(260)


@pytest.fixture(scope="module")
def baseline(stream: Floats) -> InputDriftBaseline:
    return learned(stream[: 200 * 24])


def test_an_unchanged_stream_is_ok(stream: Floats, baseline: InputDriftBaseline) -> None:
    found = evaluate(baseline, days(grid(stream), 190, 211), day(211))
    assert (found.outcome, found.cause) == (Outcome.OK, "")
    assert found.window.end - found.window.start == timedelta(days=3)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        pytest.param(lambda x: x * 1.8, "f2", id="scaled"),
        pytest.param(lambda x: x + 12, "f2", id="shifted"),
    ],
)
def test_a_change_names_its_feature_and_since_when(
    stream: Floats, baseline: InputDriftBaseline, change: object, name: str
) -> None:
    assert callable(change)
    moved = stream.copy()
    moved[220 * 24 :, 2] = change(moved[220 * 24 :, 2])
    found = evaluate(baseline, days(grid(moved), 203, 224), day(224))
    assert found.outcome is Outcome.BREACH
    assert found.detail.top == name
    assert found.detail.moved == (name,)
    assert name in found.cause
    assert found.detail.since is not None
    assert day(220) <= found.detail.since <= day(222)


def test_all_that_moved_is_named_and_nothing_while_it_is_quiet(
    stream: Floats, baseline: InputDriftBaseline
) -> None:
    assert evaluate(baseline, days(grid(stream), 203, 224), day(224)).detail.moved == ()
    changed = stream.copy()
    changed[221 * 24 :, [1, 4]] += [12, 12]
    found = evaluate(baseline, days(grid(changed), 203, 224), day(224))
    assert found.detail.moved == ("f1", "f4")


def test_a_season_is_found_and_can_be_overridden() -> None:
    hour = np.arange(24 * 7 * 30)
    weekly = np.sin(2 * np.pi * hour / 24) + (hour % 168 < 120)
    assert find_period(weekly[:, None]) == 168
    assert find_period(ar1(0.9, (5000, 4), 3)) == 24
    assert learned(plant(90), InputDriftParams(window=3 * DAY, season=48 * HOUR)).period == 48


def test_a_short_reference_is_warming_up() -> None:
    found = fit(grid(plant(40)), InputDriftParams(window=3 * DAY, season=24 * HOUR))
    assert found == WarmingUp(n_windows=12, window_days=3)
    finding = evaluate(found, grid(plant(20)), day(20))
    assert finding.outcome is Outcome.NO_DATA
    assert finding.cause == "warming up: 12 of 19 windows of 3 days"


@pytest.mark.parametrize(
    ("start", "end", "as_of", "reason"),
    [
        pytest.param(205, 211, 211, "shorter than a window", id="too short"),
        pytest.param(190, 205, 211, "shorter than a window", id="it stopped"),
        pytest.param(211, 211, 211, "shorter than a window", id="nothing at all"),
    ],
)
def test_without_a_window_there_is_no_data(
    stream: Floats, baseline: InputDriftBaseline, start: int, end: int, as_of: int, reason: str
) -> None:
    found = evaluate(baseline, days(grid(stream), start, end), day(as_of))
    assert found.outcome is Outcome.NO_DATA
    assert reason in found.cause


def test_an_empty_window_is_no_data(stream: Floats, baseline: InputDriftBaseline) -> None:
    gone = stream.copy()
    gone[208 * 24 : 211 * 24] = math.nan
    found = evaluate(baseline, days(grid(gone), 190, 211), day(211))
    assert found.outcome is Outcome.NO_DATA


def test_a_feature_without_values_does_not_silence_the_others(
    stream: Floats, baseline: InputDriftBaseline
) -> None:
    gone = stream.copy()
    gone[190 * 24 :, 0] = math.nan
    gone[220 * 24 :, 2] *= 1.8
    found = evaluate(baseline, days(grid(gone), 203, 224), day(224))
    assert found.outcome is Outcome.BREACH
    assert found.detail.top == "f2"


def test_a_sure_but_small_change_is_no_alarm() -> None:
    still = np.random.default_rng(4).normal(size=(24 * 120, 1))
    baseline = learned(still[: 24 * 90], QUICK)
    moved = still.copy()
    moved[24 * 100 :] += 0.2
    found = evaluate(baseline, days(grid(moved), 85, 104), day(104))
    assert found.outcome is Outcome.OK


def test_the_hour_of_the_evaluation_changes_nothing(
    stream: Floats, baseline: InputDriftBaseline
) -> None:
    at_midnight = evaluate(baseline, days(grid(stream), 190, 211), day(211))
    later = evaluate(baseline, grid(stream), day(211) + timedelta(hours=5))
    assert later.value == pytest.approx(at_midnight.value)


def test_a_stream_that_starts_within_a_day_is_cut_at_midnight() -> None:
    stream = plant(100)
    shifted = fit(days(grid(stream), 0, 100).until(10**9, 24 * 99 + 7), QUICK)
    plain = fit(days(grid(stream), 1, 100), QUICK)
    assert isinstance(shifted, InputDriftBaseline)
    assert isinstance(plain, InputDriftBaseline)
    assert shifted.last_day == plain.last_day
    np.testing.assert_allclose(shifted.mean, plain.mean)


def test_window_moments_agree_with_numpy() -> None:
    values = np.random.default_rng(5).normal(1e6, 1, size=(24 * 10 + 5, 2))
    mean, sd = window_moments(difference(values, 0 + 24), 72, 24)
    last = difference(values, 24)[24 * 6 : 24 * 9]
    np.testing.assert_allclose(mean[-1], last.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(sd[-1], last.std(axis=0), rtol=1e-9)


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_the_p_value_holds_its_size(phi: float) -> None:
    """300 streams, nominal 5 %: 0.05 + 3 standard errors (0.0126) is 0.088."""
    n_streams, n_days = 300, 66
    params = InputDriftParams(window=3 * DAY, season=24 * HOUR, min_effect=0.0)
    rejected = 0
    for seed in range(n_streams):
        series = ar1(phi, (n_days * 24, 2), seed)
        baseline = learned(series[: -4 * 24], params)
        evaluations = evaluate_days(baseline, days(grid(series), n_days - 4, n_days))
        rejected += conformal_p(baseline, evaluations) <= 0.05
    assert 0.012 <= rejected / n_streams <= 0.088


@pytest.mark.parametrize("phi", [0.5, 0.9, 0.97])
def test_false_alarms_are_no_more_frequent_than_promised(phi: float) -> None:
    """40 streams of 100 days, one in 30 promised: 133 expected, 133 + 3 sqrt is 168."""
    params = InputDriftParams(window=7 * DAY, days_between_false_alarms=30.0, min_effect=0.0)
    n_alarms = 0
    for seed in range(40):
        series = ar1(phi, (300 * 24, 5), 1000 + seed)
        baseline = learned(series[: 200 * 24], params)
        joint = evaluate_days(baseline, days(grid(series), 186, 300)).joint
        n_alarms += episodes(joint > baseline.alarm_threshold.value, 7)
    assert 13 <= n_alarms <= 168  # never firing would also keep the promised rate


def test_weeks_of_etth1_are_alike_for_the_monitor() -> None:
    """Leave one week out of the first 480 days: about 5 % of weeks at p <= 0.05."""
    series = etth1()
    rejected = []
    for week in range(4, 64):
        apart = np.concatenate([series[: (week - 1) * 168], series[(week + 1) * 168 :]])
        baseline = learned(apart, InputDriftParams())
        evaluations = evaluate_days(baseline, days(grid(series), week * 7 - 7, week * 7 + 7))
        rejected.append(conformal_p(baseline, evaluations) <= 0.05)
    assert 0.0 < np.mean(rejected) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(rejected))


def test_always_and_never_firing_are_distinguished_from_keeping_the_promise() -> None:
    series = etth1()
    baseline = learned(series[: 320 * 24], InputDriftParams())
    joint = evaluate_days(baseline, days(grid(series), 306, 480)).joint
    kept = episodes(joint > baseline.alarm_threshold.value, 7)
    assert 0 < baseline.alarm_threshold.value < math.inf
    assert kept <= 5  # 160 days at one in 90: 1.8 expected, 1.8 + 2 sqrt is 4.5
    assert (joint > -1.0).sum() > 30 * max(kept, 1)  # always firing
