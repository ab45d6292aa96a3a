"""Shared by monitors with daily evaluations: the last evaluation and its run of breaches."""

import math

import numpy as np

from core.window import Window
from monitors.finding import Finding, Outcome
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats, chunk_start


def no_data(window: Window, reason: str) -> Finding:
    """Return the finding of an evaluation that could not be had."""
    return Finding(
        outcome=Outcome.NO_DATA, value=None, threshold=None, window=window, cause=reason
    )


def what_lacks(joint: Floats, first_day: int, end: int) -> str:
    """Return why the day that closes at chunk `end` is not evaluated; "" where it is.

    Parameters
    ----------
    joint : (evaluation,)
        One a day; NaN: no data.
    first_day
        The day (since the epoch) that the first evaluation closes.
    end
        A midnight, in hours since the epoch.

    Examples
    --------
    >>> what_lacks(np.array([1.0, 2.0]), first_day=10, end=12 * 24)
    ''
    """
    if len(joint) == 0 or first_day + len(joint) != end // HOURS:
        return "the stream is shorter than a window and a season"
    if math.isnan(joint[-1]):
        return "fewer than half of the window's hours hold a value"
    return ""


def since(joint: Floats, first_day: int, threshold: float) -> str | None:
    """Return the day on which the run of breaches began that lasts until now.

    Parameters
    ----------
    joint : (evaluation,)
        One a day; NaN, no data, ends a run.
    first_day
        The day (since the epoch) that the first evaluation closes.
    threshold
        A score above it is a breach.

    Returns
    -------
    str or None
        The first moment of the last day of its first evaluation; None where the last
        evaluation is no breach.

    Examples
    --------
    >>> since(np.array([9.0, 1.0, 3.0, 4.0]), first_day=0, threshold=2.0)
    '1970-01-03T00:00:00+00:00'
    """
    quiet = np.flatnonzero(~(joint > threshold))
    run = len(joint) - (int(quiet[-1]) + 1 if quiet.size else 0)
    return chunk_start((first_day + len(joint) - run) * HOURS).isoformat() if run else None
