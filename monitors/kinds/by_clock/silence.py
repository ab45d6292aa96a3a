"""Silence: predictions have stopped arriving, of a model or of one of its entities."""

from monitors.finding import Finding
from monitors.kind import Inputs, Interval, MonitorKind, Severity
from monitors.slo import silence
from monitors.slo.silence import SilenceParams
from monitors.sources import Arrivals

_ARRIVALS = Arrivals()


def evaluate(params: SilenceParams, inputs: Inputs) -> Finding:
    """Evaluate the moment, by the wall clock."""
    return silence.evaluate(inputs[_ARRIVALS], params)


KIND = MonitorKind(
    name="silence",
    question="Do predictions still arrive?",
    params=SilenceParams,
    sources=lambda _: [_ARRIVALS],
    evaluate=evaluate,
    needs_reference=False,
    severity=Severity.PAGE,
    interval=Interval.CLOCK,
    names_entities=True,
)
