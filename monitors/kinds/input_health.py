"""Input health: missing, stuck and implausible inputs, at the model's grain."""

from monitors.data_quality import input_health
from monitors.data_quality.input_health import InputHealthBaseline, InputHealthParams
from monitors.finding import Finding
from monitors.kind import Inputs, Interval, MonitorKind
from monitors.sources import InputGrains
from monitors.summaries.grains import Grains

_GRAINS = InputGrains()


def fit(_: InputHealthParams, before: Grains) -> InputHealthBaseline | None:
    """Learn from the days before; bounds of mean and spread only from a whole day."""
    return input_health.fit(before, knows_a_day=before.spans_a_day)


def evaluate(params: InputHealthParams, inputs: Inputs) -> Finding:
    """Evaluate the last grain."""
    return input_health.evaluate(inputs.fitted, inputs[_GRAINS], params)


KIND = MonitorKind(
    name="input_health",
    question="Is every input alive and plausible, grain by grain?",
    params=InputHealthParams,
    sources=lambda _: [_GRAINS],
    evaluate=evaluate,
    fit=fit,
    interval=Interval.GRAIN,
)
