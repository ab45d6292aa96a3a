"""Labels of predictions, and labels one season before."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import Floats, Ints
from core.schema import task
from core.schema.contract import Contract
from core.schema.feature import LARGEST
from core.schema.task import Matched
from core.window import Window
from lake.matching import (
    actuals_by_entity,
    actuals_by_id,
    latest,
    latest_lists,
    outputs,
    places_of,
    target_times,
)
from lake.reading import Log
from tasks.sums import seasonal_lag

DAY = timedelta(days=1)
_LABEL_COLUMNS = ["entity", "target_at", "actual", "arrived_at", "received_at"]
_NAMED_COLUMNS = ["prediction_id", "actual", "arrived_at", "received_at"]


def match(history: Log, contract: Contract, rows: pa.Table, season_steps: int) -> Matched:
    """Find what happened for some predictions.

    A label that names the prediction and one by entity and time are equally
    good: the one that arrived last counts.
    """
    named = history.labels_by_id(
        rows["prediction_id"].combine_chunks(),
        pc.min(rows["received_at"]).as_py() - DAY,
        _NAMED_COLUMNS,
    )
    if task.of(contract).compares_lists:
        return _lists(history, contract, rows, named)
    times = target_times(rows, contract)
    lag = seasonal_lag(contract.horizon, season_steps) * contract.step_seconds * 1_000_000
    entities = pc.unique(rows["entity"]).drop_null()
    labels = history.labels(_span(times - lag, times), _LABEL_COLUMNS)
    shape = (rows.num_rows, contract.horizon, len(contract.targets))
    actual = (np.full(shape, np.nan), np.full(shape, np.iinfo(np.int64).min))
    naive = actual[0]
    if labels is not None and labels.num_rows and len(entities):
        known = actuals_by_entity(labels, contract, entities)
        places = places_of(rows["entity"], entities)
        actual = known.at(places, times)
        naive, _ = known.at(places, times - lag)
    values = actual[0]
    if named is not None and named.num_rows:
        values = latest(actual, actuals_by_id(named, contract, rows["prediction_id"]))
    return Matched(
        rows=rows,
        predicted=_measured(outputs(rows, contract)),
        actual=_measured(values),
        naive=_measured(naive),
    )


def _lists(history: Log, contract: Contract, rows: pa.Table, named: pa.Table | None) -> Matched:
    """Find the whole label of each prediction: it is about the moment of the prediction."""
    times = target_times(rows, contract)[:, :1] - contract.step_seconds * 1_000_000
    labels = history.labels(_span(times, times), _LABEL_COLUMNS)
    none = np.empty((rows.num_rows, 0, 0))
    found = latest_lists(rows, labels, named)
    labels_of = None if found is None else found[0]
    return Matched(rows=rows, predicted=none, actual=none, naive=none, labels=labels_of)


def _measured(values: Floats) -> Floats:
    """Leave out what no measurement is: rows were accepted before magnitudes were limited."""
    if np.nanmax(np.abs(values), initial=0.0) <= LARGEST:
        return values
    return np.where(np.abs(values) <= LARGEST, values, np.nan)


def _span(first: Ints, last: Ints) -> Window:
    epoch, us = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    return Window(epoch + int(first.min()) * us, epoch + (int(last.max()) + 1) * us)
