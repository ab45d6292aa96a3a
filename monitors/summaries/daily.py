"""Summaries laid on a regular grid of days: the input of `data_quality`."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from core.window import Stretches
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import (
    MAX,
    MIN,
    N_MISSING,
    N_REPEAT,
    SUM,
    Bools,
    Floats,
    N,
    Summary,
    chunk_at,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Daily:
    """Per day and feature, without gaps.

    Attributes
    ----------
    names
        The features.
    first_day
        The day of row 0, as days since 1970.
    n, n_missing, n_repeat : (day, feature)
        How many values were there, were missing, repeated the one before.
    low, high : (day, feature)
        The smallest and the largest value; infinite where there is none.
    has : (day, hour, feature)
        Whether any value arrived.
    counts : (day, feature, bin)
        Values per bin of the frozen edges.
    is_read : (day,)
        False between the stretches that were read: nothing is known of such a day.
    """

    names: tuple[str, ...]
    first_day: int
    n: Floats
    n_missing: Floats
    n_repeat: Floats
    low: Floats
    high: Floats
    has: Bools
    counts: Floats
    is_read: Bools

    def __len__(self) -> int:
        return len(self.n)

    def until(self, end: int, days: int) -> "Daily":
        """Return the `days` before day `end`, or as many of them as there are."""
        stop = min(max(end - self.first_day, 0), len(self))
        start = max(stop - days, 0)
        return Daily(
            names=self.names,
            first_day=self.first_day + start,
            n=self.n[start:stop],
            n_missing=self.n_missing[start:stop],
            n_repeat=self.n_repeat[start:stop],
            low=self.low[start:stop],
            high=self.high[start:stop],
            has=self.has[start:stop],
            counts=self.counts[start:stop],
            is_read=self.is_read[start:stop],
        )


def daily(
    summary: Summary,
    names: tuple[str, ...],
    start: datetime,
    end: datetime,
    parts: Stretches = (),
) -> Daily:
    """Lay the whole days of `[start, end)` on a grid.

    Parameters
    ----------
    summary
        Hours that are absent count as hours without a value.
    names
        The features, in the order of the summary.
    start, end
        Timezone-aware; a day that is only partly between them is left out.
    parts
        The stretches between them that were read, by default all. A day that is only
        partly within one was not read.

    Raises
    ------
    ValueError
        If `names` does not fit the summary.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> from monitors.summaries.summary import Edges
    >>> from monitors.summaries.values import Column, summarise
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
    >>> hours, flags = np.array([25, 26, 26]), np.zeros(3, dtype=bool)
    >>> x = Column(values=np.array([0.5, 2.5, np.nan]), chunks=hours, repeats=flags)
    >>> start = datetime(1970, 1, 2, tzinfo=UTC)
    >>> two = daily(summarise([x], edges), ("x",), start, start + timedelta(days=2))
    >>> two.n.ravel(), two.n_missing.ravel(), two.high.ravel()
    (array([2., 0.]), array([1., 0.]), array([ 2.5, -inf]))
    """
    n_features, n_bins = summary.counts.shape[1:]
    if len(names) != n_features:
        raise ValueError(f"{len(names)} names for {n_features} features")
    first, last = -(-chunk_at(start) // HOURS), chunk_at(end) // HOURS
    n_days = max(last - first, 0)
    is_read = np.full(n_days, not parts)
    for one in parts:
        is_read[
            -(-chunk_at(one.start) // HOURS) - first : chunk_at(one.end) // HOURS - first
        ] = True
    part = summary.select(first * HOURS, last * HOURS)
    if parts:
        part = part.at(is_read[part.chunks // HOURS - first])
    days = part.chunks // HOURS - first
    added = np.zeros((n_days, n_features, SUM))
    low, high = np.full((2, n_days, n_features), np.inf) * np.array([1.0, -1.0])[:, None, None]
    counts = np.zeros((n_days, n_features, n_bins))
    has = np.zeros((n_days * HOURS, n_features), dtype=np.bool_)
    if days.size:
        starts = np.flatnonzero(np.r_[True, np.diff(days) > 0])
        at = days[starts]
        added[at] = np.add.reduceat(part.moments[..., :SUM], starts)
        low[at] = np.minimum.reduceat(part.moments[..., MIN], starts)
        high[at] = np.maximum.reduceat(part.moments[..., MAX], starts)
        counts[at] = np.add.reduceat(part.counts, starts, dtype=np.float64)
        has[part.chunks - first * HOURS] = part.moments[..., N] > 0
    return Daily(
        names=names,
        first_day=first,
        n=added[..., N],
        n_missing=added[..., N_MISSING],
        n_repeat=added[..., N_REPEAT],
        low=low,
        high=high,
        has=has.reshape(n_days, HOURS, n_features),
        counts=counts,
        is_read=is_read,
    )
