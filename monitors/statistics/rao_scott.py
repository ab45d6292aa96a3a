"""Rao-Scott test of a distribution against a short reference.

Below nineteen windows no threshold can be taken from the reference. What can be
estimated from its days is how much counts of dependent readings scatter: by how much
more than those of independent ones. The classical test is divided by that.
It corrects for memory from hour to hour and day to day, not for a season that
moves on: for reading, and not for waking anybody.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy

from monitors.statistics.distances import psi, shares, smoothed
from monitors.summaries.summary import Floats

MIN_DAYS = 14  # of reference: with fewer, their scatter is not known
_GROUPS = 10  # of bins: more than the days can resolve are of no use


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How unusual one feature's window is.

    Attributes
    ----------
    psi
        Of the grouped bins.
    design_effect
        So many readings of this feature are worth one independent reading.
    p
        How often a window moves so far without any change; NaN where nothing
        can be estimated.
    """

    psi: float
    design_effect: float
    p: float


def moved(current: Floats, reference: Floats) -> Moved:
    """Compare one feature's counts, corrected to second order for their dependence [1]_.

    Parameters
    ----------
    current : (bin,)
        Of the window on trial.
    reference : (day, bin)
        On the same edges. Days without a value are left out.

    Returns
    -------
    Moved
        All NaN with fewer than 14 days, or without a current value; p is 1
        where all values lie in one bin.

    References
    ----------
    .. [1] J. N. K. Rao and A. J. Scott, "On chi-squared tests for multiway
       contingency tables with cell proportions estimated from survey data",
       Ann. Stat. 12(1), 1984, pp. 46-60.
    .. [2] W. K. Newey and K. D. West, "A simple, positive semi-definite,
       heteroskedasticity and autocorrelation consistent covariance matrix",
       Econometrica 55(3), 1987, pp. 703-708.

    Examples
    --------
    >>> days = np.random.default_rng(1).multinomial(24, [0.25, 0.5, 0.25], size=60)
    >>> moved(np.array([42.0, 84.0, 42.0]), days.astype(float)).p > 0.5
    True
    >>> moved(np.array([80.0, 60.0, 28.0]), days.astype(float)).p < 1e-6
    True
    """
    days = reference[reference.sum(axis=1) > 0]
    if len(days) < MIN_DAYS or current.sum() == 0:
        return Moved(psi=math.nan, design_effect=math.nan, p=math.nan)
    now, before = _grouped(current, days)
    if len(now) < 2:
        return Moved(psi=0.0, design_effect=math.nan, p=1.0)
    p, q = smoothed(now[np.newaxis], before.sum(axis=0)[np.newaxis])
    apart = float(psi(p, q)[0])
    effects = _design_effects(before)
    mean = float(effects.mean())
    if mean <= 0:  # every day is like the other: nothing to measure with
        return Moved(psi=apart, design_effect=mean, p=math.nan)
    unlike = float(effects.var()) / mean**2
    scale = (1 / now.sum() + 1 / before.sum()) * mean * (1 + unlike)
    freedom = len(effects) / (1 + unlike)
    return Moved(
        psi=apart,
        design_effect=mean,
        p=float(scipy.special.gammaincc(freedom / 2, apart / scale / 2)),
    )


def _grouped(current: Floats, days: Floats) -> tuple[Floats, Floats]:
    """Merge neighbouring bins into groups of about equal shares of both windows together."""
    both = shares((current + days.sum(axis=0))[np.newaxis])[0]
    middle = np.cumsum(both) - both / 2
    group = np.minimum((middle * _GROUPS).astype(np.int64), _GROUPS - 1)
    first = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    merged = [np.add.reduceat(counts, first, axis=-1) for counts in (current, days)]
    alive = merged[0] + merged[1].sum(axis=0) > 0
    return merged[0][alive], merged[1][:, alive]


def _design_effects(days: Floats) -> Floats:
    """Return the generalised design effects: eigenvalues against independent readings.

    Parameters
    ----------
    days : (day, group)
    """
    n_days, n = len(days), days.sum(axis=1, keepdims=True)
    q = days.sum(axis=0) / n.sum()
    away = ((days - n * q) / n.mean())[:, :-1]  # the last group is what the others leave
    lags = math.floor(4 * (n_days / 100) ** (2 / 9))
    scatter = away.T @ away / n_days
    for lag in range(1, lags + 1):
        together = away[lag:].T @ away[:-lag] / n_days
        scatter += (1 - lag / (lags + 1)) * (together + together.T)
    independent = np.diag(q[:-1]) - np.outer(q[:-1], q[:-1])
    effects: Floats = np.linalg.eigvals(np.linalg.pinv(independent) @ scatter).real
    return np.maximum(effects, 0.0) * float(n.mean())
