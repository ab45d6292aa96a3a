"""Streams of summaries of rows: an hour or a day of event time in each row."""

from collections.abc import Iterable
from datetime import datetime

from core.streams import Additive
from monitors.summaries.serialization import from_many, to_bytes
from monitors.summaries.summary import Summary, chunk_start


def by_hour(summary: Summary) -> Iterable[tuple[datetime, Summary]]:
    """Return each hour apart.

    Examples
    --------
    >>> from monitors.summaries.summary import empty
    >>> [*by_hour(empty(7))]
    []
    """
    return [(chunk_start(int(part.chunks[0])), part) for part in summary.split()]


INPUT = Additive(name="input", to_bytes=to_bytes, from_many=from_many, split=by_hour)
OUTPUT = Additive(name="output", to_bytes=to_bytes, from_many=from_many, split=by_hour)
# A row a day: its hour is the first of the day.
WINDOW_PROFILE = Additive(
    name="window_profile", to_bytes=to_bytes, from_many=from_many, split=by_hour
)
