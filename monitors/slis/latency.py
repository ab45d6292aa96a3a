"""Latency: a prediction that took longer than a limit, or failed, is bad."""

from dataclasses import dataclass

import numpy as np

from monitors.slo import serving
from monitors.slo.sli import Event, SliKind
from monitors.summaries.summary import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyParams:
    """Parameters of `latency`.

    Attributes
    ----------
    slower_than_seconds
        What is slower is bad; taken up to the next of ten edges per decade, at most 26 %
        above it.
    """

    slower_than_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.slower_than_seconds <= 0:
            raise ValueError("slower_than_seconds must be positive")


def classify(params: LatencyParams) -> Ints:
    """Return what each cell is: without a latency it is unknown, whatever its status."""
    is_bad = serving.are_failures() | serving.are_slower(params.slower_than_seconds)
    known = np.where(is_bad, Event.BAD, Event.GOOD)
    return np.where(serving.have_latency(), known, Event.UNKNOWN)


SLI = SliKind(
    name="latency",
    question="Did predictions succeed in time?",
    params=LatencyParams,
    cells=serving.CELLS,
    classify=classify,
)
