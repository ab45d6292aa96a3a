"""Saturation: a sample of the resources of an instance with one above its limit is bad."""

from dataclasses import dataclass

import numpy as np

from monitors.slo.cells import Cells, Columns
from monitors.slo.event_cells import EVENTS
from monitors.slo.sli import Event, SliKind, SliUnit
from monitors.summaries.summary import Ints

RESOURCES = ("cpu", "gpu", "memory")
EDGES = np.array([0.7, 0.8, 0.9, 0.95])
_N_LEVELS = 2 + EDGES.size  # of one resource: not measured, and the bins between the edges
_WEIGHTS = _N_LEVELS ** np.arange(len(RESOURCES))
N_CELLS = _N_LEVELS ** len(RESOURCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturationParams:
    """Parameters of `saturation`.

    Attributes
    ----------
    cpu, gpu, memory
        Shares, 0.7, 0.8, 0.9 or 0.95: from there on the sample is bad.
    """

    cpu: float = 0.9
    gpu: float = 0.95
    memory: float = 0.9

    def __post_init__(self) -> None:
        for name in RESOURCES:
            if getattr(self, name) not in EDGES:
                known = ", ".join(f"{edge:g}" for edge in EDGES)
                raise ValueError(f"{name} must be one of {known}")


def cell(columns: Columns) -> Ints:
    """Return the level of all three resources; -1 of events of other types."""
    shares = np.array([columns.numbers[f"{name}_share"] for name in RESOURCES])
    bins = 1 + np.searchsorted(EDGES, shares, side="right")
    levels = np.where(np.isfinite(shares), bins, 0)
    found: Ints = np.where(columns.texts["type"].isin("resources"), _WEIGHTS @ levels, -1)
    return found


def classify(params: SaturationParams) -> Ints:
    """Return what each cell is."""
    levels = np.arange(N_CELLS) // _WEIGHTS[:, None] % _N_LEVELS
    limits = [2 + int(np.searchsorted(EDGES, getattr(params, name))) for name in RESOURCES]
    is_bad = (levels >= np.array(limits)[:, None]).any(axis=0)
    return np.where(is_bad, Event.BAD, Event.GOOD)


SLI = SliKind(
    name="saturation",
    question="Did instances have CPU, GPU and memory to spare?",
    params=SaturationParams,
    cells=Cells(
        columns=("type", *(f"{name}_share" for name in RESOURCES)),
        n=N_CELLS,
        cell=cell,
        kinds=EVENTS,
    ),
    classify=classify,
    unit=SliUnit.EVENTS,
    runbook="latency",
)
