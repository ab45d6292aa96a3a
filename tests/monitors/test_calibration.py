"""Calibration: whether events are as frequent as their predicted probabilities."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.durations import DAY
from core.errors import Unprocessable
from monitors.false_alarms.threshold import episodes
from monitors.finding import Finding, Outcome
from monitors.performance.calibration import CalibrationParams, evaluate
from monitors.performance.reliability import overall, squared_error, sureness, table
from monitors.registry import parse
from monitors.summaries.summary import Floats
from tasks.calibration_sums import (
    BINS,
    CALIBRATION,
    EXPECTED,
    OBSERVED,
    PREDICTED,
    N,
    sums,
)
from tests.monitors.probabilities import (
    cells,
    claim_days,
    sessions,
    sharpened,
    shifted,
)

PARAMS = CalibrationParams(window=3 * DAY)
N_DAYS, CHANGED = 104, 100


def evaluated(
    predicted: Floats, observed: Floats, params: CalibrationParams = PARAMS
) -> Finding:
    return evaluate(claim_days(cells(predicted, observed)), params)


def changed(change: Callable[[Floats], Floats], seed: int = 1) -> tuple[Floats, Floats]:
    predicted, observed = sessions(N_DAYS, seed)
    predicted[CHANGED:] = change(predicted[CHANGED:])
    return predicted, observed


def test_it_learns_until_it_has_19_windows_of_its_own() -> None:
    of_days = cells(*sessions(70, seed=3))
    found = [evaluate(claim_days(of_days[:end]), PARAMS) for end in range(1, 71)]
    warming_up = [finding.cause for finding in found if finding.outcome is Outcome.NO_DATA]
    assert warming_up[0] == "warming up: 0 of 19 windows of 3 days"
    assert warming_up[-1] == "warming up: 18 of 19 windows of 3 days"
    assert len(warming_up) == 57 + 2 + 3 - 1  # as of `residual`
    assert Outcome.NO_DATA not in {finding.outcome for finding in found[len(warming_up) :]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(sharpened, " is predicted overconfidently, at 0.", id="over-confident"),
        pytest.param(shifted, "class 'walk' is predicted at 0.", id="one class"),
    ],
)
def test_what_no_longer_holds_is_reported_in_words(
    change: Callable[[Floats], Floats], words: str
) -> None:
    before, after = evaluated(*changed(lambda late: late)), evaluated(*changed(change))
    assert before.outcome is Outcome.OK
    assert before.detail.since is None
    assert after.outcome is Outcome.BREACH
    assert words in after.cause
    assert " and observed at 0." in after.cause
    assert after.detail.since is not None


def test_the_finding_holds_the_reliability_of_the_class_that_moved_most() -> None:
    predicted, observed = changed(shifted)
    detail: Any = evaluated(predicted, observed).detail.to_json()
    assert detail["top"] == "class walk"
    assert {name: bool(one["bins"]) for name, one in detail["classes"].items()} == {
        "walk": True,
        "sit": False,
        "stand": False,
    }
    walk = detail["classes"]["walk"]
    assert sum(each["n"] for each in walk["bins"]) == 3 * predicted.shape[1]
    assert walk["predicted"] == pytest.approx(predicted[-3:, :, 0].mean())
    assert walk["observed"] == pytest.approx(observed[-3:, :, 0].mean())
    assert walk["now"]["bias"] == pytest.approx(walk["predicted"] - walk["observed"])


def test_one_that_was_never_calibrated_is_no_breach() -> None:
    predicted, observed = sessions(N_DAYS, seed=1)
    found = evaluated(sharpened(predicted), observed)
    baseline: Any = found.detail.to_json()["classes"]
    assert found.outcome is Outcome.OK
    assert min(one["baseline"]["sureness"] for one in baseline.values()) > 0.05


def test_windows_with_too_few_labels_or_probabilities_are_no_data() -> None:
    predicted, observed = changed(shifted)
    lost = observed.copy()
    lost[CHANGED:, ::2] = math.nan
    assert evaluated(predicted, lost).cause == "fewer than 80% of the labels are in"
    predicted[CHANGED:, ::2] = 7.0  # a logit is no probability
    assert evaluated(predicted, observed).outcome is Outcome.NO_DATA


def test_what_is_no_probability_is_expected_and_not_counted() -> None:
    predicted = np.array([0.5, -0.5, 1e308, math.nan, 1 + 1e-9, -1e-9, 0.5, 0.5])
    observed = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, math.nan, 7.0])
    [day] = sums(predicted[:, None, None], observed[:, None, None])
    assert day[EXPECTED] == 7
    assert np.flatnonzero(day[N]).tolist() == [0, 5, 9]
    assert day[N].sum() == 3
    assert day[PREDICTED][[0, 5, 9]] == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)
    assert day[OBSERVED][[0, 5, 9]].tolist() == [0.0, 1.0, 1.0]


def test_the_sums_of_two_sets_add_up_and_their_order_does_not_matter() -> None:
    predicted, observed = (days[0].reshape(-1, 6, 3) for days in sessions(1, seed=6))
    observed[3, 2:] = math.nan
    whole = sums(predicted, observed)
    parts = [sums(predicted[part], observed[part]) for part in (np.s_[::2], np.s_[1::2])]
    assert parts[0] + parts[1] == pytest.approx(whole, rel=1e-12)
    assert sums(predicted[::-1], observed[::-1]) == pytest.approx(whole, rel=1e-12)
    assert (CALIBRATION.from_bytes(CALIBRATION.to_bytes(whole)) == whole).all()
    assert sums(predicted[..., ::-1], observed[..., ::-1]) == pytest.approx(whole[::-1])
    assert whole[:, N].sum() == np.isfinite(observed).sum()


def test_nothing_has_no_figures() -> None:
    [none] = sums(np.full((2, 1, 1), math.nan), np.zeros((2, 1, 1)))
    figures = [squared_error(none), *overall(none), sureness(none)]
    assert np.isnan(np.array(figures, dtype=float)).all()
    assert {(each.n, each.predicted) for each in table(none)} == {(0, None)}


def naive(total: Floats) -> float:
    """Return the mean square error by claim as it is usually taken."""
    bins = [each for each in table(total) if each.n]
    n = sum(each.n for each in bins)
    return sum(
        each.n / n * ((each.predicted or 0.0) - (each.observed or 0.0)) ** 2 for each in bins
    )


@pytest.mark.parametrize("n", [20, 60, 300])
def test_few_labels_of_a_calibrated_classifier_show_no_error(n: int) -> None:
    """2,000 draws; probabilities in the middle of bins, so that only chance is taken off."""
    chance = np.random.default_rng(n)
    taken: list[tuple[float, float]] = []
    for _ in range(2_000):
        predicted = (chance.integers(BINS, size=(n, 1, 1)) + 0.5) / BINS
        observed = (chance.random((n, 1, 1)) < predicted).astype(float)
        [total] = sums(predicted, observed)
        taken.append((float(squared_error(total)), naive(total)))
    debiased, plain = np.array(taken).T
    assert abs(debiased.mean()) < 4 * debiased.std() / math.sqrt(len(debiased))
    # Chance alone: the mean variance of a label, once for each of the bins, over n.
    centers = (np.arange(BINS) + 0.5) / BINS
    by_chance = BINS * (centers * (1 - centers)).mean() / n
    assert plain.mean() > 0.75 * by_chance  # some bins are empty where n is small
    assert plain.mean() > 20 * abs(debiased.mean())


def test_an_error_that_is_there_is_estimated_without_bias() -> None:
    chance = np.random.default_rng(1)
    predicted = np.full((60, 1, 1), 0.8)
    found = [
        squared_error(sums(predicted, (chance.random((60, 1, 1)) < 0.6).astype(float)))
        for _ in range(2_000)
    ]
    assert np.mean(found) == pytest.approx(
        0.2**2, abs=4 * float(np.std(found)) / math.sqrt(2_000)
    )


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
    with pytest.raises(Unprocessable, match="calibration: "):
        parse("calibration", params)


def evaluations(of_days: Floats, params: CalibrationParams, first: int = 1) -> list[Finding]:
    return [
        evaluate(claim_days(of_days[:end]), params) for end in range(first, len(of_days) + 1)
    ]


@pytest.mark.slow
def test_false_alarms_are_about_as_frequent_as_promised() -> None:
    """12 streams of 200 days with a promise of one in 30; three sigma of a Poisson count."""
    params = CalibrationParams(
        window=2 * DAY, days_between_false_alarms=30.0, reference=120 * DAY
    )
    n_days, n_alarms = 0, 0
    for i in range(12):
        found = evaluations(cells(*sessions(200, seed=8_000 + i)), params)
        n_days += sum(each.outcome is not Outcome.NO_DATA for each in found)
        breaches = np.array([each.outcome is Outcome.BREACH for each in found])
        n_alarms += episodes(breaches, params.window_days)
    expected = n_days / 30.0
    assert n_days == 12 * (200 - 40)
    assert 3 <= n_alarms <= expected + 3 * math.sqrt(expected)  # never firing keeps it too


@pytest.mark.slow
@pytest.mark.parametrize("change", [sharpened, shifted])
def test_probabilities_that_no_longer_hold_are_found_within_two_weeks(
    change: Callable[[Floats], Floats],
) -> None:
    """15 streams with half a year of reference; who always calls, or never, fails."""
    n_quiet, n_found = 0, 0
    for i in range(15):
        predicted, observed = sessions(194, seed=9_000 + i)
        n_quiet += is_called(predicted, observed)
        predicted[180:] = change(predicted[180:])
        n_found += is_called(predicted, observed)
    chance = 15 * 14 / 90
    assert n_quiet <= chance + 3 * math.sqrt(chance)
    assert n_found >= 12


def is_called(predicted: Floats, observed: Floats) -> bool:
    found = evaluations(cells(predicted, observed), CalibrationParams(), first=181)
    return any(each.outcome is Outcome.BREACH for each in found)
