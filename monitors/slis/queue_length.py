"""Queue length: ten seconds with a longer queue than a limit are bad."""

from dataclasses import dataclass

import numpy as np

from monitors.slo.cells import Cells, Columns
from monitors.slo.event_cells import SERVED_AND_EVENTS
from monitors.slo.sli import Event, SliKind, SliUnit
from monitors.summaries.summary import Ints

# Each length up to 16; then four edges per doubling, up to a million.
EDGES = np.unique(np.concatenate([np.arange(17), np.rint(2 ** np.arange(4, 20.25, 0.25))]))
N_CELLS = EDGES.size


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLengthParams:
    """Parameters of `queue_length`.

    Attributes
    ----------
    longer_than
        Requests. A longer queue is bad; above 16 it is taken up to the next of four edges
        per doubling, at most 19 % above it.
    """

    longer_than: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.longer_than < EDGES[-1]:
            raise ValueError(f"longer_than must be from 0 to {EDGES[-1] - 1:.0f}")


def cell(columns: Columns) -> Ints:
    """Return the last edge that each length reaches; -1 without a length."""
    length = columns.numbers["queue_length"]
    bins = np.searchsorted(EDGES, length, side="right") - 1
    found: Ints = np.where(np.isfinite(length), np.maximum(bins, 0), -1)
    return found


def classify(params: QueueLengthParams) -> Ints:
    """Return what each cell is."""
    return np.where(params.longer_than < EDGES, Event.BAD, Event.GOOD)


SLI = SliKind(
    name="queue_length",
    question="Was the queue of requests short enough?",
    params=QueueLengthParams,
    cells=Cells(columns=("queue_length",), n=N_CELLS, cell=cell, kinds=SERVED_AND_EVENTS),
    classify=classify,
    unit=SliUnit.TIME_SLICES,
    runbook="latency",
)
