"""Input at the model's grain, the finest that is summarised, on a grid without gaps."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from core.streams import Additive, Level
from core.window import Window
from monitors.summaries.moments import MAX, MIN, N_MISSING, mean_and_sd
from monitors.summaries.serialization import added, from_many, to_bytes
from monitors.summaries.summary import Floats, N, Summary, in_order

_HOUR_S, _DAY = 3600, timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HISTORY = timedelta(days=14)  # rows that come so late are history: of them there are no grains


def rolled_up(summary: Summary, grain: timedelta, slots: int = 1) -> Summary:
    """Return the summary of whole hours.

    Parameters
    ----------
    summary
        Its chunks are grains since 1970, or `grain * slots + place`.
    grain
        A part of an hour.
    slots
        How many places there are of each grain.
    """
    per_hour = _HOUR_S // int(grain.total_seconds())
    hours = summary.chunks // slots // per_hour * slots + summary.chunks % slots
    return in_order(replace(summary, chunks=hours))


def without_counts(summary: Summary, grain: timedelta, since: datetime) -> Summary:
    """Return the moments of the grains from a moment on, as `INPUT_GRAINS` keeps them.

    Their chunks are seconds since 1970, so that no row needs its grain to be dated.
    """
    seconds = summary.chunks * int(grain.total_seconds())
    recent = seconds >= (since - _EPOCH).total_seconds()
    moments = summary.moments[recent]
    counts = np.empty((*moments.shape[:2], 0), dtype=np.uint32)
    return Summary(chunks=seconds[recent], moments=moments, counts=counts)


def _by_hour(grains: Summary) -> Iterable[tuple[datetime, Summary]]:
    for hour in np.unique(grains.chunks // _HOUR_S).tolist():
        start = hour * _HOUR_S
        yield _EPOCH + timedelta(seconds=start), grains.select(start, start + _HOUR_S)


INPUT_GRAINS = Additive(
    name="input_grains",
    to_bytes=to_bytes,
    from_many=from_many,
    added=added,
    split=_by_hour,
    level=Level.GRAIN,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grains:
    """Input per grain and feature, the oldest first, without gaps.

    Attributes
    ----------
    names
        The features.
    start, grain
        The first moment, and the width of a row of the arrays.
    n, n_missing : (grain, feature)
        How many values there were, and how many were missing.
    mean, sd, low, high : (grain, feature)
        NaN where no value arrived.
    """

    names: tuple[str, ...]
    start: datetime
    grain: timedelta
    n: Floats
    n_missing: Floats
    mean: Floats
    sd: Floats
    low: Floats
    high: Floats

    def __len__(self) -> int:
        return len(self.n)

    @property
    def spans_a_day(self) -> bool:
        """Whether rows of a whole day, or more, are among them."""
        rows = np.flatnonzero((self.n > 0).any(axis=1))
        return rows.size > 0 and (rows[-1] - rows[0] + 1) * self.grain >= _DAY

    @property
    def end(self) -> datetime:
        """The end of the last grain."""
        return self.start + len(self) * self.grain


def on_grid(
    seen: Summary, names: tuple[str, ...], window: Window, grain: timedelta, unit_s: int = 1
) -> Grains:
    """Lay grains on a grid.

    Parameters
    ----------
    seen
        Its chunks count `unit_s` seconds each, since 1970.
    names
        The features, in the order of the summary.
    window
        Whole grains.
    grain
        Of which `unit_s` is a multiple, or which is a multiple of it.
    """
    width = int(grain.total_seconds())
    first, n = (window.start - _EPOCH) // grain, (window.end - window.start) // grain
    at = seen.chunks * unit_s // width - first
    inside = (at >= 0) & (at < n)
    moments, at = seen.moments[inside], at[inside]
    grid = np.full((6, n, len(names)), np.nan)
    grid[:2] = 0.0
    mean, sd = mean_and_sd(moments)
    there = moments[..., N] > 0
    parts = (
        moments[..., N],
        moments[..., N_MISSING],
        mean,
        sd,
        np.where(there, moments[..., MIN], np.nan),
        np.where(there, moments[..., MAX], np.nan),
    )
    for i, part in enumerate(parts):
        grid[i, at] = part
    return Grains(
        names=names,
        start=window.start,
        grain=grain,
        n=grid[0],
        n_missing=grid[1],
        mean=grid[2],
        sd=grid[3],
        low=grid[4],
        high=grid[5],
    )
