"""Source: the sources that rows are pulled from have stopped, fail, or changed."""

from monitors.finding import Finding
from monitors.kind import Inputs, Interval, MonitorKind
from monitors.slo import source_states
from monitors.slo.source_states import SourceDetail, SourceParams
from monitors.sources import PulledSources

_SOURCES = PulledSources()


def evaluate(params: SourceParams, inputs: Inputs) -> Finding:
    """Evaluate the moment, by the wall clock."""
    return source_states.evaluate(inputs[_SOURCES], params, inputs.context.as_of)


KIND = MonitorKind(
    name="source",
    means_missing_data=True,
    question="Do the sources give new rows in the mapped columns?",
    params=SourceParams,
    detail=SourceDetail,
    sources=lambda _: [_SOURCES],
    evaluate=evaluate,
    needs_reference=False,
    interval=Interval.CLOCK,
    runbook=lambda *_: "silent_model",
)
