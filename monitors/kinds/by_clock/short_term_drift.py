"""Short-term drift: level and spread of the input over the last grains."""

from monitors.drift import short_term
from monitors.drift.short_term import ShortTermBaseline, ShortTermDriftParams
from monitors.evidence import Evidence, EvidenceDetail
from monitors.finding import Finding
from monitors.kind import Inputs, Interval, MonitorKind, by_any
from monitors.sources import InputGrains
from monitors.summaries.grains import Grains


def fit(params: ShortTermDriftParams, before: Grains) -> ShortTermBaseline | None:
    """Learn from the days before."""
    return short_term.fit(before, params)


def evaluate(params: ShortTermDriftParams, inputs: Inputs) -> Finding | Evidence:
    """Measure the window that has just closed."""
    if inputs.fitted is None:
        return inputs.context.no_data("warming up: less than a day of input")
    return short_term.evaluate(inputs.fitted, inputs[_grains(params)], params)


def _grains(params: ShortTermDriftParams) -> InputGrains:
    return InputGrains(n_grains=params.grains)


KIND = MonitorKind(
    name="short_term_drift",
    question="Have level and spread of the input changed within the last minutes or hours?",
    params=ShortTermDriftParams,
    detail=EvidenceDetail,
    sources=lambda params: [_grains(params)],
    evaluate=evaluate,
    gives_evidence=True,
    fit=fit,
    interval=Interval.GRAIN,
    every_grains=lambda params: params.grains,
    is_explained_by=by_any,
    runbook=lambda *_: "drift",
)
