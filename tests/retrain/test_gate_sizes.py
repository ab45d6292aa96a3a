"""A gate that is tested again keeps its promise, and refuses forecasts that are none."""

import numpy as np
import pytest

from retrain.gate import Outcome, Rule, alpha_of, compare, gate_sizes
from retrain.windows import Floats

ALPHA = Rule().alpha
FIRST, MOST = 5, 35


def _ever_passes(differences: Floats, spend: bool) -> bool:
    """Test as the trainer does, until the gate has decided."""
    sizes = gate_sizes(FIRST, MOST) if spend else range(FIRST, MOST + 1)
    for test, size in enumerate(sizes):
        alpha = alpha_of(test, len(sizes), ALPHA) if spend else ALPHA
        new = 1.0 + differences[:size, np.newaxis]
        outcome = compare(np.ones_like(new), new, Rule(alpha=alpha)).outcome
        if outcome is not Outcome.INCONCLUSIVE:
            return outcome is Outcome.PASSED
    return False


def _days(random: np.random.Generator, memory: float) -> Floats:
    shocks = random.standard_normal(MOST + 30)
    for day in range(1, len(shocks)):
        shocks[day] = memory * shocks[day - 1] + (1 - memory**2) ** 0.5 * shocks[day]
    days: Floats = 0.05 * shocks[30:]
    return days


def _passed(memory: float, n_runs: int, spend: bool = True, effect: float = 0.0) -> float:
    random = np.random.default_rng(7)
    runs = (_days(random, memory) + effect for _ in range(n_runs))
    return sum(_ever_passes(days, spend) for days in runs) / n_runs


def test_all_tests_together_spend_what_one_may() -> None:
    for most in (5, 10, 35, 200):
        sizes = gate_sizes(FIRST, most)
        spent = [alpha_of(test, len(sizes), ALPHA) for test in range(len(sizes))]
        assert sum(spent) == pytest.approx(ALPHA)
        assert sizes[-1] <= max(most, FIRST)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.3])
def test_equal_versions_pass_no_more_often_than_promised(memory: float) -> None:
    n_runs = 2000
    allowed = ALPHA + 3 * (ALPHA * (1 - ALPHA) / n_runs) ** 0.5
    assert _passed(memory, n_runs) <= allowed


@pytest.mark.slow
def test_what_is_a_little_better_passes_at_a_later_test() -> None:
    # By a standard deviation of a day's difference: often not seen in five days.
    assert _passed(0.3, 300, effect=-0.05) > 0.75


def _losses(n_days: int) -> Floats:
    return np.random.default_rng(3).uniform(0.9, 1.1, (n_days, 2))


def test_a_challenger_that_gives_no_number_on_half_the_days_is_refused() -> None:
    old = _losses(20)
    new = 0.7 * old
    assert compare(old, new, Rule()).outcome is Outcome.PASSED
    new[::2, 0] = np.inf  # on one step of ten of the days
    gate = compare(old, new, Rule())
    assert gate.outcome is Outcome.REFUSED
    assert gate.reason == "no usable forecast on 10 of 20 days"


def test_a_day_without_labels_is_no_failure() -> None:
    old = _losses(20)
    new = 0.7 * old
    old[::2], new[::2] = np.nan, np.nan
    assert compare(old, new, Rule()).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [
        pytest.param(0.99, Outcome.PASSED, id="and the challenger is no worse elsewhere"),
        pytest.param(1.5, Outcome.REFUSED, id="and the challenger is worse elsewhere"),
    ],
)
def test_a_champion_that_gives_no_number_is_held_to_the_same(
    factor: float, outcome: Outcome
) -> None:
    old = _losses(20)
    new = factor * old
    old[:5] = np.inf
    assert compare(old, new, Rule()).outcome is outcome


def test_both_unusable_on_the_same_days_prove_nothing() -> None:
    old = _losses(20)
    new = 0.7 * old
    old[:5], new[:5] = np.inf, np.inf
    assert compare(old, new, Rule()).outcome is Outcome.PASSED
