"""State restore: a restore of state that took longer than a limit is bad."""

from dataclasses import dataclass
from datetime import timedelta

from core.durations import Duration
from monitors.slo.event_cells import DurationParams, classify_durations, durations
from monitors.slo.sli import NoData, SliKind, SliUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRestoreParams(DurationParams):
    """Parameters of `state_restore`; those of `DurationParams`."""

    slower_than: Duration = timedelta(seconds=5)


SLI = SliKind(
    name="state_restore",
    question="Was state restored fast enough?",
    params=StateRestoreParams,
    cells=durations("restore"),
    classify=classify_durations,
    unit=SliUnit.EVENTS,
    no_data=NoData.GOOD,
    runbook="cold_start",
)
