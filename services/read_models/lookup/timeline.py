"""Timeline of a session."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from lake.search import KEY_SCHEMA, Reach, Stop, Within
from services.read_models.lookup.query import SessionCursor, named
from services.read_models.lookup.rows import Prediction, complete
from services.read_models.lookup.snapshot import State

LONGEST_REST = timedelta(days=7)  # a session is not searched beyond so long a silence
_SCHEMA = KEY_SCHEMA.append(pa.field("step_index", pa.int64()))
_ORDER = [("at", "ascending"), ("step_index", "ascending"), ("prediction_id", "ascending")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Some steps of a session, in the order in which they happened.

    Attributes
    ----------
    first, last
        Event times of the whole session; None when it was not found yet.
    n_rows
        Of the whole session, what was sent again included.
    cursor
        Where the next page begins, or where the search goes on; None at the end.
    searched_back_to
        Set when time was up before the search was over.
    """

    rows: list[Prediction]
    first: datetime | None
    last: datetime | None
    n_rows: int
    cursor: SessionCursor | None
    searched_back_to: datetime | None


def timeline(
    state: State, session_id: str, after: SessionCursor | None, limit: int, stop: Stop
) -> Timeline | None:
    """Return the steps of a session after a cursor; None when there is no such session.

    Parameters
    ----------
    state
        Where they are.
    session_id
        As the service sent it.
    after
        Where the last page ended, or how far a search came; None at first.
    limit
        How many at most.
    stop
        Returns True once the time limit has passed.
    """
    span = Within() if after is None else after.within
    keys, reached = _keys(state, session_id, span, stop)
    if not keys.num_rows:
        if reached is None:
            return None
        return Timeline(
            rows=[],
            first=None,
            last=None,
            n_rows=0,
            cursor=SessionCursor.unfound(reached),
            searched_back_to=reached,
        )
    bounds = pc.min_max(keys["at"]).as_py()
    start = 0 if after is None else after.place_in(keys)
    rows, end = list[Prediction](), start
    while len(rows) < limit and end < keys.num_rows:
        some = keys.slice(end, limit - len(rows))
        rows += complete(state, some)
        end += some.num_rows
    last = keys.slice(end - 1, 1).to_pylist()[0]
    cursor = SessionCursor(
        first=bounds["min"],
        last=bounds["max"],
        at=last["at"],
        step_index=last["step_index"],
        prediction_id=last["prediction_id"],
    )
    return Timeline(
        rows=rows,
        first=bounds["min"],
        last=bounds["max"],
        n_rows=keys.num_rows,
        cursor=cursor if end < keys.num_rows else None,
        searched_back_to=reached,
    )


def _keys(
    state: State, session_id: str, span: Within, stop: Stop
) -> tuple[pa.Table, datetime | None]:
    """Return the keys of a session in order, and how far back they are all there are."""
    is_it = named("session_id", session_id, state.key)
    waiting = [
        rows.filter(is_it & span.rows).select(_SCHEMA.names)
        for rows in state.predictions.tables()
    ]
    waiting = [rows for rows in waiting if rows.num_rows]
    first = min((pc.min(rows["at"]).as_py() for rows in waiting), default=None)
    reach = Reach(gap=LONGEST_REST, known=first)
    found = state.lake.every(is_it, _SCHEMA.names, within=span, reach=reach, stop=stop)
    tables = [*waiting, *([] if found.keys is None else [found.keys])]
    keys = pa.concat_tables([_SCHEMA.empty_table(), *(each.cast(_SCHEMA) for each in tables)])
    steps = pc.fill_null(keys["step_index"], -1)
    keys = keys.set_column(keys.column_names.index("step_index"), "step_index", steps)
    return keys.sort_by(_ORDER), found.reached
