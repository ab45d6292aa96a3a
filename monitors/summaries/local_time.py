"""Summaries by hour of UTC, laid out by hour of local time."""

from dataclasses import replace
from datetime import timedelta

import numpy as np

from core.zone import Zone, changes
from monitors.summaries.summary import (
    CHUNK,
    Ints,
    Summary,
    chunk_at,
    chunk_index,
    chunk_start,
    merge,
)

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
    first, last = int(chunks.min()), int(chunks.max())
    since = changes(zone, chunk_start(first), chunk_start(last + 1))
    starts = np.array([chunk_at(at) for at, _ in since])
    offsets = np.array([chunk_at(chunk_start(0) + by) for _, by in since])
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


def in_local_time(summary: Summary, zone: Zone, slots: int = 1) -> Summary:
    """Return a summary with an hour of local time in each chunk.

    An hour that clocks skip is absent; two that show the same time are merged.

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
    return moved if (np.diff(chunks) > 0).all() else merge(moved, moved.select(0, 0))
