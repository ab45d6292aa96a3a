"""Queue length: ten seconds in which the queue was longer than a limit are bad."""

from dataclasses import dataclass

import numpy as np

from monitors.slo.cells import Cells, Columns
from monitors.slo.sli import Event, SliKind, SliUnit
from monitors.summaries.summary import Ints

# The longest queue of each cell: exact up to 32, then doubled; the last cell but one is longer,
# the last has no value.
LONGEST = np.array([*range(33), *(2 ** np.arange(6, 17))])
N_CELLS = LONGEST.size + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """How long the queue may be; above 32 taken up to the next power of two."""

    longest: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.longest <= LONGEST[-1]:
            raise ValueError(f"longest must be 0 to {LONGEST[-1]}")


def cell(columns: Columns) -> Ints:
    """Return the cell of each prediction."""
    length = columns.numbers["queue_length"]
    places = np.searchsorted(LONGEST, length, side="left")
    return np.where(np.isfinite(length), places, N_CELLS - 1)


def classify(params: Params) -> Ints:
    """Return what each cell is."""
    events = np.full(N_CELLS, Event.GOOD)
    events[np.searchsorted(LONGEST, params.longest) + 1 :] = Event.BAD
    events[-1] = Event.UNKNOWN
    return events


SLI = SliKind(
    name="short_queue",
    question="Is the queue short enough?",
    params=Params,
    cells=Cells(columns=("queue_length",), n=N_CELLS, cell=cell),
    classify=classify,
    unit=SliUnit.TIME_SLICES,
    objective=0.99,
)
