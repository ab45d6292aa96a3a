"""Join of predictions and labels: lookup of the labels of each target time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.schema.contract import Contract
from lake.lists import Floats, Ints, flatten, micros

_NEVER = np.iinfo(np.int64).min


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
    order = np.argsort(micros(rows["received_at"]), kind="stable")
    codes = pc.index_in(rows["prediction_id"], pc.unique(rows["prediction_id"])).to_numpy()
    _, first = np.unique(codes[order], return_index=True)
    n_repeated = rows.num_rows - first.size
    return (rows.take(np.sort(order[first])) if n_repeated else rows), n_repeated


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
    times : (time,)
        Ascending, each once, in microseconds since 1970.
    keys : (cell,)
        Entity times the number of times plus the place of the time; ascending.
    values, arrived : (cell, target)
        The latest value and when it arrived; NaN where there is none.
    """

    entities: pa.Array
    times: Ints
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
        place = np.searchsorted(self.times, times).clip(max=self.times.size - 1)
        key = entity[:, None] * self.times.size + place
        cell = np.searchsorted(self.keys, key).clip(max=self.keys.size - 1)
        found = (self.times[place] == times) & (self.keys[cell] == key) & (entity >= 0)[:, None]
        values = np.where(found[..., None], self.values[cell], np.nan)
        return values, np.where(found[..., None], self.arrived[cell], _NEVER)


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
    times = np.unique(np.concatenate(moments)) if moments else np.empty(0, np.int64)
    cells = [
        places[flat.rows] * times.size + np.searchsorted(times, moment)
        for flat, moment in zip(flats, moments, strict=True)
    ]
    keys = np.unique(np.concatenate(cells))
    shape = (keys.size, len(contract.targets))
    values, when = np.full(shape, np.nan), np.full(shape, _NEVER)
    for i, (flat, cell) in enumerate(zip(flats, cells, strict=True)):
        there = np.isfinite(flat.values)
        place = np.searchsorted(keys, cell[there])
        values[place, i] = flat.values[there]  # in order of arrival: the last one stays
        when[place, i] = arrived[flat.rows[there]]
    return Actuals(entities=entities, times=times, keys=keys, values=values, arrived=when)


def target_times(rows: pa.Table, contract: Contract) -> Ints:
    """Return what each step of each forecast is about, as (prediction, step)."""
    step = contract.step_us
    ahead = np.arange(1, contract.horizon + 1) * step
    return micros(rows["at"])[:, None] + ahead
