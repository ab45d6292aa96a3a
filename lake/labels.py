"""Labels of predictions: by which key they are read, and which prediction each is about."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
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
_NAMED = (LabelKey.PREDICTION_ID, LabelKey.SESSION_STEP)  # by one text, without their time

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
    if key in _NAMED:
        name = key.columns[0]
        return pc.field(name).isin(_texts(rows[name]))
    of_entity = pc.field("entity").isin(_texts(rows["entity"]))
    reaches = (pc.field("target_at") < window.end) & (pc.field("until") >= window.start)
    return of_entity & reaches & _bears(key, stored)


def _bears(key: LabelKey, stored: Container[str]) -> pc.Expression:
    """Return which labels by an entity are about a time, or about an interval."""
    named = pc.field("entity").is_valid()
    if "target_end" not in stored:
        return named
    is_interval = pc.field("target_end").is_valid()
    return named & (is_interval if key is LabelKey.INTERVAL else ~is_interval)


def received_since(rows: pa.Table) -> datetime:
    """Return from when on labels that name one of some predictions are received."""
    since: datetime = pc.min(rows["received_at"]).as_py() - _BEFORE
    return since


def keys_of(log: Log, contract: Contract) -> list[LabelKey]:
    """Return the keys that labels in the lake may bear, in order."""
    stored = {*log.schema(Kind.LABELS).names}  # a key that the task has gained since is not
    return [key for key in sorted(task.of(contract).keys) if stored.issuperset(columns(key))]


def read(
    log: Log,
    contract: Contract,
    rows: pa.Table,
    window: Window,
    keys: Collection[LabelKey] = tuple(LabelKey),
) -> dict[LabelKey, pa.Table]:
    """Return the labels in the lake that may be about some predictions, as `wanted`."""
    since, found = received_since(rows), {}
    stored = log.schema(Kind.LABELS).names
    for key in keys_of(log, contract):
        if key not in keys:
            continue
        names = _texts(rows[key.columns[0]])
        if not len(names):
            continue
        if key in _NAMED:
            labels = log.labels_by(key.columns[0], names, since, columns(key))
        else:
            only = wanted(key, rows, window, stored)
            labels = log.labels(window, columns(key), only)
        if labels is not None and labels.num_rows:
            found[key] = labels
    return found


def actuals(log: Log, contract: Contract, entities: pa.Array, window: Window) -> Actuals:
    """Lay out the labels by entity and time that reach into a window; they are read in parts.

    Parameters
    ----------
    log, contract
        Of the model.
    entities
        Each once; labels of others are left out.
    window
        Of target time.
    """
    key = LabelKey.TARGET_AT
    only = _bears(key, log.schema(Kind.LABELS).names)
    batches = log.label_batches(window, columns(key), only)
    return actuals_by_entity(_tables(batches if len(entities) else []), contract, entities)


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    for batch in batches:
        yield pa.Table.from_batches([batch])
    pa.default_memory_pool().release_unused()  # before they are sorted: up to 200 MB


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


class Labels:
    """Labels of some predictions: found once, then read for some of those at a time.

    Labels by any key are equally good: the one that arrived last counts.

    Parameters
    ----------
    contract
        Names the targets and the step.
    rows
        The predictions.
    tables
        From `read`.
    actuals
        Labels by entity and time, where they are laid out already.
    """

    def __init__(
        self,
        contract: Contract,
        rows: pa.Table,
        tables: Tables,
        actuals: Actuals | None = None,
    ) -> None:
        self._contract, self._rows = contract, rows
        is_whole = task.of(contract).compares_lists
        self._numbered = [
            _Numbered(key, rows, labels)
            for key, labels in tables.items()
            if is_whole or key in _NAMED
        ]
        self._actuals = None if is_whole else actuals
        if not is_whole and actuals is None and LabelKey.TARGET_AT in tables:
            self._actuals = actuals_by_entity(
                [tables[LabelKey.TARGET_AT]], contract, _texts(rows["entity"])
            )
        self._intervals = None if is_whole else tables.get(LabelKey.INTERVAL)

    def values(self, start: int = 0, n: int | None = None) -> Values:
        """Return labels of numbers and when they arrived, of `n` rows from `start` on.

        Returns
        -------
        values : (prediction, step, target)
            NaN where no label is in.
        arrived : (prediction, step, target)
            In microseconds since 1970; `NEVER` where none is in.
        """
        rows = self._rows.slice(start, n)
        found = [each.values(self._contract, start, rows.num_rows) for each in self._numbered]
        if self._actuals is not None:
            found.append(self._at(rows, target_times(rows, self._contract)))
        if self._intervals is not None:
            found.append(_by_interval(self._contract, rows, self._intervals))
        if not found:
            shape = (rows.num_rows, self._contract.horizon, len(self._contract.targets))
            return np.full(shape, np.nan), np.full(shape, NEVER)
        values, arrived = found[0]
        for other in found[1:]:
            values = np.where(other[1] > arrived, other[0], values)
            arrived = np.maximum(arrived, other[1])
        return values, arrived

    def before(self, lag: Ints, start: int = 0, n: int | None = None) -> Floats | None:
        """Return the labels so many microseconds before each target, as `values`."""
        if self._actuals is None:
            return None
        rows = self._rows.slice(start, n)
        return self._at(rows, target_times(rows, self._contract) - lag)[0]

    def lists(self, start: int = 0, n: int | None = None) -> tuple[pa.StructArray, Ints] | None:
        """Return the whole label of each prediction, and when it arrived.

        Returns
        -------
        labels : (prediction,)
            Null where there is none.
        arrived : (prediction,)
            In microseconds since 1970. None instead of both where there is no label at all.
        """
        if not self._numbered:
            return None
        n = self._rows.num_rows - start if n is None else n
        found, when, first = np.full(n, -1), np.full(n, NEVER), 0
        some = list[pa.ChunkedArray]()
        for each in self._numbered:
            at, arrived = each.last(start, n)
            found = np.where(arrived > when, at + first, found)
            when = np.maximum(when, arrived)
            first += each.labels.num_rows
            some.append(each.labels["actual"])
        actual = pa.chunked_array([chunk for each in some for chunk in each.chunks])
        return actual.take(pa.array(found, mask=found < 0)).combine_chunks(), when

    def _at(self, rows: pa.Table, times: Ints) -> Values:
        assert self._actuals is not None
        return self._actuals.at(places_of(rows["entity"], self._actuals.entities), times)


class _Numbered:
    """Labels that name what a prediction is: sorted by it, and by their arrival.

    Attributes
    ----------
    labels
        Those that are about any of the rows.
    """

    def __init__(self, key: LabelKey, rows: pa.Table, labels: pa.Table) -> None:
        self._of_rows, of_labels = _numbers(key, rows, labels)
        arrived, received = micros(labels["arrived_at"]), micros(labels["received_at"])
        order = np.lexsort((received, arrived, of_labels))
        order = order[np.searchsorted(of_labels[order], 0) :]
        self.labels = labels.take(order)
        self._arrived = arrived[order]
        self._ends = np.searchsorted(
            of_labels[order], np.arange(self._of_rows.max(initial=0) + 2)
        )

    def values(self, contract: Contract, start: int, n: int) -> Values:
        """Lay out labels whose lists are about the steps of one prediction."""
        numbers, of_rows = np.unique(self._of_rows[start : start + n], return_inverse=True)
        first = np.where(numbers < 0, 0, self._ends[numbers])
        lengths = np.where(numbers < 0, 0, self._ends[numbers + 1] - first)
        of_labels = np.repeat(np.arange(numbers.size), lengths)
        skipped = first - np.cumsum(lengths) + lengths
        places = np.arange(of_labels.size) + skipped[of_labels]
        if places.size and places[-1] - places[0] + 1 == places.size:
            labels = self.labels.slice(int(places[0]), places.size)
        else:
            labels = self.labels.take(places)
        shape = (numbers.size, contract.horizon, len(contract.targets))
        values, arrived = np.full(shape, np.nan), np.full(shape, NEVER)
        for i, target in enumerate(contract.targets):
            flat = flatten(labels, "actual", target)
            use = np.isfinite(flat.values) & (flat.steps < contract.horizon)
            at = of_labels[flat.rows[use]], flat.steps[use]
            values[(*at, i)] = flat.values[use]  # by arrival: the last one stays
            arrived[(*at, i)] = self._arrived[places[flat.rows[use]]]
        return values[of_rows], arrived[of_rows]

    def last(self, start: int, n: int) -> tuple[Ints, Ints]:
        """Return the place in `labels` of the last label of each row, -1 of none, and when."""
        numbers = self._of_rows[start : start + n]
        ends = self._ends[numbers + 1]
        is_some = (numbers >= 0) & (ends > self._ends[numbers])
        at = np.where(is_some, ends - 1, -1)
        arrived = np.where(is_some, np.append(self._arrived, NEVER)[at], NEVER)
        return at, arrived


def _numbers(key: LabelKey, rows: pa.Table, labels: pa.Table) -> tuple[Ints, Ints]:
    """Return a number for what each prediction, and each label, is about; -1 for neither."""
    if key is LabelKey.PREDICTION_ID:
        ids = pc.unique(rows["prediction_id"])
        is_once = len(ids) == rows.num_rows
        of_rows = np.arange(len(ids)) if is_once else places_of(rows["prediction_id"], ids)
        return of_rows, places_of(labels["prediction_id"], ids)
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


def _by_interval(contract: Contract, rows: pa.Table, labels: pa.Table) -> Values:
    """Give every step within an interval its first value; intervals are few."""
    entities = pc.unique(rows["entity"]).drop_null()
    labels = by_arrival(labels.filter(pc.is_in(labels["entity"], entities)))
    times = target_times(rows, contract)
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
