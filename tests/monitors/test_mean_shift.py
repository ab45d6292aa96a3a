from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from monitors.drift.mean_shift import (
    MeanShiftBaseline,
    MeanShiftParams,
    calls,
    fit,
    lowest_limit,
)
from monitors.drift.mean_shift_evaluation import LOOK_BACK, evaluate, evaluate_days
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Outcome
from monitors.statistics.e_detector import fair_price, payoff
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Bools, Floats
from tests.monitors.streams import ar1, day, days, grid, plant

N_REFERENCE, N_DAYS, MOVED = 200, 300, 260
PROMISES = [30.0, 90.0, 417.0]


@pytest.fixture(scope="module")
def stream() -> Floats:
    return plant(N_DAYS)


@pytest.fixture(scope="module")
def baseline(stream: Floats) -> MeanShiftBaseline:
    return learnt(stream)


def learnt(
    values: Floats, promised: float = 90.0, n_reference: int = N_REFERENCE
) -> MeanShiftBaseline:
    params = MeanShiftParams(days_between_false_alarms=promised)
    baseline = fit(grid(values[: n_reference * HOURS]), params)
    assert isinstance(baseline, MeanShiftBaseline)
    return baseline


def moved(values: Floats, by: float, sensor: int = 2, start: int = MOVED) -> Floats:
    """Shift one sensor for good, by so many of its standard deviations."""
    out = values.copy()
    out[start * HOURS :, sensor] += by * values[: N_REFERENCE * HOURS, sensor].std()
    return out


def test_an_unchanged_stream_is_ok(stream: Floats, baseline: MeanShiftBaseline) -> None:
    found = evaluate(baseline, grid(stream), day(280))
    assert (found.outcome, found.cause, found.detail.since) == (Outcome.OK, "", None)
    assert found.window.end - found.window.start == timedelta(days=1)


@pytest.mark.parametrize(
    ("by", "direction", "words"),
    [
        pytest.param(2.0, "up", "f2: mean shifted up by +", id="up"),
        pytest.param(-2.0, "down", "f2: mean shifted down by -", id="down"),
    ],
)
def test_a_level_that_moved_is_named_with_its_way_and_its_day(
    stream: Floats, baseline: MeanShiftBaseline, by: float, direction: str, words: str
) -> None:
    found = evaluate(baseline, grid(moved(stream, by)), day(MOVED + 16))
    assert found.outcome is Outcome.BREACH
    assert found.cause.startswith(words)
    detail = found.detail.to_json()
    assert (detail["top"], detail["direction"]) == ("f2", direction)
    # A start is evaluated to be where the evidence is best; four days around it are as good.
    start = day(MOVED - 4).isoformat(), day(MOVED + 4).isoformat()
    assert start[0] <= str(detail["since"]) <= start[1]
    assert detail["effect"] == pytest.approx(by, abs=0.5)
    sd = stream[: N_REFERENCE * HOURS, 2].std()
    assert detail["change"] == pytest.approx(by * sd, abs=0.5 * sd)


def test_an_evaluation_depends_on_the_days_before_it_and_on_no_other_evaluation(
    stream: Floats, baseline: MeanShiftBaseline
) -> None:
    hours = grid(moved(stream, 2.0))
    evaluations = evaluate_days(baseline, hours)
    for at in range(MOVED - 10, MOVED + 30, 3):
        end = day(at)
        alone = evaluate(baseline, days(hours, at - LOOK_BACK.days, at), end)
        assert alone == evaluate(baseline, hours, end)
        place = at - 1 - (evaluations.first_day - hours.first // HOURS)
        assert alone.value == pytest.approx(evaluations.joint[place])


def test_a_move_smaller_than_the_least_that_matters_never_calls(stream: Floats) -> None:
    still = ar1(0.0, (N_DAYS * HOURS, 1), 3)
    for least, outcome in ((0.25, Outcome.OK), (0.0, Outcome.BREACH)):
        params = MeanShiftParams(min_effect=least)
        baseline = fit(grid(still[: N_REFERENCE * HOURS]), params)
        found = evaluate(baseline, grid(moved(still, 0.15, sensor=0)), day(N_DAYS))
        assert found.outcome is outcome


def test_what_a_version_has_learnt_is_no_evidence_against_it(stream: Floats) -> None:
    values = moved(stream, 2.0)
    before, after = learnt(values), learnt(values, n_reference=MOVED + 12)
    hours, end = grid(values), day(MOVED + 16)
    assert evaluate(before, hours, end).outcome is Outcome.BREACH
    assert evaluate(after, hours, end).outcome is Outcome.OK


def test_sensors_twice_as_lively_have_not_moved() -> None:
    n_calls = 0
    for values in ar1(0.5, (600 * HOURS, 8), 5).T[:, :, None]:
        lively = np.concatenate([values[: 240 * HOURS], 2.0 * values[240 * HOURS :]])
        baseline = learnt(lively, n_reference=240)
        evaluations = evaluate_days(baseline, grid(lively))
        n_calls += calls(evaluations.joint[240:] > baseline.alarm_threshold.value)
    # The weeks that measure the liveliness lag behind it: twice the promised rate, and no more.
    assert n_calls <= 2 * 8 * 360 / 90


def test_a_level_that_follows_the_year_does_not_call() -> None:
    n = 600
    year = np.sin(2 * np.pi * np.arange(n * HOURS) / (365 * HOURS))[:, None]
    values = ar1(0.9, (n * HOURS, 1), 8) + year
    baseline = learnt(values, n_reference=240)
    evaluations = evaluate_days(baseline, grid(values))
    assert (
        calls(evaluations.joint[240:] > baseline.alarm_threshold.value) <= 4
    )  # promised: 360 / 90


def test_evidence_ends_when_the_new_level_is_the_baseline(
    stream: Floats, baseline: MeanShiftBaseline
) -> None:
    values = moved(np.concatenate([stream, plant(200, seed=9)]), 2.0)
    breach = evaluate_days(baseline, grid(values)).joint > baseline.alarm_threshold.value
    assert breach[MOVED + 16]
    assert breach[MOVED + 100 : MOVED + 200].mean() <= 7 / 90  # one week in the promised days


def test_the_bets_pay_one_on_the_days_that_priced_them_or_less() -> None:
    quiet = np.random.default_rng(2).standard_t(3, (400, 2))
    quiet[::7, 1] = np.nan
    price = fair_price(quiet)
    paid = np.exp(payoff(quiet, price))
    for stream in range(2):
        known = np.isfinite(quiet[:, stream])
        assert (paid[known, stream].mean(axis=0) <= 1.0 + 1e-12).all()
        assert (paid[~known, stream] == 1.0).all()


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        pytest.param(200, 215, "shorter than a window", id="it stopped"),
        pytest.param(220, 220, "shorter than a window", id="nothing at all"),
        pytest.param(210, 220, "fewer than 14 of the 56 days", id="it has just begun"),
    ],
)
def test_without_days_there_is_no_data(
    stream: Floats, baseline: MeanShiftBaseline, start: int, end: int, reason: str
) -> None:
    found = evaluate(baseline, days(grid(stream), start, end), day(220))
    assert found.outcome is Outcome.NO_DATA
    assert reason in found.cause


def test_an_empty_day_is_no_data(stream: Floats, baseline: MeanShiftBaseline) -> None:
    gone = stream.copy()
    gone[219 * HOURS :] = np.nan
    found = evaluate(baseline, grid(gone), day(220))
    assert found.outcome is Outcome.NO_DATA
    assert "fewer than half" in found.cause


def test_a_short_reference_is_warming_up(stream: Floats) -> None:
    warming_up = fit(grid(stream[: 130 * HOURS]), MeanShiftParams())
    assert warming_up == WarmingUp(n_windows=18, window_days=7)
    assert evaluate(warming_up, grid(stream), day(220)).cause == str(warming_up)


def test_the_threshold_states_what_backs_it(baseline: MeanShiftBaseline) -> None:
    backed = baseline.alarm_threshold
    assert (backed.promised_days, backed.extrapolated) == (90.0, False)
    assert 180 <= backed.replayed_days <= N_REFERENCE
    assert backed.replayed_episodes <= 4  # nine references in ten show no more


@pytest.mark.parametrize(
    ("most", "limit"),
    [
        pytest.param(0, 9.0, id="no call is allowed"),
        pytest.param(1, 6.0, id="one call"),
        pytest.param(2, 4.0, id="two calls, of which one goes on"),
        pytest.param(9, 0.0, id="as many as there are"),
    ],
)
def test_the_limit_rises_until_the_reference_calls_no_more_than_chance(
    most: int, limit: float
) -> None:
    evidence = np.zeros(60)
    evidence[[5, 6, 20, 40, 50]] = [9.0, 8.0, 6.0, 4.0, np.nan]
    assert lowest_limit(evidence, most) == limit


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param({"days_between_false_alarms": 0.0}, "must be positive", id="no promise"),
        pytest.param({"min_effect": -0.1}, "not be negative", id="less than nothing"),
    ],
)
def test_impossible_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MeanShiftParams(**params)


def watched(promised: float, step: float, n_streams: int = 40) -> tuple[list[Bools], list[int]]:
    """Watch noise of memory .9: breaches of a thousand quiet days, delays after a step."""
    reference, lead, live = 730, 35, 1000
    noise = ar1(0.9, ((reference + lead + live) * HOURS, n_streams), 61)
    start = reference + lead
    breaches, delays = [], []
    for quiet in noise.T[:, :, None]:
        baseline = learnt(quiet, promised, n_reference=reference)
        later = quiet.copy()
        later[start * HOURS :] += step
        found = []
        for values in (quiet, later):
            # As in the benchmark, nothing of the reference is seen again.
            part = grid(values[reference * HOURS :], first_day=reference)
            evaluations = evaluate_days(replace(baseline, learnt_until=0), part)
            found.append(evaluations.joint[lead:] > baseline.alarm_threshold.value)
        breaches.append(found[0])
        delays.append(int(found[1].argmax()) + 1 if found[1].any() else live)
    return breaches, delays


def achieved(breaches: list[Bools], promised: float) -> tuple[float, float]:
    """Return achieved over promised days, and two standard errors over streams, as shares."""
    counts = np.array([calls(one) for one in breaches])
    if not counts.any():
        return np.inf, 0.0
    share = counts.std(ddof=1) / np.sqrt(len(counts)) / counts.mean()
    return sum(map(len, breaches)) / counts.sum() / promised, 2.0 * float(share)


@pytest.mark.slow
@pytest.mark.parametrize("promised", PROMISES)
def test_the_promise_is_kept_on_noise_with_memory(promised: float) -> None:
    breaches, delays = watched(promised, 0.5)
    ratio, error = achieved(breaches, promised)
    assert ratio * (1 + error) >= 0.8
    assert ratio * (1 - error) <= 1.5
    if promised == 90.0:
        assert np.median(delays) * HOURS <= 624  # who knows all needs 336
    for baseline in (np.ones_like, np.zeros_like):  # who always calls, and who never does
        other, _ = achieved([baseline(one) for one in breaches], promised)
        assert not 0.8 <= other <= 1.5
