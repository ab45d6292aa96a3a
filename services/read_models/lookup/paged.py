"""Predictions by filter: newest first, page by page."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from lake.search import KEY_SCHEMA, KEYS, Place, Stop, Within, newest_of
from services.read_models.lookup.query import ListCursor, Query
from services.read_models.lookup.rows import Prediction, complete
from services.read_models.lookup.snapshot import State

PATIENCE = timedelta(seconds=3)  # then a search returns how far it came


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some predictions.

    Attributes
    ----------
    cursor
        Where the next page begins; None when this is the last.
    searched_back_to
        Set when time was up before the page was full: all later events were
        read.
    """

    rows: list[Prediction]
    cursor: ListCursor | None
    searched_back_to: datetime | None


def within() -> Stop:
    """Return a function that is true once the time limit has passed, from now on."""
    end = monotonic() + PATIENCE.total_seconds()
    return lambda: monotonic() > end


def page(state: State, query: Query, after: ListCursor | None, limit: int, stop: Stop) -> Page:
    """Return the newest predictions that match, of what comes after a cursor.

    Parameters
    ----------
    state
        Where they are.
    query
        Which ones.
    after
        Where the last page ended; None for the first.
    limit
        How many at most.
    stop
        Returns True once the time limit has passed.
    """
    rows: list[Prediction] = []
    span = query.within if after is None else query.within.after(after.place)
    while True:
        n = limit + 1 if query.labelled is not None else limit + 1 - len(rows)
        keys, reached = _newest(state, query, span, n, stop)
        if keys.num_rows:
            rows += [row for row in complete(state, keys) if _is_wanted(row, query)]
            last = keys.slice(keys.num_rows - 1).to_pylist()[0]
            span = span.after(Place(at=last["at"], prediction_id=last["prediction_id"]))
        if len(rows) > limit:
            end = rows[limit - 1].fields
            cursor = ListCursor(at=end["at"], prediction_id=end["prediction_id"])
            return Page(rows=rows[:limit], cursor=cursor, searched_back_to=None)
        if reached is not None:
            cursor = ListCursor(at=reached, prediction_id=None)
            return Page(rows=rows, cursor=cursor, searched_back_to=reached)
        if keys.num_rows < n or span.before is None:
            return Page(rows=rows, cursor=None, searched_back_to=None)
        if stop():
            place = span.before
            cursor = ListCursor(at=place.at, prediction_id=place.prediction_id)
            return Page(rows=rows, cursor=cursor, searched_back_to=place.at)


def _newest(
    state: State, query: Query, span: Within, n: int, stop: Stop
) -> tuple[pa.Table, datetime | None]:
    """Return the newest keys of inbox and lake, and how far back they are all there are."""
    wanted = query.rows(state.key)
    found = state.lake.newest(wanted, n, within=span, stop=stop)
    keys = KEY_SCHEMA.empty_table() if found.keys is None else found.keys
    for rows in state.predictions.tables():
        more = rows.filter(wanted & span.rows).select(KEYS).cast(KEY_SCHEMA)
        keys = newest_of([keys, more], n)
    if found.reached is not None:
        keys = keys.filter(pc.field("at") > found.reached)
    return keys, found.reached


def _is_wanted(row: Prediction, query: Query) -> bool:
    return query.labelled is None or query.labelled == (row.label is not None)
