from datetime import date, timedelta

import numpy as np
import pytest

from monitors.finding import Finding, Outcome
from monitors.performance.accuracy import AccuracyParams, DayErrors, evaluate, objective

FIRST = date(2026, 1, 1)


def week(error: float, coverage: float = 1.0, n_steps: int = 4) -> DayErrors:
    shape = (7, n_steps)
    n_labelled = np.full(shape, round(100 * coverage))
    return DayErrors(
        days=tuple(FIRST + timedelta(days=n) for n in range(7)),
        sums=error * n_labelled,
        n_labelled=n_labelled,
        n_expected=np.full(shape, 100),
    )


def evaluation(errors: DayErrors, bar: float | None = 0.5) -> Finding:
    return evaluate(errors, AccuracyParams(), bar)


@pytest.mark.parametrize(
    ("errors", "bar", "outcome"),
    [
        pytest.param(week(0.4), 0.5, Outcome.OK, id="below the objective"),
        pytest.param(week(0.6), 0.5, Outcome.BREACH, id="above it"),
        pytest.param(week(0.5), 0.5, Outcome.OK, id="exactly on it"),
        pytest.param(week(0.6, 0.8), 0.5, Outcome.BREACH, id="enough labels"),
        pytest.param(week(0.4, 0.79), 0.5, Outcome.NO_DATA, id="too few labels are no comfort"),
        pytest.param(week(0.6), None, Outcome.NO_DATA, id="no objective"),
        pytest.param(week(0.6, 0.0), 0.5, Outcome.NO_DATA, id="no label at all"),
    ],
)
def test_outcome(errors: DayErrors, bar: float | None, outcome: Outcome) -> None:
    assert evaluation(errors, bar).outcome is outcome


def test_nothing_expected_is_no_data() -> None:
    empty = week(0.4)
    nothing = np.zeros_like(empty.n_expected)
    found = evaluation(
        DayErrors(
            days=empty.days, sums=0.0 * empty.sums, n_labelled=nothing, n_expected=nothing
        )
    )
    assert found.outcome is Outcome.NO_DATA


def test_each_step_has_its_own_error() -> None:
    errors = week(0.4)
    errors.sums[:, 3] *= 2
    steps = evaluation(errors).detail.to_json()["per_step"]
    assert isinstance(steps, list)
    assert [step["error"] for step in steps] == pytest.approx([0.4, 0.4, 0.4, 0.8])


def test_missing_labels_leave_an_interval() -> None:
    found = evaluation(week(0.6, 0.9))
    assert found.value == pytest.approx(0.6)
    assert found.detail.to_json()["at_least"] == pytest.approx(0.54)
    assert found.detail.to_json()["coverage"] == pytest.approx(0.9)


def test_the_owners_objective_goes_before_the_derived_one() -> None:
    found = evaluate(week(0.6), AccuracyParams(objective=0.7), 0.5)
    assert (found.outcome, found.threshold) == (Outcome.OK, 0.7)


def test_the_backtest_itself_never_breaches_its_objective() -> None:
    rng = np.random.default_rng(1)
    backtest = 0.4 * rng.gamma(20, 1 / 20, size=(60, 24))
    backtest[30:37] *= 1.5
    bar = objective(backtest, AccuracyParams())
    assert bar.value > bar.worst > 1.25 * bar.median
    assert bar.n_windows == 54


def test_days_without_labels_are_left_out_of_the_backtest() -> None:
    backtest = np.full((40, 24), 0.4)
    backtest[10:30] = np.nan
    bar = objective(backtest, AccuracyParams())
    assert bar.value == pytest.approx(0.5)
    assert bar.n_windows == 20


@pytest.mark.parametrize(
    ("backtest", "message"),
    [
        pytest.param(np.full((6, 24), 0.4), "no window of 7", id="too short"),
        pytest.param(np.full((30, 24), np.nan), "no error at all", id="no labels"),
    ],
)
def test_no_objective_without_a_backtest(backtest: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        objective(backtest, AccuracyParams())
