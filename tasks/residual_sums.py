"""Sums of residuals of one event day, by part of the horizon.

A day is written whole each time it is joined; nothing is ever added to it. So
nothing need be kept of its edges: how errors follow each other is seen from the
mean error of each hour, when the days are put one after another. An error belongs
to the hour in which its forecast was made.
"""

import numpy as np
import pyarrow as pa

from core.arrays import Bools, Floats, Ints
from tasks import horizon_buckets, stored_sums

HOURS = 24  # of a day
_HOUR_US = 3_600_000_000

# The sizes that errors are counted by, too low and too high apart, in units of the scaler.
# The same for all models, so that any two days add up; a power of two is read off a number.
_SMALLEST = -3
SIZES = tuple(2.0**power for power in range(_SMALLEST, 3))
N_SIZES = len(SIZES) + 1

# The last axis.
N = slice(0, HOURS)  # labelled errors of each hour
SUM = slice(HOURS, 2 * HOURS)  # and their sum: forecast less what happened
# CENTRED: the sum of squared deviations from the mean error of the day.
EXPECTED, ABSOLUTE, CENTRED = range(2 * HOURS, 2 * HOURS + 3)
LOW = slice(CENTRED + 1, CENTRED + 1 + N_SIZES)  # forecasts that were too low, by size
HIGH = slice(LOW.stop, LOW.stop + N_SIZES)  # and those that were not
WIDTH = HIGH.stop


def sums(error: Floats, is_expected: Floats | Bools, hours: Ints) -> Floats:
    """Sum up the errors of some forecasts of one day.

    Parameters
    ----------
    error : (prediction, step, target)
        Forecast less what happened, in units of the scaler; NaN where no label
        is in, or no forecast.
    is_expected : (prediction, step, target)
        Whether there is a forecast.
    hours : (prediction,)
        The hour of the day in which each was made, 0 to 23.

    Returns
    -------
    (part of a target, WIDTH)
        In the order of `horizon_buckets.names`. Those of two sets of forecasts
        add up to those of both, but for CENTRED (`monitors.summaries.moments.centred_about`).

    Examples
    --------
    >>> error = np.array([[[0.5]], [[-0.25]], [[np.nan]]])
    >>> day = sums(error, np.ones((3, 1, 1), dtype=bool), np.array([0, 0, 5]))
    >>> day[0, [N.start, SUM.start, EXPECTED, CENTRED]].tolist()
    [2.0, 0.25, 3.0, 0.28125]
    >>> day[0, LOW].tolist(), day[0, HIGH].tolist()
    ([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    """
    _, n_steps, n_targets = error.shape
    if (hours[1:] < hours[:-1]).any():
        order = np.argsort(hours, kind="stable")
        error, hours = error[order], hours[order]
    there = np.isfinite(error)
    known = np.where(there, error, 0.0)
    cells = np.zeros((n_steps, n_targets, WIDTH))
    first = np.flatnonzero(np.diff(hours, prepend=-1))
    for place, values in ((N, there), (SUM, known)):
        by_hour = np.add.reduceat(values, first, axis=0, dtype=float)
        cells[..., place][..., hours[first]] = by_hour.transpose(1, 2, 0)
    cells[..., EXPECTED] = np.count_nonzero(is_expected, axis=0)
    cells[..., ABSOLUTE] = np.abs(known).sum(axis=0)
    cells[..., LOW.start : HIGH.stop] = _by_size(known, there)
    starts = [part.start for part in horizon_buckets.parts(n_steps)]
    by_part: Floats = np.add.reduceat(cells, starts, axis=0)  # (part, target, WIDTH)
    middle = _mean(by_part)
    away = np.where(there, error - _over(middle, starts, n_steps), 0.0)
    squares = np.einsum("nst,nst->st", away, away)
    by_part[..., CENTRED] = np.add.reduceat(squares, starts, axis=0)
    return by_part.transpose(1, 0, 2).reshape(-1, WIDTH)


def of_rows(rows: pa.Table, error: Floats, is_expected: Floats | Bools) -> Floats:
    """Return the sums of some predictions of one day, whose hours are those of their `at`."""
    hours = rows["at"].cast(pa.int64()).to_numpy() // _HOUR_US % HOURS
    return sums(error, is_expected, hours)


def _mean(cells: Floats) -> Floats:
    """Return the mean error of each part; 0 of none."""
    n, total = cells[..., N].sum(axis=-1), cells[..., SUM].sum(axis=-1)
    return np.asarray(total / np.maximum(n, 1.0))


def squared(day: Floats) -> Floats:
    """Return the sum of squared errors of each part, (part of a target,); these add up.

    Examples
    --------
    >>> error = np.array([[[0.5]], [[-0.25]]])
    >>> squared(sums(error, np.ones((2, 1, 1), dtype=bool), np.array([0, 1]))).tolist()
    [0.3125]
    """
    n = day[..., N].sum(axis=-1)
    return np.asarray(day[..., CENTRED] + n * _mean(day) ** 2)


def _over(of_part: Floats, starts: list[int], n_steps: int) -> Floats:
    """Give each step what its part has; (step, target)."""
    return np.repeat(of_part, np.diff([*starts, n_steps]), axis=0)


def _by_size(known: Floats, there: Bools) -> Ints:
    """Count errors by sign and size; (step, target, 2 * N_SIZES)."""
    n, n_steps, n_targets = known.shape
    n_bins = 2 * N_SIZES + 1  # the last one is for what is not there
    bins = np.clip(np.frexp(known)[1] - _SMALLEST, 0, N_SIZES - 1)
    bins += N_SIZES * (known >= 0)
    bins[~there] = n_bins - 1
    column = np.arange(n_steps * n_targets, dtype=bins.dtype) * n_bins
    codes = bins.reshape(n, -1) + column
    counts = np.bincount(codes.ravel(), minlength=column.size * n_bins)
    return counts.reshape(n_steps, n_targets, n_bins)[..., :-1]


# In half the bytes: a day is never added to, so nothing piles up, and a count is exact up to
# 16 million.
RESIDUALS = stored_sums.stream("residuals", 2, WIDTH, "<f4")
