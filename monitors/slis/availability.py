"""Availability: a prediction that ended in an error or a time-out is bad."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from monitors.slo import serving
from monitors.slo.sli import Event, SliKind
from monitors.summaries.summary import Ints


class Degraded(StrEnum):
    """What a prediction that a fallback served counts as."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityParams:
    """Parameters of `availability`.

    Attributes
    ----------
    degraded
        What a prediction that a fallback served counts as; unknown ones are counted apart.
    """

    degraded: Degraded = Degraded.GOOD


def classify(params: AvailabilityParams) -> Ints:
    """Return what each cell is."""
    of_degraded = Event[params.degraded.name]
    served = np.where(serving.are_degraded(), of_degraded, Event.GOOD)
    return np.where(serving.are_failures(), Event.BAD, served)


SLI = SliKind(
    name="availability",
    question="Did predictions end without an error or a time-out?",
    params=AvailabilityParams,
    cells=serving.CELLS,
    classify=classify,
    runbook="failures",
)
