"""Join of predictions and labels: lookup of the labels of each target time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import Bools
from core.schema.contract import Contract
from lake.lists import Floats, Ints, flatten, micros

_NEVER = np.iinfo(np.int64).min
_MOST_CELLS = 2**62  # of entities times slots: more would not fit into a key
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
    first, unit, n_slots
        A time is `first` plus `unit` times its slot, in microseconds since 1970.
    moments : (slot,)
        The times instead, where such a grid would have too many slots; else None.
    keys : (cell,)
        Entity times `n_slots` plus the slot; ascending.
    values, arrived : (cell, target)
        The latest value and when it arrived; NaN where there is none.
    """

    entities: pa.Array
    first: int
    unit: int
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
        order = np.argsort(
            key, axis=None
        )  # near keys are found near each other: ten times faster
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
        slot, rest = np.divmod(times - self.first, self.unit)
        return slot, (rest == 0) & (slot >= 0) & (slot < self.n_slots)


def places_of(column: pa.ChunkedArray, entities: pa.Array) -> Ints:
    """Return each row's place in `entities`; -1 where it is null or not among them."""
    if not len(entities):
        return np.full(len(column), -1)
    found = pc.fill_null(pc.index_in(column, entities, skip_nulls=True), -1)
    return found.to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def actuals_by_entity(labels: pa.Table, contract: Contract, entities: pa.Array) -> Actuals:
    """Lay out the labels of some entities; the latest arrival wins, value by value.

    Parameters
    ----------
    labels
        With `entity`, `target_at`, `actual`, `arrived_at` and `received_at`.
    contract
        Names the targets, and the step between two numbers of a list.
    entities
        Each once; the labels of others are left out.
    """
    labels = by_arrival(labels.filter(pc.is_in(labels["entity"], entities)))
    places, arrived = places_of(labels["entity"], entities), micros(labels["arrived_at"])
    began, step = micros(labels["target_at"]), contract.step_us
    flats = [flatten(labels, "actual", target) for target in contract.targets]
    moments = [began[flat.rows] + flat.steps * step for flat in flats]
    all_moments = np.concatenate(moments)
    first = int(all_moments.min(initial=_LATEST))
    unit = max(int(np.gcd.reduce(all_moments - first)), 1)
    n_slots = max(int(all_moments.max(initial=first)) - first, 0) // unit + 1
    entity = np.concatenate([places[flat.rows] for flat in flats])
    slots, known = (all_moments - first) // unit, None
    if n_slots * len(entities) > _MOST_CELLS:  # years of microseconds, of very many entities
        known, slots = np.unique(all_moments, return_inverse=True)
        n_slots = known.size
    of = entity * n_slots + slots
    order = np.argsort(of, kind="stable")
    is_first = np.diff(of[order], prepend=-1) > 0
    cell = np.empty(of.size, np.int64)
    cell[order] = np.cumsum(is_first) - 1
    shape = (int(is_first.sum()), len(contract.targets))
    values, when = np.full(shape, np.nan), np.full(shape, _NEVER)
    ends = np.cumsum([flat.values.size for flat in flats])
    for i, (flat, own) in enumerate(zip(flats, np.split(cell, ends[:-1]), strict=True)):
        there = np.isfinite(flat.values)
        values[own[there], i] = flat.values[there]  # in order of arrival: the last one stays
        when[own[there], i] = arrived[flat.rows[there]]
    return Actuals(
        entities=entities,
        first=first,
        unit=unit,
        n_slots=n_slots,
        moments=known,
        keys=of[order][is_first],
        values=values,
        arrived=when,
    )


def target_times(rows: pa.Table, contract: Contract) -> Ints:
    """Return what each step of each forecast is about, as (prediction, step)."""
    step = contract.step_us
    ahead = np.arange(1, contract.horizon + 1) * step
    return micros(rows["at"])[:, None] + ahead
