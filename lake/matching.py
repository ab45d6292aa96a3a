"""Join of predictions and labels: lookup of the labels of each target time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
    began, step = micros(labels["target_at"]), contract.step_seconds * 1_000_000
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


def actuals_by_id(
    labels: pa.Table, contract: Contract, ids: pa.ChunkedArray
) -> tuple[Floats, Ints]:
    """Lay out the labels that name predictions, as (prediction, step, target).

    The same as `Actuals.at`: values and when they arrived, the latest winning.
    """
    labels = by_arrival(labels)
    shape = (len(ids), contract.horizon, len(contract.targets))
    values, arrived = np.full(shape, np.nan), np.full(shape, _NEVER)
    named = pc.fill_null(pc.index_in(labels["prediction_id"], ids.combine_chunks()), -1)
    row, when = named.to_numpy().astype(np.int64), micros(labels["arrived_at"])
    for i, target in enumerate(contract.targets):
        flat = flatten(labels, "actual", target)
        use = np.isfinite(flat.values) & (flat.steps < contract.horizon) & (row[flat.rows] >= 0)
        at = row[flat.rows[use]], flat.steps[use]
        values[(*at, i)] = flat.values[use]
        arrived[(*at, i)] = when[flat.rows[use]]
    return values, arrived


def target_times(rows: pa.Table, contract: Contract) -> Ints:
    """Return what each step of each forecast is about, as (prediction, step)."""
    step = contract.step_seconds * 1_000_000
    ahead = np.arange(1, contract.horizon + 1) * step
    return micros(rows["at"])[:, None] + ahead


def latest(one: tuple[Floats, Ints], other: tuple[Floats, Ints]) -> Floats:
    """Of two sources of values and their arrivals, take the later value of each cell."""
    is_other: NDArray[np.bool_] = other[1] > one[1]
    return np.where(is_other, other[0], one[0])


def latest_lists(
    rows: pa.Table, by_time: pa.Table | None, by_id: pa.Table | None
) -> tuple[pa.StructArray, Ints] | None:
    """Return the whole label of each prediction, the one that arrived last, and when it did.

    Parameters
    ----------
    rows
        Predictions with `prediction_id`, `entity` and `at`.
    by_time
        Labels by `entity` and `target_at`, which is the moment of the prediction.
    by_id
        Labels that name the prediction.

    Returns
    -------
    labels : (prediction,)
        Null where there is none.
    arrived : (prediction,)
        In microseconds since 1970. None instead of both where there is no label at all.
    """
    some = [by_arrival(each) for each in (by_time, by_id) if each is not None and each.num_rows]
    if not some:
        return None
    found, when, first = np.full(rows.num_rows, -1), np.full(rows.num_rows, _NEVER), 0
    for labels in some:
        of_rows, of_labels = _keys(rows, labels)
        last = np.full(of_rows.max() + 2, -1)  # the place at the end is for none
        last[of_labels] = np.arange(labels.num_rows)
        last[-1] = -1
        at = last[of_rows]
        arrived = np.where(at < 0, _NEVER, micros(labels["arrived_at"])[at])
        found = np.where(arrived > when, at + first, found)
        when = np.maximum(when, arrived)
        first += labels.num_rows
    actual = pa.concat_tables([each.select(["actual"]) for each in some])["actual"]
    return actual.combine_chunks().take(pa.array(found, mask=found < 0)), when


def _keys(rows: pa.Table, labels: pa.Table) -> tuple[Ints, Ints]:
    """Return a number for what each prediction, and each label, is about; -1 for neither."""
    if "prediction_id" in labels.column_names:
        ids = pc.unique(rows["prediction_id"])
        return places_of(rows["prediction_id"], ids), places_of(labels["prediction_id"], ids)
    entities, times = pc.unique(rows["entity"]).drop_null(), np.unique(micros(rows["at"]))
    keys = []
    for places, about in (
        (places_of(rows["entity"], entities), micros(rows["at"])),
        (places_of(labels["entity"], entities), micros(labels["target_at"])),
    ):
        at = np.searchsorted(times, about).clip(max=times.size - 1)
        is_known = (places >= 0) & (times[at] == about)
        keys.append(np.where(is_known, places * times.size + at, -1))
    return keys[0], keys[1]
