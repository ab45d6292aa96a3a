"""One prediction, by its id."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.lists import days_of
from lake.search import KEY_SCHEMA, KEYS, Reach, Stop, Within, newest_of
from services.read_models.lookup.query import ListCursor
from services.read_models.lookup.rows import Prediction, complete
from services.read_models.lookup.snapshot import State

NEAR = timedelta(days=1)  # around a time that the caller remembers


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """Not found within the time limit: it covered events after `searched_back_to`."""

    cursor: ListCursor
    searched_back_to: datetime


def prediction(
    state: State,
    prediction_id: str,
    *,
    near: datetime | None = None,
    after: ListCursor | None = None,
    stop: Stop,
) -> Prediction | Unfinished | None:
    """Find a prediction by its id; None when there is none.

    An id does not hold a time. The newest rows are read first, and of
    the older ones only their ids. When an id was used on several event days,
    the newest is found.

    Parameters
    ----------
    state
        Where it is.
    prediction_id
        As the service sent it.
    near
        Its event time, give or take a day, if the caller knows: then nothing
        else is read.
    after
        Where an unfinished search stopped.
    stop
        Returns True once the time limit has passed.
    """
    is_it = pc.field("prediction_id") == prediction_id
    span = Within() if near is None else Within(first=near - NEAR, last=near + NEAR)
    if after is not None:
        span = span.after(after.place)
    keys = [
        rows.filter(is_it & span.rows).select(KEYS).cast(KEY_SCHEMA)
        for rows in state.predictions.tables()
    ]
    waiting = pa.concat_tables([KEY_SCHEMA.empty_table(), *keys])
    if waiting.num_rows:  # an older one in the lake is not wanted
        newest = pc.max(waiting["at"]).as_py()
        span = Within(first=newest.replace(hour=0, minute=0, second=0, microsecond=0))
    found = state.lake.every(is_it, KEYS, within=span, reach=Reach(gap=timedelta(0)), stop=stop)
    if found.keys is not None:
        keys.append(found.keys)
    every = pa.concat_tables([KEY_SCHEMA.empty_table(), *keys])
    if not every.num_rows:
        if found.reached is None:
            return None
        cursor = ListCursor(at=found.reached, prediction_id=None)
        return Unfinished(cursor=cursor, searched_back_to=found.reached)
    every = newest_of([every], every.num_rows)
    days = days_of(every["at"])
    return complete(state, every.filter(pa.array(days == np.max(days))))[0]
