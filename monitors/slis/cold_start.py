"""Cold start: a cold start that took longer than a limit is bad."""

from dataclasses import dataclass
from datetime import timedelta

from core.durations import Duration
from monitors.slo.event_cells import DurationParams, classify_durations, durations
from monitors.slo.sli import NoData, SliKind, SliUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStartParams(DurationParams):
    """Parameters of `cold_start`; those of `DurationParams`."""

    slower_than: Duration = timedelta(seconds=1)


SLI = SliKind(
    name="cold_start",
    question="Were cold starts fast enough?",
    params=ColdStartParams,
    cells=durations("cold_start"),
    classify=classify_durations,
    unit=SliUnit.EVENTS,
    no_data=NoData.GOOD,
    runbook="cold_start",
)
