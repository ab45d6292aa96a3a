"""Gate: backtest of the challenger on a period that neither version was trained on."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
import scipy

from retrain.windows import Floats

MIN_BLOCKS = 3  # fewer do not show the spread of blocks

# Forecasts of neighbouring days share targets and weather: the daily difference of two
# equally good models remembers 0.3 of yesterday's (ETTh1, 5,900 h, three seeds: 0.23 to
# 0.34). Days are then worth 1 / 1.9 independent ones, more than a few can show themselves.
INFLATION = 1.38  # of the standard error, for 3 to 10 days with that memory


# Days with labels at which an inconclusive gate is tested again, each so many times the last.
GROWTH = 1.5


def gate_sizes(first: int, most: int) -> tuple[int, ...]:
    """Return at how many days with labels the gate is tested, the first time included.

    Examples
    --------
    >>> gate_sizes(5, 35)
    (5, 8, 12, 18, 27)
    """
    sizes = [max(first, MIN_BLOCKS)]
    while (following := math.ceil(GROWTH * sizes[-1])) <= most:
        sizes.append(following)
    return tuple(sizes)


def alpha_of(test: int, n_tests: int, alpha: float) -> float:
    """Return the part of `alpha` that one of several tests may spend.

    Half at the first, the other half in equal parts at all others: by Bonferroni's
    inequality a challenger that is no better passes any of them with a chance of `alpha`
    at most, however the tests depend on each other.

    Examples
    --------
    >>> alpha_of(0, 1, 0.05), alpha_of(0, 5, 0.05), alpha_of(3, 5, 0.05)
    (0.05, 0.025, 0.00625)
    """
    if n_tests == 1:
        return alpha
    return alpha / 2 if test == 0 else alpha / 2 / (n_tests - 1)


class Outcome(StrEnum):
    """Outcome of the gate."""

    PASSED = "passed"
    REFUSED = "refused"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How sure to be.

    Attributes
    ----------
    alpha
        Chance that a challenger which is no better passes.
    """

    alpha: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTests:
    """The tests at the gate: the period, which begins at `start`, only grows.

    Attributes
    ----------
    sizes
        At how many days with labels each test is due.
    done
        How many were.
    """

    start: datetime
    sizes: tuple[int, ...]
    done: int

    @property
    def rule(self) -> Rule:
        """Rule of the next test; all tests share one significance level."""
        alpha = alpha_of(self.done, len(self.sizes), Rule().alpha)
        return Rule(alpha=alpha)

    @property
    def next_size(self) -> int | None:
        """Days with labels that the next test needs; None when there is none left."""
        return self.sizes[self.done] if self.done < len(self.sizes) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """Student's t of block differences, relative to the champion's loss."""

    change: float
    lower: float
    upper: float
    p_better: float
    p_worse: float
    n_blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The outcome, and the figures that it rests on.

    Attributes
    ----------
    champion, challenger
        Mean loss of each over the period.
    change
        Relative change of the loss: -0.3 is an error that is 30 % smaller.
    lower, upper
        One-sided confidence bounds of that change; None when there are too few blocks.
    p_better, p_worse
        Of "the challenger is no better", and of "it is no worse".
    champion_by_step, challenger_by_step
        Mean loss per horizon step.
    """

    outcome: Outcome
    reason: str
    champion: float | None
    challenger: float | None
    change: float | None
    lower: float | None
    upper: float | None
    p_better: float | None
    p_worse: float | None
    n_blocks: int
    champion_by_step: tuple[float | None, ...]
    challenger_by_step: tuple[float | None, ...]


def compare(champion: Floats, challenger: Floats, rule: Rule) -> Gate:
    """Compare two models on the same later period.

    The unit is the block (a day): forecasts of one day share their weather
    and overlap in their targets. Each block gives one difference; whether
    their mean is below zero is asked with the Diebold-Mariano statistic under
    the correction of Harvey, Leybourne and Newbold for one-step forecasts,
    which is Student's t of the block means. What is left of dependence
    between blocks widens its standard error by `INFLATION`.

    Parameters
    ----------
    champion, challenger : (block, step)
        Mean losses of the same forecasts. NaN where no label has arrived: the
        pair is left out. Infinite where one of the forecasts was unusable.
    rule
        How sure to be.

    Returns
    -------
    Gate
        Passed when the challenger is better beyond doubt, refused when it is
        worse beyond doubt or not better on average, inconclusive otherwise:
        absence of evidence promotes nobody, and is no proof against anybody.
        Refused when it gave no usable forecast on more days than the champion;
        passed when the champion gave none on three days more, and is not better
        on the others.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    .. [1] D. Harvey, S. Leybourne and P. Newbold, "Testing the equality of
       prediction mean squared errors", Int. J. Forecasting 13, 1997.

    Examples
    --------
    >>> old = np.array([[1.0, 1.2], [0.9, 1.1], [1.1, 1.2], [1.0, 1.3]])
    >>> compare(old, 0.7 * old, Rule()).outcome.value
    'passed'
    """
    if champion.shape != challenger.shape:
        raise ValueError(f"losses have shapes {champion.shape} and {challenger.shape}")
    n_days = int((~np.isnan(champion) & ~np.isnan(challenger)).any(axis=1).sum())
    failed_old, failed_new = (
        int(np.isinf(of).any(axis=1).sum()) for of in (champion, challenger)
    )
    known = np.isfinite(champion) & np.isfinite(challenger)
    old, new = np.where(known, champion, np.nan), np.where(known, challenger, np.nan)
    blocks = known.any(axis=1)
    differences = np.nanmean(new[blocks] - old[blocks], axis=1) if blocks.any() else np.empty(0)
    n_blocks = len(differences)
    if failed_new > failed_old:
        reason = f"no usable forecast on {failed_new} of {n_days} days"
        if failed_old:
            reason += f", the champion on {failed_old}"
        return _gate(Outcome.REFUSED, reason, (old, new), n_blocks)
    if failed_old - failed_new >= MIN_BLOCKS:
        reason = f"the champion has no usable forecast on {failed_old} of {n_days} days"
        if n_blocks < 2 or differences.mean() <= 0:
            return _gate(Outcome.PASSED, reason, (old, new), n_blocks)
    if n_blocks < MIN_BLOCKS:
        reason = f"{n_blocks} days with labels; at least {MIN_BLOCKS} are needed"
        return _gate(Outcome.INCONCLUSIVE, reason, (old, new), n_blocks)
    test = student(differences, float(np.nanmean(old[blocks])), rule)
    outcome, reason = _decide(test, rule)
    return _gate(outcome, reason, (old, new), n_blocks, test)


def student(differences: Floats, level: float, rule: Rule) -> Student:
    """Test whether the mean of block differences is below, or above, zero.

    Parameters
    ----------
    differences : (block,)
        At least two.
    level
        What the change is relative to.
    rule
        How sure to be.
    """
    n_blocks = len(differences)
    mean = float(differences.mean())
    error = INFLATION * float(differences.std(ddof=1)) / n_blocks**0.5
    reach = float(scipy.special.stdtrit(n_blocks - 1, 1 - rule.alpha)) * error
    scale = level if level > 0 else 1.0
    return Student(
        change=mean / scale,
        lower=(mean - reach) / scale,
        upper=(mean + reach) / scale,
        # Blocks that agree to the last digit leave no doubt.
        p_better=float(scipy.special.stdtr(n_blocks - 1, mean / error))
        if error > 0
        else float(mean >= 0),
        p_worse=float(scipy.special.stdtr(n_blocks - 1, -mean / error))
        if error > 0
        else float(mean <= 0),
        n_blocks=n_blocks,
    )


def _decide(test: Student, rule: Rule) -> tuple[Outcome, str]:
    change = f"error {test.change:+.1%}"
    if test.p_better <= rule.alpha:
        return Outcome.PASSED, f"{change}, p = {test.p_better:.2g}"
    if test.p_worse <= rule.alpha:
        return Outcome.REFUSED, f"worse: {change}, p = {test.p_worse:.2g}"
    if test.change >= 0:
        return Outcome.REFUSED, f"not better: {change}"
    return Outcome.INCONCLUSIVE, f"perhaps better: {change}, p = {test.p_better:.2g}"


def _gate(
    outcome: Outcome,
    reason: str,
    losses: tuple[Floats, Floats],
    n_blocks: int,
    test: Student | None = None,
) -> Gate:
    old, new = losses
    champion, challenger = _mean(old), _mean(new)
    return Gate(
        outcome=outcome,
        reason=reason,
        champion=champion,
        challenger=challenger,
        change=test.change if test else None,
        lower=test.lower if test else None,
        upper=test.upper if test else None,
        p_better=test.p_better if test else None,
        p_worse=test.p_worse if test else None,
        n_blocks=n_blocks,
        champion_by_step=tuple(_mean(step) for step in old.T),
        challenger_by_step=tuple(_mean(step) for step in new.T),
    )


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
