"""Series with holes: cut into folds, and into windows that reach into no hole."""

import itertools

import numpy as np

from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Bools, Floats

HOLE_DAYS = 7  # without any value


def is_known(values: Floats) -> Bools:
    """Return at which steps, the first axis, any value is known."""
    return np.asarray(np.isfinite(values).any(axis=tuple(range(1, values.ndim))), np.bool_)


def holes(known_days: Bools) -> list[tuple[int, int]]:
    """Return the runs of at least a week of unknown days, as `[start, end)`.

    A shorter outage is part of what a monitor meets; what lies between two stretches of a
    reference is no time at all.

    Examples
    --------
    >>> holes(np.array([True] + [False] * 7 + [True] + [False]))
    [(1, 8)]
    """
    runs = np.flatnonzero(np.diff(np.r_[False, ~known_days, False])).reshape(-1, 2)
    return [(int(start), int(end)) for start, end in runs if end - start >= HOLE_DAYS]


def reach_into_hole(hours: Floats, n_days: int) -> Bools:
    """Return which of all windows, one a day, hold a day of a hole.

    Parameters
    ----------
    hours : (hour, feature)
        Of whole days. NaN where nothing is known.
    n_days
        Length of a window, with what it needs before it.
    """
    days = is_known(hours.reshape(len(hours) // HOURS, HOURS, hours.shape[1]))
    is_hole = np.zeros(len(days), dtype=np.bool_)
    for start, end in holes(days):
        is_hole[start:end] = True
    if len(days) < n_days:
        return np.zeros(0, dtype=np.bool_)
    windows = np.lib.stride_tricks.sliding_window_view(is_hole, n_days)
    return np.asarray(windows.any(axis=1), np.bool_)


def folds(known: Bools, n_folds: int) -> tuple[tuple[int, int], ...]:
    """Cut a series into folds `[start, end)` that hold equally many known steps.

    Parameters
    ----------
    known : (step,)
        False within holes; they lengthen a fold, and teach it nothing.
    n_folds
        How many.

    Examples
    --------
    >>> folds(np.array([True] * 3 + [False] * 9 + [True]), 2)
    ((0, 2), (2, 13))
    """
    places = np.flatnonzero(known)
    if places.size < n_folds:
        places = np.arange(max(len(known), n_folds))
    inner = places[np.linspace(0, places.size, n_folds + 1).astype(int)[1:-1]].tolist()
    return tuple(itertools.pairwise([0, *inner, len(known)]))
