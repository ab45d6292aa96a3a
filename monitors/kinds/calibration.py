"""Calibration: predicted probabilities against observed frequencies."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.performance import calibration
from monitors.performance.calibration import CalibrationParams
from monitors.sources import Probabilities


def evaluate(params: CalibrationParams, inputs: Inputs) -> Finding:
    """Evaluate the last labelled window against the version's own labelled past."""
    past = inputs[_past(params)]
    if past is None:
        return inputs.context.no_data("no probability of the champion has a label that is due")
    return calibration.evaluate(past, params)


def _past(params: CalibrationParams) -> Probabilities:
    return Probabilities(window_days=params.window_days, reference_days=params.reference_days)


KIND = MonitorKind(
    name="calibration",
    question="Do predicted probabilities still match observed frequencies?",
    params=CalibrationParams,
    sources=lambda params: [_past(params)],
    evaluate=evaluate,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
)
