"""Out of memory: ten seconds in which an instance ran out of memory are bad."""

from monitors.slo.event_cells import NoParams, classify_interruptions, interruptions
from monitors.slo.sli import SliKind, SliUnit

SLI = SliKind(
    name="out_of_memory",
    question="Did every instance have enough memory?",
    params=NoParams,
    cells=interruptions("out_of_memory"),
    classify=classify_interruptions,
    unit=SliUnit.TIME_SLICES,
    objective=0.999,
    runbook="out_of_memory",
)
