"""Serving: predictions by status and latency, which the built-in SLIs and the pages share."""

from datetime import timedelta

import numpy as np

from core.schema.rows import Status
from core.window import Window
from monitors.slo import cells
from monitors.slo.cells import CellCounts, Cells, Columns
from monitors.summaries.summary import Bools, Ints

# Ten per decade from 100 us to 1000 s: a quantile is known to within 26 %, and any two
# slices add up exactly. Bin 0 is below the first edge, the last at or above the last.
LATENCY_EDGES = np.round(np.logspace(-4, 3, 71), 9)
N_BINS = LATENCY_EDGES.size + 1

# A cell is a status and a latency: those that succeeded, those that ended in an error or a
# time-out, those that a fallback served; without a latency first, then by bin.
_N_STATUS, _N_LATENCY = 3, 1 + N_BINS
N_CELLS = _N_STATUS * _N_LATENCY
_SUCCEEDED, _FAILED, _DEGRADED = range(_N_STATUS)

# The columns of `table`: predictions, those that failed, those that a fallback served; then,
# by bin of the latency, all that have one.
N, FAILED, DEGRADED = range(3)
LATENCY = slice(3, 3 + N_BINS)
WIDTH = LATENCY.stop


def _cell(columns: Columns) -> Ints:
    status, latency = columns.texts["status"], columns.numbers["latency_seconds"]
    of_status = _FAILED * status.isin(Status.ERROR, Status.TIMEOUT)
    of_status = of_status + _DEGRADED * status.isin(Status.DEGRADED)
    bins = 1 + np.searchsorted(LATENCY_EDGES, latency, side="right")
    found: Ints = of_status * _N_LATENCY + np.where(np.isfinite(latency), bins, 0)
    return found


CELLS = Cells(columns=("status", "latency_seconds"), n=N_CELLS, cell=_cell)
SERVING = cells.stream("serving")


def are_failures() -> Bools:
    """Return which cells are of predictions that failed, shape (cell,)."""
    return np.repeat(np.arange(_N_STATUS) == _FAILED, _N_LATENCY)


def are_degraded() -> Bools:
    """Return which cells are of predictions that a fallback served, shape (cell,)."""
    return np.repeat(np.arange(_N_STATUS) == _DEGRADED, _N_LATENCY)


def have_latency() -> Bools:
    """Return which cells are of predictions with a latency, shape (cell,)."""
    return np.tile(np.arange(_N_LATENCY) > 0, _N_STATUS)


def are_slower(seconds: float) -> Bools:
    """Return which cells are of predictions slower than a limit, shape (cell,).

    The limit is taken up to the next edge of `LATENCY_EDGES`, at most 26 % above it.
    """
    first = 1 + int(np.searchsorted(LATENCY_EDGES, seconds)) + 1
    return np.tile(np.arange(_N_LATENCY) >= first, _N_STATUS)


def by_status(counts: Ints) -> dict[str, int]:
    """Return how many predictions succeeded, failed, and were served by a fallback.

    Parameters
    ----------
    counts : (STRIDE,)
        Predictions by cell.

    Examples
    --------
    >>> counts = np.zeros(cells.STRIDE, np.int64)
    >>> counts[[0, 5, N_CELLS // 3]] = 1, 2, 4
    >>> by_status(counts)
    {'ok': 3, 'failed': 4, 'degraded': 0}
    """
    n = counts[:N_CELLS].reshape(_N_STATUS, _N_LATENCY).sum(axis=1).tolist()
    return dict(zip(("ok", "failed", "degraded"), n, strict=True))


def by_latency(counts: Ints) -> Ints:
    """Return how many predictions are in each bin of `LATENCY_EDGES`, shape (bin,).

    Parameters
    ----------
    counts : (STRIDE,)
        Predictions by cell.
    """
    found: Ints = counts[:N_CELLS].reshape(_N_STATUS, _N_LATENCY)[:, 1:].sum(axis=0)
    return found


def table(served: CellCounts, window: Window, width: timedelta) -> Ints:
    """Return the counts of each part of a window, shape (part, WIDTH).

    Parameters
    ----------
    served
        What was served; what lies outside of the window is left out.
    window, width
        Cut into parts so wide, a multiple of ten seconds.
    """
    found = cells.table(served, window, width)[:, :N_CELLS]
    of = found.reshape(-1, _N_STATUS, _N_LATENCY)
    by_status, latency = of.sum(axis=2), of[:, :, 1:].sum(axis=1)
    n = by_status.sum(axis=1, keepdims=True)
    return np.concatenate([n, by_status[:, [_FAILED, _DEGRADED]], latency], axis=1)


def quantile(latency: Ints, level: float) -> float | None:
    """Return the geometric middle of the bin that holds the quantile, in seconds.

    Parameters
    ----------
    latency : (bin,)
        Predictions per bin of `LATENCY_EDGES`.
    level
        From 0 to 1.

    Returns
    -------
    float or None
        None where there are no predictions.
    """
    reached = np.cumsum(latency)
    if reached[-1] == 0:
        return None
    place = int(np.searchsorted(reached, level * reached[-1]))
    low = LATENCY_EDGES[max(place - 1, 0)]
    high = LATENCY_EDGES[min(place, len(LATENCY_EDGES) - 1)]
    return float(np.sqrt(low * high))
