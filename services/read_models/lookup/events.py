"""Events of inference services by filter: newest first, page by page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from core.schema.events import EVENT_SCHEMA
from core.schema.rows import Kind
from lake.search import Stop, Within, loose
from services.read_models.lookup.snapshot import State, conform

KINDS = (Kind.EVENTS,)  # that `open_snapshot` reads
Event: TypeAlias = dict[str, Any]

_EPOCH = date(1970, 1, 1)
_SCHEMA = loose(EVENT_SCHEMA)
_ORDER = [("at", "descending"), ("event_id", "descending")]


class EventCursor(msgspec.Struct, forbid_unknown_fields=True, array_like=True):
    """The last event of a page, or how far back was searched."""

    at: datetime
    event_id: str | None

    @property
    def beyond(self) -> pc.Expression:
        """Which events come after it."""
        if self.event_id is None:
            return pc.field("at") < self.at
        tied = (pc.field("at") == self.at) & (pc.field("event_id") < self.event_id)
        return (pc.field("at") < self.at) | tied


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events; `searched_back_to` is set when time was up before the page was full."""

    rows: list[Event]
    cursor: EventCursor | None = None
    searched_back_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events; None, and no type, leaves open. `until` is not included."""

    since: datetime | None = None
    until: datetime | None = None
    types: tuple[str, ...] = ()
    version: str | None = None

    @property
    def rows(self) -> pc.Expression:
        """The condition on a row."""
        found = pc.scalar(True)
        if self.since is not None:
            found &= pc.field("at") >= self.since
        if self.until is not None:
            found &= pc.field("at") < self.until
        if self.types:
            found &= pc.field("type").isin([*self.types])
        if self.version is not None:
            found &= pc.field("version") == self.version
        return found


def page(
    state: State, query: EventQuery, after: EventCursor | None, limit: int, stop: Stop
) -> EventPage:
    """Return the newest events that match, of what comes after a cursor.

    Parameters
    ----------
    state
        Where they are, opened with `KINDS`.
    query
        Which ones.
    after
        Where the last page ended; None for the first.
    limit
        How many at most.
    stop
        Returns True once the time limit has passed; at least one day is read.
    """
    wanted = query.rows if after is None else query.rows & after.beyond
    found = _newest(_waiting(state, wanted), limit + 1)
    for day in state.lake.days:
        within = _of_day(day, query)
        if within is None:
            continue
        if found.num_rows > limit and found["at"][limit].as_py() > within.last:
            break
        of_day = state.lake.stream(wanted, _SCHEMA.names, within)
        found = _newest([found, *(conform(rows, _SCHEMA) for rows in of_day)], limit + 1)
        if found.num_rows <= limit and stop():
            kept = found.filter(pc.field("at") >= within.first)
            cursor = EventCursor(at=within.first, event_id=None)
            return EventPage(
                rows=kept.to_pylist(), cursor=cursor, searched_back_to=within.first
            )
    rows = found.slice(0, limit).to_pylist()
    if found.num_rows <= limit:
        return EventPage(rows=rows)
    return EventPage(
        rows=rows, cursor=EventCursor(at=rows[-1]["at"], event_id=rows[-1]["event_id"])
    )


def batches(state: State, query: EventQuery) -> Iterator[pa.Table]:
    """Yield the events that match: the oldest event day first, and then the inbox."""
    for day in reversed(state.lake.days):
        within = _of_day(day, query)
        if within is not None:
            for rows in state.lake.stream(query.rows, _SCHEMA.names, within):
                yield conform(rows, _SCHEMA)
    yield from _waiting(state, query.rows)


def _waiting(state: State, wanted: pc.Expression) -> Iterator[pa.Table]:
    """Yield the events that no archive has taken yet."""
    for rows in state.waiting[Kind.EVENTS].tables():
        yield rows.filter(wanted)


def _of_day(day: date, query: EventQuery) -> Within | None:
    """Return the times of a day, within those of a query; None where there are none."""
    within = Within.of_day((day - _EPOCH).days)
    is_before = query.since is not None and within.last < query.since
    is_after = query.until is not None and within.first >= query.until
    return None if is_before or is_after else within


def _newest(tables: Iterable[pa.Table], n: int) -> pa.Table:
    rows = pa.concat_tables([_SCHEMA.empty_table(), *tables])
    return rows.take(pc.select_k_unstable(rows, k=min(n, rows.num_rows), sort_keys=_ORDER))
