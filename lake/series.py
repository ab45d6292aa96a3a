"""Training data: regular series of input and labels."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from core.schema.contract import Contract
from core.window import Window
from lake.lists import Floats, Ints, flatten, micros
from lake.matching import by_arrival, first_received, places_of
from lake.reading import Log

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    grid = _grid(contract, window)
    # The list of a row made after the window may begin within it.
    reach = Window(window.start, window.end + contract.input_length * contract.step)
    rows = log.predictions(
        reach,
        ["prediction_id", "at", "entity", "features", "received_at"],
        only=~ds.field("shadow"),
    )
    entities, n_repeated = pa.array([], pa.string()), 0
    inputs = np.empty((0, grid.n_times, len(contract.features)))
    if rows is not None:
        rows, n_repeated = first_received(rows)
        entities = pc.unique(pc.fill_null(rows["entity"], ""))
        entities = entities.take(pc.array_sort_indices(entities))
        inputs = _inputs(rows, contract, entities, grid)
    return Series(
        entities=tuple(entities.to_pylist()),
        start=window.start,
        step=contract.step,
        inputs=inputs,
        targets=_targets(_labels(log, contract, window, rows), contract, entities, grid),
        n_repeated=n_repeated,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    start_us: int
    step_us: int
    n_times: int

    def at(self, times_us: Ints) -> Ints:
        return (times_us - self.start_us) // self.step_us


def _grid(contract: Contract, window: Window) -> _Grid:
    return _Grid(
        start_us=(window.start - _EPOCH) // _US,
        step_us=contract.step // _US,
        n_times=-((window.start - window.end) // contract.step),
    )


def _inputs(rows: pa.Table, contract: Contract, entities: pa.Array, grid: _Grid) -> Floats:
    rows = rows.take(np.argsort(micros(rows["received_at"]), kind="stable"))
    place = places_of(pc.fill_null(rows["entity"], ""), entities)
    at = grid.at(micros(rows["at"]))
    dense = np.full((len(entities), grid.n_times, len(contract.features)), np.nan)
    for i, name in enumerate(contract.feature_names):
        flat = flatten(rows, "features", name)
        _put(dense[..., i], place[flat.rows], at[flat.rows] - flat.back, flat.values)
    return dense


def _targets(
    labels: pa.Table | None, contract: Contract, entities: pa.Array, grid: _Grid
) -> Floats:
    dense = np.full((len(entities), grid.n_times, len(contract.targets)), np.nan)
    if labels is None:
        return dense
    place = places_of(pc.fill_null(labels["entity"], ""), entities)
    at = grid.at(micros(labels["target_at"]))
    for i, target in enumerate(contract.targets):
        flat = flatten(labels, "actual", target)
        _put(dense[..., i], place[flat.rows], at[flat.rows] + flat.steps, flat.values)
    return dense


def _labels(
    log: Log, contract: Contract, window: Window, rows: pa.Table | None
) -> pa.Table | None:
    """Return all labels that reach into the window, in the order of their arrival."""
    columns = ["entity", "target_at", "actual", "arrived_at", "received_at"]
    found = [log.labels(window, columns), _named(log, contract, rows, columns)]
    tables = [table for table in found if table is not None]
    return by_arrival(pa.concat_tables(tables)) if tables else None


def _named(
    log: Log, contract: Contract, rows: pa.Table | None, columns: list[str]
) -> pa.Table | None:
    """Return the labels that name predictions, as labels by entity and time."""
    if rows is None or not rows.num_rows:
        return None
    since = pc.min(rows["received_at"]).as_py() - timedelta(days=1)
    labels = log.labels_by(
        "prediction_id",
        rows["prediction_id"].combine_chunks(),
        since,
        ["prediction_id", "actual", "arrived_at", "received_at"],
    )
    if labels is None or not labels.num_rows:
        return None
    of = pc.index_in(labels["prediction_id"], rows["prediction_id"].combine_chunks())
    first = pc.add(rows["at"].take(of).cast(pa.int64()), contract.step_us)
    return (
        labels.append_column("entity", rows["entity"].take(of))
        .append_column("target_at", first.cast(rows.schema.field("at").type))
        .select(columns)
    )


def _put(dense: Floats, place: Ints, at: Ints, values: Floats) -> None:
    """Write values in order, so that the last one for a cell stays."""
    use = np.isfinite(values) & (place >= 0) & (at >= 0) & (at < dense.shape[1])
    dense[place[use], at[use]] = values[use]
