"""The verdict on classifiers: the mean of bounded losses, not what most sessions look like."""

from datetime import date, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from retrain.evidence import mean_evidence
from retrain.verdict import Outcome, Rule, Scored, evaluate

FIRST = date(2026, 1, 1)
RULE = Rule(is_bounded=True)


def _brier(p: NDArray[np.float64], happened: NDArray[np.float64]) -> float:
    return float(2 * ((p - happened) ** 2).mean())


def _rare(n_days: int, *, challenger_predicts_no: bool) -> list[Scored]:
    """Return sessions of a rare class: always "no" against a calibrated model."""
    chance, sessions = np.random.default_rng(18), []
    for day in range(n_days):
        for _ in range(20):
            p = 1 / (1 + np.exp(4.15 - 2.05 * chance.standard_normal(8)))
            happened = (chance.random(8) < p).astype(float)
            losses = [_brier(p, happened), _brier(np.zeros(8), happened)]
            old, new = losses if challenger_predicts_no else losses[::-1]
            sessions.append(
                Scored(
                    day=FIRST + timedelta(days=day),
                    is_canary=False,
                    loss_champion=old,
                    loss_challenger=new,
                )
            )
    return sessions


def test_a_model_that_always_predicts_no_is_not_better_than_a_calibrated_one() -> None:
    sessions = _rare(40, challenger_predicts_no=True)
    assert evaluate(sessions, 0.05, Rule()).outcome is Outcome.SUCCESS  # most sessions deceive
    assert evaluate(sessions, 0.05, RULE).outcome is Outcome.FAIL


def test_a_calibrated_model_replaces_one_that_always_predicts_no() -> None:
    found = evaluate(_rare(40, challenger_predicts_no=False), 0.05, RULE)
    assert found.outcome is Outcome.SUCCESS
    assert found.mean is not None
    assert -0.1 < found.mean < 0


def test_the_unit_of_the_gains_does_not_matter() -> None:
    gains = np.random.default_rng(1).standard_normal(30)
    assert mean_evidence(1e-6 * gains) == pytest.approx(mean_evidence(gains), rel=1e-6)


@pytest.mark.parametrize("gains", [np.empty(0), np.zeros(30), np.full(30, -1.0)])
def test_no_gain_is_no_evidence(gains: NDArray[np.float64]) -> None:
    assert (mean_evidence(gains) <= 1.0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_predictions", "promise"),
    [pytest.param(8, 0.09, id="8 a day: 9 percent"), (20, 0.05), (200, 0.05)],
)
def test_equal_means_are_rarely_called_better_however_skewed(
    n_predictions: int, promise: float
) -> None:
    # "No" and a constant of twice the base rate have one mean Brier score.
    chance, n_runs, pi = np.random.default_rng(0), 400, 0.0586
    wrong = 0
    for _ in range(n_runs):
        share = chance.binomial(n_predictions, pi, 60) / n_predictions
        constant = share * (1 - 2 * pi) ** 2 + (1 - share) * (2 * pi) ** 2
        wrong += bool((mean_evidence(2 * (constant - share)) >= 1 / RULE.alpha).any())
    assert wrong / n_runs <= promise + 3 * (promise * (1 - promise) / n_runs) ** 0.5
