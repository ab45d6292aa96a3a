"""Model load: a load of a model that took longer than a limit is bad."""

from dataclasses import dataclass
from datetime import timedelta

from core.durations import Duration
from monitors.slo.event_cells import DurationParams, classify_durations, durations
from monitors.slo.sli import NoData, SliKind, SliUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoadParams(DurationParams):
    """Parameters of `model_load`; those of `DurationParams`."""

    slower_than: Duration = timedelta(seconds=5)


SLI = SliKind(
    name="model_load",
    question="Were models loaded fast enough?",
    params=ModelLoadParams,
    cells=durations("load"),
    classify=classify_durations,
    unit=SliUnit.EVENTS,
    no_data=NoData.GOOD,
    runbook="cold_start",
)
