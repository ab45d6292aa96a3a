"""Labels of predictions: by which key they are read, and which prediction each is about."""

from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import Floats, Ints
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import Kind
from core.schema.task import LabelKey
from core.window import Window
from lake.lists import flatten, micros
from lake.matching import Actuals, actuals_by_entity, by_arrival, places_of, target_times
from lake.reading import Log

NEVER = np.iinfo(np.int64).min
_BEFORE = timedelta(days=1)  # a label may be received so long before its prediction is
_EPOCH, _US = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_VALUES = ("actual", "arrived_at", "received_at")

Tables = Mapping[LabelKey, pa.Table]
Values = tuple[Floats, Ints]


def columns(key: LabelKey) -> list[str]:
    """Return the columns of labels that are read by a key."""
    return [*key.columns, *_VALUES]


def wanted(
    key: LabelKey, rows: pa.Table, window: Window, stored: Container[str]
) -> pc.Expression:
    """Return which labels may be about some predictions.

    Parameters
    ----------
    key
        By what the labels name them.
    rows
        The predictions.
    window
        The times that they are about.
    stored
        The columns of the labels.
    """
    if key in (LabelKey.PREDICTION_ID, LabelKey.SESSION_STEP):
        name = key.columns[0]
        return pc.field(name).isin(_texts(rows[name]))
    of_entity = pc.field("entity").isin(_texts(rows["entity"]))
    reaches = (pc.field("target_at") < window.end) & (pc.field("until") >= window.start)
    if "target_end" not in stored:
        return of_entity & reaches
    is_interval = pc.field("target_end").is_valid()
    return of_entity & reaches & (is_interval if key is LabelKey.INTERVAL else ~is_interval)


def read(
    log: Log, contract: Contract, rows: pa.Table, window: Window
) -> dict[LabelKey, pa.Table]:
    """Return the labels in the lake that may be about some predictions, as `wanted`."""
    since = pc.min(rows["received_at"]).as_py() - _BEFORE
    stored, found = {*log.schema(Kind.LABELS).names}, {}
    for key in sorted(task.of(contract).keys):
        if not stored.issuperset(columns(key)):
            continue  # the task has gained a key since: no label bears it yet
        names = _texts(rows[key.columns[0]])
        if not len(names):
            continue
        if key in (LabelKey.PREDICTION_ID, LabelKey.SESSION_STEP):
            labels = log.labels_by(key.columns[0], names, since, columns(key))
        else:
            only = wanted(key, rows, window, stored)
            labels = log.labels(window, columns(key), only)
        if labels is not None and labels.num_rows:
            found[key] = labels
    return found


def _texts(column: pa.ChunkedArray) -> pa.Array:
    return pc.unique(column).drop_null()


def span(contract: Contract, rows: pa.Table, back: Ints | int = 0) -> Window:
    """Return the times that predictions are about, and those so many microseconds before."""
    times = times_of(contract, rows)
    first, last = int((times - back).min()), int(times.max())
    return Window(_EPOCH + first * _US, _EPOCH + (last + 1) * _US)


def times_of(contract: Contract, rows: pa.Table) -> Ints:
    """Return what each prediction is about, (prediction, step); of lists its own moment."""
    if task.of(contract).compares_lists:
        return micros(rows["at"])[:, None]
    return target_times(rows, contract)


def match(contract: Contract, rows: pa.Table, tables: Tables) -> Values:
    """Return labels of numbers and when they arrived; the one that arrived last counts.

    Returns
    -------
    values : (prediction, step, target)
        NaN where no label is in.
    arrived : (prediction, step, target)
        In microseconds since 1970; `NEVER` where none is in.
    """
    shape = (rows.num_rows, contract.horizon, len(contract.targets))
    values, arrived = np.full(shape, np.nan), np.full(shape, NEVER)
    for key, labels in tables.items():
        other = _MATCH[key](contract, rows, labels)
        values = np.where(other[1] > arrived, other[0], values)
        arrived = np.maximum(arrived, other[1])
    return values, arrived


def match_lists(rows: pa.Table, tables: Tables) -> tuple[pa.StructArray, Ints] | None:
    """Return the whole label of each prediction, the one that arrived last, and when it did.

    Returns
    -------
    labels : (prediction,)
        Null where there is none.
    arrived : (prediction,)
        In microseconds since 1970. None instead of both where there is no label at all.
    """
    if not tables:
        return None
    found, when, first = np.full(rows.num_rows, -1), np.full(rows.num_rows, NEVER), 0
    some = {key: by_arrival(labels) for key, labels in tables.items()}
    for key, labels in some.items():
        of_rows, of_labels = _numbers(key, rows, labels)
        at = _last(of_labels, np.arange(labels.num_rows), int(of_rows.max()) + 1)[of_rows]
        arrived = np.where(at < 0, NEVER, micros(labels["arrived_at"])[at])
        found = np.where(arrived > when, at + first, found)
        when = np.maximum(when, arrived)
        first += labels.num_rows
    actual = pa.concat_tables([each.select(["actual"]) for each in some.values()])["actual"]
    return actual.combine_chunks().take(pa.array(found, mask=found < 0)), when


def _last(numbers: Ints, of: Ints, n: int) -> Ints:
    """Return what the last label of each number is, -1 of none; the end is for none."""
    last = np.full(n + 1, -1)
    is_one = (numbers >= 0) & (numbers < n)
    last[numbers[is_one]] = of[is_one]
    return last


def _numbers(key: LabelKey, rows: pa.Table, labels: pa.Table) -> tuple[Ints, Ints]:
    """Return a number for what each prediction, and each label, is about; -1 for neither."""
    if key is LabelKey.PREDICTION_ID:
        ids = pc.unique(rows["prediction_id"])
        return places_of(rows["prediction_id"], ids), places_of(labels["prediction_id"], ids)
    name, at, about = ("session_id", "step_index", "step_index")
    if key is LabelKey.TARGET_AT:
        name, at, about = ("entity", "at", "target_at")
    known = pc.unique(rows[name]).drop_null()
    moments = np.unique(_ints(rows[at]))
    numbers = []
    for table, column in ((rows, at), (labels, about)):
        places, values = places_of(table[name], known), _ints(table[column])
        slot = np.searchsorted(moments, values).clip(max=moments.size - 1)
        is_known = (places >= 0) & (moments[slot] == values) & (values != NEVER)
        numbers.append(np.where(is_known, places * moments.size + slot, -1))
    return numbers[0], numbers[1]


def _ints(column: pa.ChunkedArray) -> Ints:
    found: Ints = pc.fill_null(column.cast(pa.int64()), NEVER).to_numpy()
    return found


def _by_key(key: LabelKey) -> Callable[[Contract, pa.Table, pa.Table], Values]:
    """Lay out labels whose lists are about the steps of one prediction."""

    def laid_out(contract: Contract, rows: pa.Table, labels: pa.Table) -> Values:
        labels = by_arrival(labels)
        of_rows, of_labels = _numbers(key, rows, labels)
        n = int(of_rows.max()) + 1
        shape = (n + 1, contract.horizon, len(contract.targets))
        values, arrived = np.full(shape, np.nan), np.full(shape, NEVER)
        when = micros(labels["arrived_at"])
        for i, target in enumerate(contract.targets):
            flat = flatten(labels, "actual", target)
            number = of_labels[flat.rows]
            use = np.isfinite(flat.values) & (flat.steps < contract.horizon) & (number >= 0)
            at = number[use], flat.steps[use]
            values[(*at, i)] = flat.values[use]
            arrived[(*at, i)] = when[flat.rows[use]]
        return values[of_rows], arrived[of_rows]

    return laid_out


def actuals(contract: Contract, rows: pa.Table, labels: pa.Table) -> tuple[Actuals, Ints]:
    """Return labels by entity and time, and each prediction's place among the entities."""
    entities = pc.unique(rows["entity"]).drop_null()
    return actuals_by_entity(labels, contract, entities), places_of(rows["entity"], entities)


def _by_time(contract: Contract, rows: pa.Table, labels: pa.Table) -> Values:
    known, places = actuals(contract, rows, labels)
    return known.at(places, target_times(rows, contract))


def _by_interval(contract: Contract, rows: pa.Table, labels: pa.Table) -> Values:
    """Give every step within an interval its first value; intervals are few."""
    labels, times = by_arrival(labels), target_times(rows, contract)
    entities = pc.unique(rows["entity"]).drop_null()
    places, of_labels = (places_of(of["entity"], entities) for of in (rows, labels))
    bounds = zip(micros(labels["target_at"]), micros(labels["target_end"]), strict=True)
    when = micros(labels["arrived_at"])
    shape = (*times.shape, len(contract.targets))
    values, arrived = np.full(shape, np.nan), np.full(shape, NEVER)
    firsts = [
        dict(zip(flat.rows[flat.steps == 0], flat.values[flat.steps == 0], strict=True))
        for flat in (flatten(labels, "actual", target) for target in contract.targets)
    ]
    for row, (start, end) in enumerate(bounds):
        within = (places == of_labels[row])[:, None] & (times >= start) & (times < end)
        for i, first in enumerate(firsts):
            if np.isfinite(first.get(row, np.nan)):
                values[within, i], arrived[within, i] = first[row], when[row]
    return values, arrived


_MATCH = {
    LabelKey.PREDICTION_ID: _by_key(LabelKey.PREDICTION_ID),
    LabelKey.SESSION_STEP: _by_key(LabelKey.SESSION_STEP),
    LabelKey.TARGET_AT: _by_time,
    LabelKey.INTERVAL: _by_interval,
}
