"""Cost: a prediction that cost more than a limit is bad."""

from dataclasses import dataclass

import numpy as np

from monitors.slo.cells import Cells, Columns
from monitors.slo.sli import Event, SliKind
from monitors.summaries.summary import Ints

# Ten per decade, from 1e-8 to 1e4 of the currency of the rows.
EDGES = np.logspace(-8, 4, 121)
N_CELLS = EDGES.size + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CostParams:
    """Parameters of `cost`.

    Attributes
    ----------
    more_than
        In the currency of the rows; taken up to the next of ten edges per decade, at most
        26 % above it.
    """

    more_than: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.more_than < EDGES[-1]:
            raise ValueError(f"more_than must be in (0, {EDGES[-1]:g})")


def cell(columns: Columns) -> Ints:
    """Return the bin of each cost; -1 without one."""
    cost = columns.numbers["cost"]
    bins = np.searchsorted(EDGES, cost, side="right")
    found: Ints = np.where(np.isfinite(cost), bins, -1)
    return found


def classify(params: CostParams) -> Ints:
    """Return what each cell is."""
    limit = int(np.searchsorted(EDGES, params.more_than))
    return np.where(np.arange(N_CELLS) > limit, Event.BAD, Event.GOOD)


SLI = SliKind(
    name="cost",
    question="Were predictions cheap enough?",
    params=CostParams,
    cells=Cells(columns=("cost",), n=N_CELLS, cell=cell),
    classify=classify,
)
