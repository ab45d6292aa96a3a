"""Means and centred sums of squares, exact far from zero.

`sum of squares / n - mean^2` loses every digit once the mean is 1e8 standard deviations
away from zero. Kept instead are n, the sum, and the sum of squared deviations from the
mean, which merge by the pairwise update of Chan, Golub and LeVeque [1]_.

References
----------
.. [1] T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for computing the sample
   variance: analysis and recommendations", The American Statistician 37(3), 1983,
   pp. 242-247.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitors.summaries.runs import run_lengths

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

# What is kept of the values of an hour. CENTRED: the sum of their squared deviations from
# their mean.
N, N_MISSING, N_REPEAT, SUM, CENTRED, MIN, MAX = range(7)
N_MOMENTS = 7

# Of the level: differences that small are rounding, and a standard deviation that small
# is that of a constant. 64 units in the last place.
_ROUNDING = 64 * float(np.finfo(float).eps)
# For a constant of zero. Neither its square nor that of 1e100 divided by it overflows.
_ZERO = 1e-60

# Variance over squared mean below which `sum of squares / n - mean^2` was all rounding.
CANCELLED = 1e-9


def centred_about(mean: Floats, n: Floats, total: Floats, squares: Floats) -> Floats:
    """Return the sums of squared deviations of parts from a mean that is not their own.

    Parameters
    ----------
    mean
        Of the whole that the parts belong to; NaN where it has no value.
    n, total, squares
        Of each part: values, their sum, and the sum of squared deviations from
        the part's own mean. All of shapes that broadcast.

    Returns
    -------
    Floats
        Added up over the parts, the centred sum of squares of the whole. 0 for a part
        without a value.

    Examples
    --------
    >>> parts = np.array([[1e9, 1e9 + 2.0], [1e9 + 4.0, 1e9 + 6.0]])
    >>> n, total, squares = np.full(2, 2.0), parts.sum(axis=1), np.array([2.0, 2.0])
    >>> float(centred_about(parts.mean(), n, total, squares).sum()), 4 * float(parts.var())
    (20.0, 20.0)
    """
    some = np.maximum(n, 1.0)
    apart = np.where(n > 0, total / some - mean, 0.0)
    return np.asarray(squares + n * apart * apart)


def rounding(level: Floats) -> Floats:
    """Return the size below which differences of values about `level` are rounding.

    Examples
    --------
    >>> bool(rounding(np.array([1e9]))[0] < 1e-4)
    True
    """
    return np.asarray(_ROUNDING * np.abs(level) + _ZERO)


def nothing(*shape: int) -> Floats:
    """Return the moments of no value at all, (*shape, 7)."""
    moments = np.zeros((*shape, N_MOMENTS))
    moments[..., MIN], moments[..., MAX] = np.inf, -np.inf
    return moments


def combined(moments: Floats, starts: Ints) -> Floats:
    """Return the moments of stretches of hours, each as one.

    Parameters
    ----------
    moments : (chunk, feature, 7)
        As in `monitors.summaries.summary.Summary`.
    starts : (stretch,)
        The first chunk of each stretch, ascending, the first one 0.

    Returns
    -------
    (stretch, feature, 7)
    """
    merged = np.empty((starts.size, *moments.shape[1:]))
    merged[..., :CENTRED] = np.add.reduceat(moments[..., :CENTRED], starts)
    merged[..., MIN] = np.minimum.reduceat(moments[..., MIN], starts)
    merged[..., MAX] = np.maximum.reduceat(moments[..., MAX], starts)
    mean = merged[..., SUM] / np.maximum(merged[..., N], 1.0)
    of_chunk = np.repeat(mean, run_lengths(starts, len(moments)), axis=0)
    parts = (moments[..., which] for which in (N, SUM, CENTRED))
    merged[..., CENTRED] = np.add.reduceat(centred_about(of_chunk, *parts), starts)
    return merged


def mean_and_sd(moments: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation, NaN where no value is, and exact of a constant.

    Parameters
    ----------
    moments : (..., 7)
        As in `monitors.summaries.summary.Summary`.

    Returns
    -------
    mean, sd : (...)
        The standard deviation is NaN too where it was lost to rounding.
    """
    n, low = moments[..., N], moments[..., MIN]
    some = np.where(n > 0, n, np.nan)
    is_constant = low == moments[..., MAX]
    mean = np.where(is_constant, low, moments[..., SUM] / some)
    sd = np.where(is_constant, 0.0, np.sqrt(moments[..., CENTRED] / some))
    return mean, sd
