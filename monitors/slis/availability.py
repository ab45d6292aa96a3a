"""Availability: a prediction that ended in an error or a time-out is bad."""

from dataclasses import dataclass

import numpy as np

from monitors.slo import serving
from monitors.slo.sli import Event, SliKind
from monitors.summaries.summary import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityParams:
    """There are none."""


def classify(_: AvailabilityParams) -> Ints:
    """Return what each cell is: one that a fallback served is good."""
    return np.where(serving.are_failures(), Event.BAD, Event.GOOD)


SLI = SliKind(
    name="availability",
    question="Did predictions end without an error or a time-out?",
    params=AvailabilityParams,
    cells=serving.CELLS,
    classify=classify,
    runbook="failures",
)
