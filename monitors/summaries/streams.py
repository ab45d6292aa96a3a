"""Streams of summaries of rows: an hour or a day of event time in each row."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from core.streams import Additive, Level
from monitors.summaries.serialization import added, from_many, to_bytes
from monitors.summaries.summary import Summary, chunk_at, chunk_start, merge


def by_hour(summary: Summary) -> Iterable[tuple[datetime, Summary]]:
    """Return each hour apart.

    Examples
    --------
    >>> from monitors.summaries.summary import empty
    >>> [*by_hour(empty(7))]
    []
    """
    return [(chunk_start(int(part.chunks[0])), part) for part in summary.split()]


def as_one_hour(summary: Summary, start: datetime, slots: int = 1) -> Summary:
    """Return everything as of one hour.

    Parameters
    ----------
    summary
        By hour; at least one.
    start
        Of that hour.
    slots
        Chunks of an hour: more than 1 in a summary by segment.
    """
    same = replace(summary, chunks=chunk_at(start) * slots + summary.chunks % slots)
    return merge(same, summary.select(0, 0))


INPUT = Additive(
    name="input",
    to_bytes=to_bytes,
    from_many=from_many,
    added=added,
    split=by_hour,
    whole=as_one_hour,
)
OUTPUT = replace(INPUT, name="output")
# A row a day: its hour is the first of the day.
WINDOW_PROFILE = Additive(
    name="window_profile",
    to_bytes=to_bytes,
    from_many=from_many,
    added=added,
    split=by_hour,
    level=Level.DAY,
)
