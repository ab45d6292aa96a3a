"""Shared by monitors with daily evaluations: the last evaluation and its run of breaches."""

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from core.window import Window
from monitors.detail import Detail
from monitors.finding import Finding, Outcome, as_json
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats, chunk_start


def no_data(
    window: Window, reason: str, detail: Detail | None = None, threshold: float | None = None
) -> Finding:
    """Return the finding of an evaluation that could not be had."""
    detail = detail or Detail()
    outcome = Outcome.NO_DATA
    return Finding(
        outcome=outcome, threshold=threshold, window=window, cause=reason, detail=detail
    )


def by_view(
    names: Sequence[str], views: Sequence[str], scores: Floats
) -> dict[str, dict[str, float | None]]:
    """Return the scores of an evaluation, (part, view), by the names of parts and views."""
    return {
        name: {view: as_json(score) for view, score in zip(views, row, strict=True)}
        for name, row in zip(names, scores, strict=True)
    }


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


def since(joint: Floats, first_day: int, threshold: float) -> datetime | None:
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
    datetime or None
        The first moment of the last day of its first evaluation; None where the last
        evaluation is no breach.

    Examples
    --------
    >>> str(since(np.array([9.0, 1.0, 3.0, 4.0]), first_day=0, threshold=2.0))
    '1970-01-03 00:00:00+00:00'
    """
    quiet = np.flatnonzero(~(joint > threshold))
    run = len(joint) - (int(quiet[-1]) + 1 if quiet.size else 0)
    return chunk_start((first_day + len(joint) - run) * HOURS) if run else None
