"""Labels of predictions, and labels one season before."""

import numpy as np
import pyarrow as pa

from core.arrays import Floats, Ints
from core.schema import task
from core.schema.contract import Contract
from core.schema.feature import LARGEST
from core.schema.task import Matched
from lake import labels
from lake.labels import Labels
from lake.matching import outputs
from lake.reading import Log
from tasks.sums import seasonal_lag


def lag_of(contract: Contract, season_steps: int) -> Ints:
    """Return how long before each target the naive baseline reads, in microseconds, (step,)."""
    return seasonal_lag(contract.horizon, season_steps) * contract.step_us


def match(history: Log, contract: Contract, rows: pa.Table, season_steps: int) -> Matched:
    """Find what happened for some predictions."""
    is_whole = task.of(contract).compares_lists
    back = 0 if is_whole else lag_of(contract, season_steps)
    found = labels.read(history, contract, rows, labels.span(contract, rows, back=back))
    return matched(Labels(contract, rows, found), contract, rows, season_steps)


def matched(
    of: Labels, contract: Contract, rows: pa.Table, season_steps: int, start: int = 0
) -> Matched:
    """Lay out predictions beside their labels.

    Parameters
    ----------
    of
        Labels of these predictions, and of others.
    rows
        Those that follow each other from place `start` on.
    """
    n = rows.num_rows
    if task.of(contract).compares_lists:
        lists, none = of.lists(start, n), np.empty((n, 0, 0))
        whole = None if lists is None else lists[0]
        return Matched(rows=rows, predicted=none, actual=none, naive=none, labels=whole)
    actual, _ = of.values(start, n)
    naive = of.before(lag_of(contract, season_steps), start, n)
    return Matched(
        rows=rows,
        predicted=_measured(outputs(rows, contract)),
        actual=_measured(actual),
        naive=np.full(actual.shape, np.nan) if naive is None else _measured(naive),
    )


def _measured(values: Floats) -> Floats:
    """Leave out what no measurement is: rows were accepted before magnitudes were limited."""
    if np.nanmax(np.abs(values), initial=0.0) <= LARGEST:
        return values
    return np.where(np.abs(values) <= LARGEST, values, np.nan)
