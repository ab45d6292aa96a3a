"""Join of predictions and labels: lookup of the labels of each target time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.arrays import Bools
from core.schema.contract import Contract
from lake.lists import Flat, Floats, Ints, flatten, micros

_Number = TypeVar("_Number", bound=np.generic)

_NEVER = np.iinfo(np.int64).min
_MOST_CELLS = 2**62  # of entities times slots: more would not fit into a key
_GROWTH = 1.125
_LATEST = 2**53  # later than any time that is stored


def first_received(rows: pa.Table) -> tuple[pa.Table, int]:
    """Leave out predictions that were sent again under the same id in another batch.

    Parameters
    ----------
    rows
        With `prediction_id` and `received_at`.

    Returns
    -------
    rows
        One row per id: the one that was received first.
    n_repeated
        How many were left out.
    """
    codes = rows["prediction_id"].combine_chunks().dictionary_encode()
    if len(codes.dictionary) == rows.num_rows:
        return rows, 0
    order = np.argsort(micros(rows["received_at"]), kind="stable")
    _, first = np.unique(codes.indices.to_numpy()[order], return_index=True)
    return rows.take(np.sort(order[first])), rows.num_rows - first.size


def by_arrival(labels: pa.Table) -> pa.Table:
    """Return labels in the order in which they arrived: the later one is the correction."""
    order = np.lexsort((micros(labels["received_at"]), micros(labels["arrived_at"])))
    return labels.take(order)


def outputs(rows: pa.Table, contract: Contract) -> Floats:
    """Return forecasts as (prediction, step, target); NaN where there is none."""
    dense = np.full((rows.num_rows, contract.horizon, len(contract.targets)), np.nan)
    for i, target in enumerate(contract.targets):
        flat = flatten(rows, "output", target)
        reach = flat.steps < contract.horizon
        dense[flat.rows[reach], flat.steps[reach], i] = flat.values[reach]
    return dense


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Actuals:
    """What happened, by entity and time, as far as it is known.

    Attributes
    ----------
    entities
        Those that were asked for; an entity is known by its place in them.
    first, n_slots
        A time is `first` plus its slot, in microseconds since 1970.
    moments : (slot,)
        The times instead, where such a grid would have too many slots; else None.
    keys : (cell,)
        Entity times `n_slots` plus the slot; ascending.
    values, arrived : (cell, target)
        The latest value and when it arrived; NaN where there is none.
    """

    entities: pa.Array
    first: int
    n_slots: int
    moments: Ints | None
    keys: Ints
    values: Floats
    arrived: Ints

    def at(self, entity: Ints, times: Ints) -> tuple[Floats, Ints]:
        """Look up the labels.

        Parameters
        ----------
        entity : (prediction,)
            Places in `entities`; -1 for none.
        times : (prediction, step)
            In microseconds since 1970; only the exact time will do.

        Returns
        -------
        values : (prediction, step, target)
            NaN where no label is in.
        arrived : (prediction, step, target)
            When each came in.
        """
        n_targets = self.values.shape[1]
        if not self.keys.size:
            shape = (*times.shape, n_targets)
            return np.full(shape, np.nan), np.full(shape, _NEVER)
        slot, is_one = self._slots(times)
        is_one &= (entity >= 0)[:, None]
        key = entity[:, None] * self.n_slots + slot
        # Near keys are found near each other: ten times faster.
        order = np.argsort(key, axis=None)
        cell = np.empty(key.shape, np.int64)
        cell.flat[order] = np.searchsorted(self.keys, key.flat[order])
        cell = cell.clip(max=self.keys.size - 1)
        found = is_one & (self.keys[cell] == key)
        values = np.where(found[..., None], self.values[cell], np.nan)
        return values, np.where(found[..., None], self.arrived[cell], _NEVER)

    def _slots(self, times: Ints) -> tuple[Ints, Bools]:
        if self.moments is not None:
            slot = np.searchsorted(self.moments, times).clip(max=self.n_slots - 1)
            return slot, self.moments[slot] == times
        slot = times - self.first
        return slot, (slot >= 0) & (slot < self.n_slots)


def places_of(column: pa.ChunkedArray, entities: pa.Array) -> Ints:
    """Return each row's place in `entities`; -1 where it is null or not among them."""
    if not len(entities):
        return np.full(len(column), -1)
    found = pc.fill_null(pc.index_in(column, entities, skip_nulls=True), -1)
    return found.to_numpy().astype(np.int64)  # type: ignore[no-any-return]


class _Column(Generic[_Number]):
    """An array that grows where it is: there is never a second copy of it."""

    def __init__(self, dtype: type[_Number]) -> None:
        self._values: NDArray[_Number] = np.empty(0, dtype)
        self._n = 0

    def add(self, values: NDArray[_Number]) -> None:
        first, self._n = self._n, self._n + values.size
        if self._n > self._values.size:
            self._values.resize(int(self._n * _GROWTH), refcheck=False)
        self._values[first : self._n] = values

    def pop(self) -> NDArray[_Number]:
        """Return all values, and keep none."""
        values, self._values = self._values, self._values[:0].copy()
        values.resize(self._n, refcheck=False)
        self._n = 0
        return values


class _Arrivals:
    """Labels of one target by entity and time.

    A day may have ten million, and then each array is 80 MB.
    """

    def __init__(self) -> None:
        self._places, self._values = _Column(np.int32), _Column(np.float64)
        self._moments, self._arrived = _Column(np.int64), _Column(np.int64)
        self._received = _Column(np.int64)

    def add(self, labels: pa.Table, places: Ints, flat: Flat, step_us: int) -> None:
        """Add the finite numbers of entities that were asked for."""
        use = np.flatnonzero((places[flat.rows] >= 0) & np.isfinite(flat.values))
        rows = flat.rows[use]
        self._places.add(places[rows].astype(np.int32))
        self._moments.add(micros(labels["target_at"])[rows] + flat.steps[use] * step_us)
        self._values.add(flat.values[use])
        self._arrived.add(micros(labels["arrived_at"])[rows])
        self._received.add(micros(labels["received_at"])[rows])

    def moments(self) -> Ints:
        """Return what each number is about, in microseconds since 1970."""
        return self._moments.pop()

    def latest(self, slots: Ints, n_slots: int) -> tuple[Ints, Floats, Ints]:
        """Return the number of each entity and slot that arrived last, and when.

        Parameters
        ----------
        slots : (number,)
            What each is about.
        n_slots
            How many slots there are.

        Returns
        -------
        keys, values, arrived : (key,)
            Keys are entity times `n_slots` plus slot, ascending.
        """
        keys = self._places.pop().astype(np.int64)
        keys *= n_slots
        keys += slots
        del slots
        order = np.argsort(keys)
        keys = keys[order]
        is_last = np.append(keys[1:] != keys[:-1], np.ones(min(keys.size, 1), np.bool_))
        arrived, received = self._arrived.pop(), self._received.pop()
        if not is_last.all():
            several = ~is_last
            several[1:] |= several[:-1]
            of = order[several]
            by_arrival = np.lexsort((of, received[of], arrived[of], keys[several]))
            order[several] = of[by_arrival]
            order, keys = order[is_last], keys[is_last]
        del received
        arrived = arrived[order]
        return keys, self._values.pop()[order], arrived


def actuals_by_entity(
    labels: Iterable[pa.Table], contract: Contract, entities: pa.Array
) -> Actuals:
    """Lay out the labels of some entities; the latest arrival wins, value by value.

    Parameters
    ----------
    labels
        Some rows after others, with `entity`, `target_at`, `actual`, `arrived_at` and
        `received_at`.
    contract
        Names the targets, and the step between two numbers of a list.
    entities
        Each once; the labels of others are left out.
    """
    of_targets = [_Arrivals() for _ in contract.targets]
    for some in labels:
        places = places_of(some["entity"], entities)
        for own, target in zip(of_targets, contract.targets, strict=True):
            own.add(some, places, flatten(some, "actual", target), contract.step_us)
    moments = [own.moments() for own in of_targets]
    first = min(int(each.min(initial=_LATEST)) for each in moments)
    n_slots = max(int(each.max(initial=first)) for each in moments) - first + 1
    known = None
    if n_slots * len(entities) > _MOST_CELLS:  # years of microseconds, of very many entities
        known = np.unique(np.concatenate(moments))
        n_slots = known.size
    found = [own.latest(_slots(moments.pop(0), first, known), n_slots) for own in of_targets]
    keys, values, when = _side_by_side(found)
    return Actuals(
        entities=entities,
        first=first,
        n_slots=n_slots,
        moments=known,
        keys=keys,
        values=values,
        arrived=when,
    )


def _slots(moments: Ints, first: int, known: Ints | None) -> Ints:
    if known is not None:
        return np.searchsorted(known, moments)
    moments -= first
    return moments


def _side_by_side(found: list[tuple[Ints, Floats, Ints]]) -> tuple[Ints, Floats, Ints]:
    """Return the keys of any target, and the values and arrivals of all targets by them."""
    if len(found) == 1:
        keys, own, arrived = found[0]
        return keys, own[:, None], arrived[:, None]
    keys = np.unique(np.concatenate([of for of, _, _ in found]))
    shape = (keys.size, len(found))
    values, when = np.full(shape, np.nan), np.full(shape, _NEVER)
    for i, (of, own, arrived) in enumerate(found):
        cell = np.searchsorted(keys, of)
        values[cell, i], when[cell, i] = own, arrived
    return keys, values, when


def target_times(rows: pa.Table, contract: Contract) -> Ints:
    """Return what each step of each forecast is about, as (prediction, step)."""
    step = contract.step_us
    ahead = np.arange(1, contract.horizon + 1) * step
    return micros(rows["at"])[:, None] + ahead
