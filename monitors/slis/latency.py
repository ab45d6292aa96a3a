"""Latency: a prediction that took longer than a limit, or failed, is bad."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from core.durations import Duration
from monitors.slo import serving
from monitors.slo.sli import Event, SliKind
from monitors.summaries.summary import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyParams:
    """Parameters of `latency`.

    Attributes
    ----------
    slower_than
        What is slower is bad; taken up to the next of ten edges per decade, at most 26 %
        above it.
    """

    slower_than: Duration = timedelta(seconds=1)

    def __post_init__(self) -> None:
        if self.slower_than <= timedelta(0):
            raise ValueError("slower_than must be positive")


def classify(params: LatencyParams) -> Ints:
    """Return what each cell is: without a latency it is unknown, whatever its status."""
    is_bad = serving.are_failures() | serving.are_slower(params.slower_than.total_seconds())
    known = np.where(is_bad, Event.BAD, Event.GOOD)
    return np.where(serving.have_latency(), known, Event.UNKNOWN)


SLI = SliKind(
    name="latency",
    question="Did predictions succeed in time?",
    params=LatencyParams,
    cells=serving.CELLS,
    classify=classify,
    runbook="latency",
)
