"""Cells of the SLIs that count events of an inference service."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from core.durations import Duration
from core.schema.rows import Kind
from monitors.slo.cells import Cells, Columns
from monitors.slo.serving import LATENCY_EDGES, N_BINS
from monitors.slo.sli import Event
from monitors.summaries.summary import Ints

EVENTS = frozenset({Kind.EVENTS})
SERVED_AND_EVENTS = frozenset({Kind.PREDICTIONS, Kind.EVENTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationParams:
    """Parameters of an SLI of durations.

    Attributes
    ----------
    slower_than
        What is slower is bad; taken up to the next of ten edges per decade, at most 26 %
        above it.
    """

    slower_than: Duration = timedelta(seconds=5)

    def __post_init__(self) -> None:
        if self.slower_than <= timedelta(0):
            raise ValueError("slower_than must be positive")


def durations(event_type: str) -> Cells:
    """Return the cells of the events of a type: bins of their duration."""

    def cell(columns: Columns) -> Ints:
        seconds = columns.numbers["duration_seconds"]
        bins = np.searchsorted(LATENCY_EDGES, seconds, side="right")
        found: Ints = np.where(columns.texts["type"].isin(event_type), bins, -1)
        return found

    return Cells(columns=("type", "duration_seconds"), n=N_BINS, cell=cell, kinds=EVENTS)


def classify_durations(params: DurationParams) -> Ints:
    """Return what each bin of durations is."""
    limit = int(np.searchsorted(LATENCY_EDGES, params.slower_than.total_seconds()))
    return np.where(np.arange(N_BINS) > limit, Event.BAD, Event.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoParams:
    """There are none."""


def interruptions(event_type: str) -> Cells:
    """Return two cells: a sample of the resources, and an event that interrupts service."""

    def cell(columns: Columns) -> Ints:
        types = columns.texts["type"]
        found: Ints = np.where(types.isin("resources"), 0, -1)
        return np.where(types.isin(event_type), 1, found)

    return Cells(columns=("type",), n=2, cell=cell, kinds=EVENTS)


def classify_interruptions(_: NoParams) -> Ints:
    """Return what the two cells are."""
    return np.array([Event.GOOD, Event.BAD])
