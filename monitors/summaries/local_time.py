"""Summaries by hour of UTC, laid out by hour of local time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np

from core.schema.zone import Zone, changes
from monitors.summaries.moments import MAX, MIN, SUM, N, mean_and_sd
from monitors.summaries.summary import (
    CHUNK,
    Ints,
    Summary,
    chunk_at,
    chunk_index,
    chunk_start,
    merge,
)

MOST_SKIPPED = 2  # hours: zones that have moved across the date line skip a day
_HOUR_US = CHUNK // timedelta(microseconds=1)


def local_hours(chunks: Ints, zone: Zone) -> Ints:
    """Return the local hour of each hour of UTC, both counted since 1970.

    Parameters
    ----------
    chunks : (chunk,)
        In any order.
    zone
        Whose local time.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> night = chunk_at(datetime(2026, 3, 29, tzinfo=UTC)) + np.arange(-1, 3)
    >>> local_hours(night, Zone("Europe/Berlin")) % 24
    array([0, 1, 3, 4])
    """
    if zone.is_utc or not chunks.size:
        return chunks
    starts, offsets = _offsets(chunks, zone)
    shifted: Ints = chunks + offsets[np.searchsorted(starts, chunks, side="right") - 1]
    return shifted


def local_micros(times_us: Ints, zone: Zone) -> Ints:
    """Return the local time of instants, both in microseconds since 1970.

    Parameters
    ----------
    times_us : (value,)
        In any order.
    zone
        Whose local time.
    """
    if zone.is_utc:
        return times_us
    hours = chunk_index(times_us)
    moved: Ints = times_us + (local_hours(hours, zone) - hours) * _HOUR_US
    return moved


def _offsets(chunks: Ints, zone: Zone) -> tuple[Ints, Ints]:
    """Return the offsets that hold in some hours of UTC, and the first hour of each."""
    since = changes(zone, chunk_start(int(chunks.min())), chunk_start(int(chunks.max()) + 1))
    starts = np.array([chunk_at(at) for at, _ in since])
    return starts, np.array([by // CHUNK for _, by in since])


def in_local_time(summary: Summary, zone: Zone, slots: int = 1) -> Summary:
    """Return a summary with an hour of local time in each chunk.

    An hour that clocks skip is interpolated: it is no missing value. Two hours that show
    the same time are merged.

    Parameters
    ----------
    summary
        By hour of UTC.
    zone
        Whose local time.
    slots
        Chunks of an hour: more than 1 in a summary by segment.
    """
    if zone.is_utc or not summary.chunks.size:
        return summary
    chunks = local_hours(summary.chunks // slots, zone) * slots + summary.chunks % slots
    moved = replace(summary, chunks=chunks)
    skipped = [*_skipped(moved, slots, *_offsets(summary.chunks // slots, zone))]
    if not skipped and (np.diff(chunks) > 0).all():
        return moved
    return merge(moved, moved.select(0, 0), *skipped)


def _skipped(local: Summary, slots: int, starts: Ints, offsets: Ints) -> Iterator[Summary]:
    """Yield the summary of each hour that clocks skip, between two hours with values.

    It has the counts of the hour before it, and the mean of both.
    """
    for i in np.flatnonzero(np.diff(offsets) > 0).tolist():
        first, end = int(starts[i + 1] + offsets[i]), int(starts[i + 1] + offsets[i + 1])
        _, before, after = np.intersect1d(
            local.chunks - (first - 1) * slots, local.chunks - end * slots, return_indices=True
        )
        near = (local.chunks[before] // slots == first - 1) & (end - first <= MOST_SKIPPED)
        before, after = before[near], after[near]
        if not before.size:
            continue
        moments, next_to = local.moments[before], local.moments[after]
        mean = (mean_and_sd(moments)[0] + mean_and_sd(next_to)[0]) / 2
        both = np.isfinite(mean)
        moments[both, SUM] = (moments[..., N] * mean)[both]
        moments[..., MIN] = np.minimum(moments[..., MIN], next_to[..., MIN])
        moments[..., MAX] = np.maximum(moments[..., MAX], next_to[..., MAX])
        for hour in range(first, end):
            yield Summary(
                chunks=local.chunks[before] + (hour - first + 1) * slots,
                moments=moments,
                counts=local.counts[before],
            )
