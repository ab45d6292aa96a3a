"""Residuals: a bias, a memory, a tail that the size of errors does not show."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.durations import DAY
from core.errors import Unprocessable
from monitors.false_alarms.threshold import episodes
from monitors.finding import Finding, Outcome
from monitors.performance.residuals import ResidualParams, evaluate
from monitors.registry import parse
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats
from tasks.residual_sums import CENTRED, RESIDUALS, N, sums
from tests.monitors.errors import cells, error_days, forecast_errors, quiet_errors
from tests.monitors.streams import ett

PARAMS = ResidualParams(window=3 * DAY)
FAR = slice(16, 24)  # the steps of the last part
N_DAYS, CHANGED = 104, 100


def evaluated(errors: Floats, params: ResidualParams = PARAMS) -> Finding:
    return evaluate(error_days(cells(errors)), params)


def changed(change: Callable[[Floats], Floats], seed: int = 1) -> Floats:
    """Change two targets' errors from a day on: one part of the first target."""
    errors = quiet_errors(N_DAYS, seed, n_targets=2)
    late = errors[CHANGED * HOURS :, FAR, 0]
    errors[CHANGED * HOURS :, FAR, 0] = change(late)
    return errors


def daily(late: Floats) -> Floats:
    hour = np.arange(len(late))[:, np.newaxis]
    return 0.5 * late + 0.6 * np.sin(2 * np.pi * hour / HOURS)  # no larger than before


def far_off(late: Floats) -> Floats:
    is_hit = np.random.default_rng(7).random(len(late)) < 0.05
    return np.where(is_hit[:, np.newaxis], 8 * late, late)


def test_it_learns_until_it_has_19_windows_of_its_own() -> None:
    of_days = cells(quiet_errors(70, seed=3))
    found = [evaluate(error_days(of_days[:end]), PARAMS) for end in range(1, 71)]
    warming_up = [finding.cause for finding in found if finding.outcome is Outcome.NO_DATA]
    assert warming_up[0] == "warming up: 0 of 19 windows of 3 days"
    assert warming_up[-1] == "warming up: 18 of 19 windows of 3 days"
    # 57 evaluations a day apart, the two days that the first window begins with, and the three
    # of the window on trial, which is compared with what was before it; less the first verdict.
    assert len(warming_up) == 57 + 2 + 3 - 1
    assert found[len(warming_up)].outcome is Outcome.OK
    assert Outcome.NO_DATA not in {finding.outcome for finding in found[len(warming_up) :]}


@pytest.mark.parametrize(
    ("change", "view", "words"),
    [
        pytest.param(lambda late: late + 1.5, "bias", "SD too high", id="too high"),
        pytest.param(lambda late: late - 1.5, "bias", "SD too low", id="too low"),
        pytest.param(
            lambda late: 2.5 * late, "spread", "as widely as in the baseline", id="wider"
        ),
        pytest.param(far_off, "spread", "", id="now and then far off"),
        pytest.param(daily, "memory", "have errors correlated after 24 h", id="each day"),
    ],
)
def test_what_goes_wrong_at_one_horizon_is_named(
    change: Callable[[Floats], Floats], view: str, words: str
) -> None:
    before, after = evaluated(changed(lambda late: late)), evaluated(changed(change))
    assert before.outcome is Outcome.OK
    assert before.detail.since is None
    assert after.outcome is Outcome.BREACH
    assert after.cause.startswith("forecasts of t0 17 to 24 steps ahead ")
    assert words in after.cause
    assert (after.detail.top, after.detail.to_json()["view"]) == ("t0+17..24", view)
    assert after.detail.since is not None


def test_the_bias_is_reported_beside_its_baseline() -> None:
    parts: Any = evaluated(changed(lambda late: late + 0.8)).detail.to_json()["parts"]
    found = parts["t0+17..24"]
    assert found["now"]["bias"] == pytest.approx(0.8, abs=0.4)
    assert found["baseline"]["bias"] == pytest.approx(0.0, abs=0.2)


def test_errors_that_shrink_are_no_breach() -> None:
    assert evaluated(changed(lambda late: 0.1 * late)).outcome is Outcome.OK


def test_errors_that_overlap_are_no_memory() -> None:
    """Forecasts 24 steps ahead share 23 shocks with those of the hour before."""
    parts: Any = evaluated(quiet_errors(N_DAYS, seed=5)).detail.to_json()["parts"]
    found = parts["t0+17..24"]
    assert found["now"]["repeats"] is None  # the day is the first lag: `season` holds it
    assert found["baseline"]["season"] < 0.1  # one hour apart it is .9


def test_days_with_too_few_labels_are_no_data() -> None:
    errors = changed(lambda late: late + 0.8)
    errors[CHANGED * HOURS :: 2] = math.nan
    found = evaluated(errors)
    assert found.outcome is Outcome.NO_DATA
    assert found.cause == "fewer than 80% of the labels are in"
    errors[: CHANGED * HOURS : 2] = math.nan
    assert evaluated(errors).cause == "warming up: 0 of 19 windows of 3 days"


def test_the_reference_ends_before_what_lasts_and_does_not_outgrow_its_length() -> None:
    params = ResidualParams(window=3 * DAY, reference=60 * DAY)
    reference: Any = evaluated(quiet_errors(100, seed=4), params).detail.to_json()["reference"]
    assert (reference["start"], reference["end"]) == (
        "2016-07-18T00:00:00Z",
        "2016-09-16T00:00:00Z",
    )
    early: Any = evaluated(quiet_errors(63, seed=4), params).detail.to_json()["reference"]
    assert early["end"] == "2016-09-15T00:00:00Z"  # 19 windows
    young = replace(params, reference=365 * DAY)
    grows: Any = evaluated(quiet_errors(100, seed=4), young).detail.to_json()["reference"]
    assert grows["end"] == "2016-09-25T00:00:00Z"  # 28 days before the window


def test_what_goes_on_is_breach_until_it_has_lasted_four_weeks() -> None:
    bias = quiet_errors(150, seed=5)
    bias[100 * HOURS :] += 0.8
    params = ResidualParams(window=3 * DAY)
    outcomes = [
        evaluate(error_days(cells(bias[: end * HOURS])), params).outcome
        for end in range(103, 151)
    ]
    assert set(outcomes[:27]) == {Outcome.BREACH}
    assert outcomes[-1] is Outcome.OK


def test_the_sums_of_two_sets_of_forecasts_add_up_and_their_order_does_not_matter() -> None:
    errors = quiet_errors(1, seed=6, n_targets=2)
    errors[3, 5:] = math.nan
    due, hours = np.isfinite(errors) | (np.arange(HOURS) < 12)[:, None, None], np.arange(HOURS)
    whole = sums(errors, due, hours)
    parts = [sums(errors[part], due[part], hours[part]) for part in (np.s_[::2], np.s_[1::2])]
    added = np.delete(parts[0] + parts[1], CENTRED, axis=1)
    assert added == pytest.approx(np.delete(whole, CENTRED, axis=1))
    assert sums(errors[::-1], due[::-1], hours[::-1]) == pytest.approx(whole)
    assert RESIDUALS.from_bytes(RESIDUALS.to_bytes(whole)) == pytest.approx(whole, rel=1e-6)
    assert whole[:, N].sum() == np.isfinite(errors).sum()


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"reference": "P100D"}, id="20 windows do not fit"),
        pytest.param({"window": "PT0S"}, id="no window"),
        pytest.param({"min_coverage": 0.0}, id="no label needed"),
        pytest.param({"days_between_false_alarms": 0}, id="no promise"),
    ],
)
def test_impossible_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(Unprocessable, match="residuals: "):
        parse("residuals", params)


def alarms(of_days: Floats, params: ResidualParams) -> tuple[int, int]:
    """Evaluate every day; return how many had a verdict, and how many episodes there were."""
    found = [evaluate(error_days(of_days[:end]), params) for end in range(1, len(of_days) + 1)]
    breaches = np.array([finding.outcome is Outcome.BREACH for finding in found])
    verdicts = sum(finding.outcome is not Outcome.NO_DATA for finding in found)
    return verdicts, episodes(breaches, params.window_days)


@pytest.mark.slow
def test_false_alarms_are_no_more_frequent_than_promised() -> None:
    """12 streams of 200 days with a promise of one in 30; three sigma of a Poisson count."""
    params = ResidualParams(window=2 * DAY, days_between_false_alarms=30.0, reference=120 * DAY)
    found = [alarms(cells(quiet_errors(200, seed=7_000 + i)), params) for i in range(12)]
    n_days, n_alarms = np.sum(found, axis=0)
    expected = n_days / 30.0
    assert n_days == 12 * (200 - 40)
    assert 3 <= n_alarms <= expected + 3 * math.sqrt(expected)  # never firing keeps it too


@pytest.mark.slow
def test_forecasts_of_etth2_call_about_as_seldom_as_promised() -> None:
    """Two years of a real plant, nothing of which was used to choose a constant."""
    n_days, n_alarms = alarms(cells(forecast_errors(ett("ETTh2"))), ResidualParams())
    expected = n_days / 90.0
    assert n_days > 500
    assert 1 <= n_alarms <= expected + 3 * math.sqrt(expected)


@pytest.mark.slow
def test_a_bias_of_half_a_deviation_one_step_ahead_is_found_within_two_weeks() -> None:
    """Three targets of ETTh2, five times each; who always calls, or never, fails."""
    errors = forecast_errors(ett("ETTh2"))
    n_quiet, n_found = 0, 0
    for target in (0, 3, 6):
        for start in range(150, 500, 70):
            until = (start + 14) * HOURS
            biased = errors[:until].copy()
            biased[start * HOURS :, 0, target] += 0.5
            n_quiet += is_called(errors[:until], start, target)
            n_found += is_called(biased, start, target)
    chance = 15 * 14 / 90  # one call in 90 days, whichever target it names
    assert n_quiet <= chance + 3 * math.sqrt(chance)
    assert n_found >= 12


def is_called(errors: Floats, start: int, target: int) -> bool:
    of_days = cells(errors)
    found = [
        evaluate(error_days(of_days[:end]), ResidualParams())
        for end in range(start + 1, start + 15)
    ]
    return any(
        one.outcome is Outcome.BREACH and str(one.detail.top).startswith(f"t{target}+")
        for one in found
    )
