import numpy as np
import pytest
from numpy.typing import NDArray

from core.durations import DAY
from core.policy import Policy
from retrain.gate import MIN_BLOCKS, Gate, Outcome, Rule, compare

Floats = NDArray[np.float64]
DAYS, STEPS = 5, 24


def _losses(seed: int, n_days: int = DAYS) -> Floats:
    return np.random.default_rng(seed).gamma(9.0, 0.05, (n_days, STEPS))


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        pytest.param(0.7, Outcome.PASSED, id="clearly better"),
        pytest.param(1.0, Outcome.REFUSED, id="the same model"),
        pytest.param(1.3, Outcome.REFUSED, id="worse"),
        pytest.param(50.0, Outcome.REFUSED, id="sabotaged"),
    ],
)
def test_compare(factor: float, expected: Outcome) -> None:
    old = _losses(1)
    assert compare(old, factor * old, Rule()).outcome is expected


def test_better_on_average_but_only_by_one_day_is_no_proof() -> None:
    old = np.ones((DAYS, STEPS))
    new = np.array([0.2, 1.02, 1.01, 1.03, 1.02])[:, np.newaxis] * old
    gate = compare(old, new, Rule())
    assert gate.outcome is Outcome.INCONCLUSIVE
    assert gate.change is not None
    assert gate.change < 0


@pytest.mark.parametrize("n_days", range(MIN_BLOCKS))
def test_too_few_days_are_inconclusive_however_good_they_are(n_days: int) -> None:
    old = _losses(1, n_days)
    gate = compare(old, 0.1 * old, Rule())
    assert gate.outcome is Outcome.INCONCLUSIVE
    assert f"{n_days} days" in gate.reason
    assert gate.n_blocks == n_days
    assert gate.p_better is None


def test_a_pair_without_a_label_counts_for_neither() -> None:
    old = np.ones((DAYS, STEPS))
    new = 0.7 * old
    old[2, 3:] = np.nan
    new[2, :5] = np.nan  # the fourth day has no pair left
    old[4, 0], new[4, 0] = np.nan, 99.0
    gate = compare(old, new, Rule())
    assert gate.outcome is Outcome.PASSED
    assert gate.n_blocks == DAYS - 1
    assert gate.change == pytest.approx(-0.3)


def test_every_horizon_step_is_shown() -> None:
    old = _losses(1)
    old[:, 7] = np.nan
    gate = compare(old, 0.5 * old, Rule())
    assert gate.champion_by_step[7] is None
    assert gate.challenger_by_step[8] == pytest.approx(0.5 * old[:, 8].mean())


def test_swapping_the_models_mirrors_the_test() -> None:
    one, other = _losses(1), _losses(2)
    there, back = compare(one, other, Rule()), compare(other, one, Rule())
    assert there.p_better == pytest.approx(back.p_worse)


def test_losses_of_other_shapes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="shapes"):
        compare(_losses(1), _losses(1, 6), Rule())


def _run(seed: int, n_days: int, effect: float, memory: float = 0.3) -> Gate:
    """Two models on days whose difference has a memory; it is 0.3 on ETTh1."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=n_days)
    for day in range(1, n_days):
        noise[day] = memory * noise[day - 1] + (1 - memory**2) ** 0.5 * noise[day]
    old = random.gamma(9.0, 0.05, (n_days, 1)) * np.ones(STEPS)
    return compare(old, old * (1 + effect + 0.04 * noise[:, np.newaxis]), Rule())


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.3])
@pytest.mark.parametrize("n_days", [4, 5, 10, 48])
def test_a_challenger_that_is_no_better_rarely_passes(n_days: int, memory: float) -> None:
    runs = 1000
    passed = sum(_run(s, n_days, 0.0, memory).outcome is Outcome.PASSED for s in range(runs))
    assert passed / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        pytest.param(-0.25, Outcome.PASSED, id="what retraining gains after a shift passes"),
        pytest.param(0.25, Outcome.REFUSED, id="as much worse is refused"),
    ],
)
def test_a_large_difference_shows_within_four_days(effect: float, expected: Outcome) -> None:
    found = [_run(seed, 4, effect).outcome for seed in range(300)]
    assert found.count(expected) >= 0.97 * len(found)


@pytest.mark.slow
def test_a_fifth_less_error_shows_within_the_days_that_the_policy_keeps() -> None:
    n_days = Policy().gate_window // DAY
    passed = sum(_run(s, n_days, -0.2).outcome is Outcome.PASSED for s in range(300))
    assert passed >= 0.97 * 300
