"""Residuals: bias, spread and autocorrelation of the errors."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.performance import residuals
from monitors.performance.residuals import ResidualParams
from monitors.sources import Residuals


def evaluate(params: ResidualParams, inputs: Inputs) -> Finding:
    """Evaluate the last labelled window against the version's own labelled past."""
    past = inputs[_past(params)]
    if past is None:
        return inputs.context.no_data("no label of a forecast of the champion is due")
    return residuals.evaluate(past, params)


def _past(params: ResidualParams) -> Residuals:
    return Residuals(window_days=params.window_days, reference_days=params.reference_days)


KIND = MonitorKind(
    name="residuals",
    question="Do the errors have a pattern that they did not have?",
    params=ResidualParams,
    sources=lambda params: [_past(params)],
    evaluate=evaluate,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
)
