"""What a model may be trained on: regular series of input and of what happened."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from core.contract import Contract
from core.window import Window
from lake.lists import Floats, Ints, flatten, micros
from lake.matching import by_arrival, first_received, places_of
from lake.reading import Log

_EPOCH_US = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """The past of each entity on one regular grid.

    Attributes
    ----------
    entities
        In the order of the first axis; "" where rows named none.
    start, step
        Grid point i is at `start + i * step`; a value belongs to the point
        at or before it.
    inputs : (entity, time, feature)
        NaN where nothing arrived.
    targets : (entity, time, target)
        What happened; NaN where no label is in.
    n_repeated
        Predictions that were sent again under the same id, and left out.
    """

    entities: tuple[str, ...]
    start: datetime
    step: timedelta
    inputs: Floats
    targets: Floats
    n_repeated: int


def training_series(log: Log, contract: Contract, window: Window) -> Series:
    """Lay out all that was logged about a window.

    Parameters
    ----------
    log
        Pinned, if the series must be the same when it is built again.
    contract
        Names features and targets.
    window
        Of event time.

    Returns
    -------
    Series
        Of values that were received twice for one entity and time, the one
        that was received last. Shadows are left out: their input was served.
    """
    step = contract.step_seconds * 1_000_000
    start = (window.start - _EPOCH_US) // _US
    n_times = -(-((window.end - _EPOCH_US) // _US - start) // step)
    # The list of a row made after the window may begin within it.
    reach = Window(window.start, window.end + contract.input_length * contract.step)
    rows = log.predictions(
        reach,
        ["prediction_id", "at", "entity", "features", "received_at"],
        only=~ds.field("shadow"),
    )
    entities, n_repeated = pa.array([], pa.string()), 0
    inputs = np.empty((0, n_times, len(contract.features)))
    if rows is not None:
        rows, n_repeated = first_received(rows)
        entities = pc.unique(pc.fill_null(rows["entity"], ""))
        entities = entities.take(pc.array_sort_indices(entities))
        inputs = _inputs(rows, contract, entities, start, n_times)
    return Series(
        entities=tuple(entities.to_pylist()),
        start=window.start,
        step=contract.step,
        inputs=inputs,
        targets=_targets(log, contract, window, entities, rows),
        n_repeated=n_repeated,
    )


def _inputs(  # the grid is its start and its length
    rows: pa.Table, contract: Contract, entities: pa.Array, start: int, n_times: int
) -> Floats:
    step = contract.step_seconds * 1_000_000
    rows = rows.take(np.argsort(micros(rows["received_at"]), kind="stable"))
    place = places_of(pc.fill_null(rows["entity"], ""), entities)
    at = (micros(rows["at"]) - start) // step
    dense = np.full((len(entities), n_times, len(contract.features)), np.nan)
    for i, name in enumerate(contract.feature_names):
        flat = flatten(rows, "features", name)
        _put(dense[..., i], place[flat.rows], at[flat.rows] - flat.back, flat.values)
    return dense


def _targets(
    log: Log,
    contract: Contract,
    window: Window,
    entities: pa.Array,
    rows: pa.Table | None,
) -> Floats:
    step = contract.step_seconds * 1_000_000
    start = (window.start - _EPOCH_US) // _US
    n_times = -(-((window.end - _EPOCH_US) // _US - start) // step)
    dense = np.full((len(entities), n_times, len(contract.targets)), np.nan)
    columns = ["entity", "target_at", "actual", "arrived_at", "received_at"]
    labels = log.labels(window, columns)
    named = _named(log, contract, rows, columns)
    tables = [table for table in (labels, named) if table is not None]
    if not tables:
        return dense
    every = by_arrival(pa.concat_tables(tables))
    place = places_of(pc.fill_null(every["entity"], ""), entities)
    at = (micros(every["target_at"]) - start) // step
    for i, target in enumerate(contract.targets):
        flat = flatten(every, "actual", target)
        _put(dense[..., i], place[flat.rows], at[flat.rows] + flat.steps, flat.values)
    return dense


def _named(
    log: Log, contract: Contract, rows: pa.Table | None, columns: list[str]
) -> pa.Table | None:
    """Return the labels that name predictions, as labels by entity and time."""
    if rows is None or not rows.num_rows:
        return None
    since = pc.min(rows["received_at"]).as_py() - timedelta(days=1)
    labels = log.labels_by_id(
        rows["prediction_id"].combine_chunks(),
        since,
        ["prediction_id", "actual", "arrived_at", "received_at"],
    )
    if labels is None or not labels.num_rows:
        return None
    of = pc.index_in(labels["prediction_id"], rows["prediction_id"].combine_chunks())
    first = pc.add(rows["at"].take(of).cast(pa.int64()), contract.step_seconds * 1_000_000)
    return (
        labels.append_column("entity", rows["entity"].take(of))
        .append_column("target_at", first.cast(rows.schema.field("at").type))
        .select(columns)
    )


def _put(dense: Floats, place: Ints, at: Ints, values: Floats) -> None:
    """Write values in order, so that the last one for a cell stays."""
    use = np.isfinite(values) & (place >= 0) & (at >= 0) & (at < dense.shape[1])
    dense[place[use], at[use]] = values[use]
