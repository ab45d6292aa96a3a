"""Labels of predictions, and labels one season before."""

import numpy as np
import pyarrow as pa

from core.arrays import Floats
from core.schema import task
from core.schema.contract import Contract
from core.schema.feature import LARGEST
from core.schema.task import LabelKey, Matched
from lake import labels
from lake.matching import outputs, target_times
from lake.reading import Log
from tasks.sums import seasonal_lag


def match(history: Log, contract: Contract, rows: pa.Table, season_steps: int) -> Matched:
    """Find what happened for some predictions.

    Labels by any key are equally good: the one that arrived last counts.
    """
    if task.of(contract).compares_lists:
        found = labels.read(history, contract, rows, labels.span(contract, rows))
        lists, none = labels.match_lists(rows, found), np.empty((rows.num_rows, 0, 0))
        of_rows = None if lists is None else lists[0]
        return Matched(rows=rows, predicted=none, actual=none, naive=none, labels=of_rows)
    lag = seasonal_lag(contract.horizon, season_steps) * contract.step_us
    found = labels.read(history, contract, rows, labels.span(contract, rows, back=lag))
    actual, _ = labels.match(contract, rows, found)
    naive = np.full(actual.shape, np.nan)
    if LabelKey.TARGET_AT in found:
        known, places = labels.actuals(contract, rows, found[LabelKey.TARGET_AT])
        naive, _ = known.at(places, target_times(rows, contract) - lag)
    return Matched(
        rows=rows,
        predicted=_measured(outputs(rows, contract)),
        actual=_measured(actual),
        naive=_measured(naive),
    )


def _measured(values: Floats) -> Floats:
    """Leave out what no measurement is: rows were accepted before magnitudes were limited."""
    if np.nanmax(np.abs(values), initial=0.0) <= LARGEST:
        return values
    return np.where(np.abs(values) <= LARGEST, values, np.nan)
