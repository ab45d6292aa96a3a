"""The extension point for SLIs: what is good and what is bad, and the registry of them.

An SLI is one module that ends in `SLI = SliKind(...)`, registered in the entry point group
`seqwatch.slis` under its name. `monitors/slis/` holds ours.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, StrEnum
from typing import Any, Generic, TypeVar

import numpy as np

from core import plugins
from core.errors import Unprocessable
from core.plugins import Registry
from core.schema.rows import Kind
from core.streams import Additive
from core.window import Window
from monitors.slo import serving
from monitors.slo.cells import (
    ERROR_CELL,
    STRIDE,
    CellCounts,
    Cells,
    bins_of,
    stream,
)
from monitors.slo.slices import Counts
from monitors.summaries.summary import Ints

P = TypeVar("P")


class Event(IntEnum):
    """What a prediction, or a slice of time, is to an SLI; of a slice the largest decides."""

    NOT_COUNTED = 0
    UNKNOWN = 1
    GOOD = 2
    BAD = 3


class SliUnit(StrEnum):
    """What an SLI counts.

    A time slice has ten seconds. One with a bad prediction is bad, another with a good one
    good, another with an unknown one unknown; one without any is not counted. So it is the
    largest value of a slice that an upper limit is compared with.
    """

    PREDICTIONS = "predictions"
    EVENTS = "events"
    TIME_SLICES = "time slices"


class NoData(StrEnum):
    """What a time without predictions counts as.

    `ignore`: nothing, the finding is `no_data`; `alert`: nothing, and the finding is a breach.
    """

    GOOD = "good"
    BAD = "bad"
    IGNORE = "ignore"
    ALERT = "alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliKind(Generic[P]):
    """One service level indicator.

    Attributes
    ----------
    name
        As in a configuration, and of its entry point.
    question
        What it answers, for people.
    params
        A frozen dataclass of values that can be hashed; each field has a default,
        `__post_init__` raises ValueError.
    cells
        What is counted as rows are folded, whatever the parameters.
    classify
        Returns what each cell is, given the parameters: an `Event` each, shape (cell,).
        It is asked at evaluation: a changed limit applies to the past too.
    unit
        What is counted.
    objective
        Share of good ones that an SLO asks for by default, in (0, 1).
    runbook
        Name of the built-in runbook of its alerts; "" for none.
    no_data
        What a time without predictions counts as by default.
    """

    name: str
    question: str
    params: type[P]
    cells: Cells
    classify: Callable[[P], Ints]
    unit: SliUnit = SliUnit.PREDICTIONS
    objective: float = 0.99
    runbook: str = ""
    no_data: NoData = NoData.IGNORE

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"name {self.name!r} must be lower-case letters, digits and _")
        if not 0 < self.objective < 1:
            raise ValueError("objective must be in (0, 1)")

    @property
    def stream(self) -> Additive[CellCounts]:
        """The stream of summaries that holds the counts."""
        if self.cells is serving.CELLS:
            return serving.SERVING
        return stream(f"sli_{self.name}")

    def events(self, params: P) -> Ints:
        """Return what each cell is, shape (STRIDE,): of an error unknown, of no cell -1.

        Raises
        ------
        ValueError
            If `classify` returned anything but one event for each cell.
        """
        found = np.asarray(self.classify(params))
        if found.shape != (self.cells.n,) or not np.isin(found, [*Event]).all():
            raise ValueError(f"classify must return {self.cells.n} events")
        every = np.full(STRIDE, -1)
        every[: self.cells.n], every[ERROR_CELL] = found, Event.UNKNOWN
        return every

    def count(self, found: CellCounts, params: P, window: Window, width: timedelta) -> Counts:
        """Return how many were good, bad and unknown in each part of a window.

        Parameters
        ----------
        found
            Of the stream; what lies outside of the window is left out.
        params
            The parameters.
        window, width
            Cut into parts so wide, a multiple of ten seconds.

        Raises
        ------
        Unprocessable
            If cells were counted that the SLI has no more.
        """
        inside, n = found.within(window), (window.end - window.start) // width
        slices, counts, events = inside.slices, inside.counts, self.events(params)[inside.cells]
        if events.size and events.min() < 0:
            raise Unprocessable(
                f"SLI {self.name!r} has fewer cells than were counted: rebuild stream "
                f"{self.stream.name}"
            )
        if self.unit is SliUnit.TIME_SLICES and slices.size:
            first = np.flatnonzero(np.diff(slices, prepend=-1))
            events = np.maximum.reduceat(events, first)
            slices, counts = slices[first], np.ones(first.size, dtype=np.int64)
        at = bins_of(slices, window, width) * len(Event) + events
        summed = np.bincount(at, counts, minlength=n * len(Event)).astype(np.int64)
        by_event = summed.reshape(n, len(Event)).T
        return Counts(
            good=by_event[Event.GOOD], bad=by_event[Event.BAD], unknown=by_event[Event.UNKNOWN]
        )


SLIS = Registry[SliKind[Any]]("seqwatch.slis", "SLI", SliKind)


def find(name: str) -> SliKind[Any]:
    """Return the SLI called `name`.

    Raises
    ------
    Unprocessable
        If there is none; the message lists those there are, or why it is unavailable.
    """
    return SLIS.find(name)


def parse(name: str, params: Mapping[str, object]) -> Any:
    """Read the parameters of an SLI; what is absent takes its default.

    Raises
    ------
    Unprocessable
        Naming the parameter that is unknown, of the wrong type or impossible.

    Examples
    --------
    >>> str(parse("latency", {}).slower_than)
    '0:00:01'
    """
    return plugins.parse(name, find(name).params, params)


def counted(*kinds: Kind) -> Mapping[str, Cells]:
    """Return the cells that are counted as rows of some kinds are folded; by default of all."""
    every = {serving.SERVING.name: serving.CELLS} | {sli.stream.name: sli.cells for sli in SLIS}
    wanted = {*(kinds or Kind)}
    return {stream: of for stream, of in every.items() if of.kinds & wanted}
