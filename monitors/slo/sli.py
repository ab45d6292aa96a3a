"""The extension point for SLIs: what is good and what is bad, and the registry of them.

An SLI is one module that ends in `SLI = SliKind(...)`, registered in the entry point group
`seqwatch.slis` under its name. `monitors/slis/` holds ours.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np

from core import plugins
from core.errors import Unprocessable
from core.plugins import Registry
from core.schema.rows import Kind
from core.streams import Additive
from monitors.slo import serving
from monitors.slo.cells import (
    ERROR_CELL,
    STRIDE,
    CellCounts,
    Cells,
    stream,
)
from monitors.summaries.summary import Ints

P = TypeVar("P")


class Event(IntEnum):
    """What a prediction, or a slice of time, is to an SLI; of a slice the largest decides."""

    NOT_COUNTED = 0
    UNKNOWN = 1
    GOOD = 2
    BAD = 3


_COUNTED = [Event.GOOD, Event.BAD, Event.UNKNOWN]


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
        return _events(self, params)

    def by_slice(self, found: CellCounts, params: P) -> tuple[Ints, Ints]:
        """Return what was good, bad and unknown in each ten seconds with any event.

        Returns
        -------
        slices : (slice,)
            Since 1970, ascending.
        counts : (slice, 3)
            Good, bad and unknown.

        Raises
        ------
        Unprocessable
            If cells were counted that the SLI has no more.
        """
        slices, counts, events = found.slices, found.counts, self.events(params)[found.cells]
        if events.size and events.min() < 0:
            raise Unprocessable(
                f"SLI {self.name!r} has fewer cells than were counted: rebuild stream "
                f"{self.stream.name}"
            )
        first = np.flatnonzero(np.diff(slices, prepend=-1))
        if self.unit is SliUnit.TIME_SLICES and slices.size:
            events = np.maximum.reduceat(events, first)
            slices, counts = slices[first], np.ones(first.size, dtype=np.int64)
            first = np.arange(slices.size)
        of = np.cumsum(np.diff(slices, prepend=slices[:1]) > 0) * len(Event) + events
        summed = np.bincount(of, counts, minlength=first.size * len(Event)).astype(np.int64)
        by_event = summed.reshape(first.size, len(Event))
        some = by_event[:, _COUNTED].any(axis=1)
        return slices[first][some], by_event[some][:, _COUNTED]

    def count(self, found: CellCounts, params: P) -> tuple[int, int, int]:
        """Return how many were good, bad and unknown.

        Raises
        ------
        Unprocessable
            As `by_slice`.
        """
        _, counts = self.by_slice(found, params)
        good, bad, unknown = counts.sum(axis=0).tolist()
        return good, bad, unknown


@lru_cache(maxsize=1024)
def _events(kind: SliKind[P], params: P) -> Ints:
    found = np.asarray(kind.classify(params))
    if found.shape != (kind.cells.n,) or not np.isin(found, [*Event]).all():
        raise ValueError(f"classify must return {kind.cells.n} events")
    every = np.full(STRIDE, -1)
    every[: kind.cells.n], every[ERROR_CELL] = found, Event.UNKNOWN
    return every


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
