"""Restarts: ten seconds in which an instance restarted are bad."""

from monitors.slo.event_cells import NoParams, classify_interruptions, interruptions
from monitors.slo.sli import SliKind, SliUnit

SLI = SliKind(
    name="restarts",
    question="Did every instance keep running?",
    params=NoParams,
    cells=interruptions("restart"),
    classify=classify_interruptions,
    unit=SliUnit.TIME_SLICES,
    objective=0.999,
    runbook="out_of_memory",
)
