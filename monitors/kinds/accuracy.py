"""Accuracy: the error of the champion against its objective."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, Severity, by_any
from monitors.performance import accuracy
from monitors.performance.accuracy import AccuracyDetail, AccuracyParams
from monitors.sources import DailyErrors


def evaluate(params: AccuracyParams, inputs: Inputs) -> Finding:
    """Evaluate the last days whose labels are due."""
    return accuracy.evaluate(inputs[_errors(params)], params, inputs.context.objective)


def _errors(params: AccuracyParams) -> DailyErrors:
    return DailyErrors(n_days=params.window_days)


KIND = MonitorKind(
    name="accuracy",
    question="Is the error of the predictions within its objective?",
    params=AccuracyParams,
    detail=AccuracyDetail,
    sources=lambda params: [_errors(params)],
    evaluate=evaluate,
    severity=Severity.PAGE,
    breaches_to_fire=2,
    oks_to_resolve=2,
    may_retrain=True,
    is_explained_by=by_any,
    runbook=lambda *_: "accuracy_loss",
)
