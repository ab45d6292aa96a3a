"""E-detector: accumulated evidence for a change on any past day.

Each day a bet is offered: "today is higher (or lower) than in the baseline, by so much".
What it pays has mean one while nothing has changed, and grows when something
has. A new stake is put in every day, so that a change on any day finds one.
The sum of all stakes is the evidence: it needs no window, and it reaches a
level no more often than once in so many days.
"""

import numpy as np
from numpy.typing import NDArray

from monitors.summaries.summary import Bools, Floats

# Sizes of the bets in ordinary spreads of a day, both ways. Chosen on noise of memory
# .85 and .95; half or twice as large finds half a deviation a third later.
_SIZES = np.array([0.35, 0.7, 1.4])
BETS: Floats = np.concatenate([-_SIZES, _SIZES])
_CLIP = 3.0  # spreads; no single day can prove a lasting change


def fair_price(innovations: Floats) -> Floats:
    """Return the logarithm of what each bet costs, so that it pays one on average.

    Parameters
    ----------
    innovations : (day, stream)
        Of a quiet time, in ordinary spreads. NaN is left out.

    Returns
    -------
    (stream, bet)
        The empirical log moment generating function, and never less than
        that of a normal distribution: a stream that never moved is not
        thereby sure.

    Examples
    --------
    >>> fair_price(np.array([[-1.0], [1.0]])).round(2)
    array([[0.06, 0.24, 0.98, 0.06, 0.24, 0.98]])
    """
    there = np.isfinite(innovations)[..., np.newaxis]
    staked = np.exp(_clipped(innovations)[..., np.newaxis] * BETS)
    n = there.sum(axis=0)
    mean = np.where(there, staked, 0.0).sum(axis=0) / np.maximum(n, 1)
    normal = BETS**2 / 2
    return np.where(n > 0, np.maximum(np.log(np.where(n > 0, mean, 1.0)), normal), normal)


def payoff(innovations: Floats, price: Floats) -> Floats:
    """Return the logarithm of what each bet pays on each day.

    Parameters
    ----------
    innovations : (..., stream)
        In ordinary spreads. NaN pays back the stake.
    price : (..., stream, bet)
        From `fair_price`.

    Returns
    -------
    (..., stream, bet)
    """
    won = _clipped(innovations)[..., np.newaxis] * BETS - price
    return np.where(np.isfinite(innovations)[..., np.newaxis], won, 0.0)


def _clipped(innovations: Floats) -> Floats:
    return np.clip(np.nan_to_num(innovations, nan=0.0), -_CLIP, _CLIP)


def accumulate(payoff: Floats, stakes: Bools, cap: float = 1e100) -> Floats:
    """Return the evidence of each bet after each day (Shiryaev and Roberts).

    Parameters
    ----------
    payoff : (day, ..., bet)
        Logarithms.
    stakes : (day, ...)
        Whether a new stake is put in on that day.
    cap
        No bet holds more: what is held must be lost before a change is over.

    Returns
    -------
    (day, ..., bet)
        While nothing changes, the mean over bets reaches `c` once in `c`
        days or more seldom.

    References
    ----------
    .. [1] J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric
       framework for sequential change detection", NEJSDS 2(2), 2023.

    Examples
    --------
    >>> certain = np.log(np.full((3, 1, 1), 2.0))
    >>> accumulate(certain, np.ones((3, 1), dtype=bool)).ravel()
    array([ 2.,  6., 14.])
    """
    out = np.empty_like(payoff)
    held = np.zeros(payoff.shape[1:])
    grown, new = np.exp(payoff), stakes[..., np.newaxis].astype(np.float64)
    for day in range(len(payoff)):
        held = np.minimum(grown[day] * (held + new[day]), cap)
        out[day] = held
    return out


def began(payoff: Floats) -> NDArray[np.intp]:
    """Return the day on which what each bet holds at the end began to pay (Page).

    Parameters
    ----------
    payoff : (day, ..., bet)
        Logarithms.

    Returns
    -------
    (..., bet)
        The first day of the stretch that would have paid most; the last day
        where none pays.

    References
    ----------
    .. [1] E. S. Page, "Continuous inspection schemes", Biometrika 41(1/2),
       1954, pp. 100-115.

    Examples
    --------
    >>> began(np.array([3.0, -5.0, 1.0, 1.0])[:, None, None]).ravel()
    array([2])
    """
    n_days = len(payoff)
    before = np.concatenate([np.zeros((1, *payoff.shape[1:])), payoff.cumsum(axis=0)])
    # The latest of the lowest points: from there to the end the bet gains most.
    back: NDArray[np.intp] = np.argmin(before[:n_days][::-1], axis=0)
    return n_days - 1 - back
