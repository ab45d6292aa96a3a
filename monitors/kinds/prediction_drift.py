"""Prediction drift: the distribution of a version's output against its own first days."""

from core.window import Window
from monitors.baselines.coverage import of_hours
from monitors.baselines.first_days import reference_of
from monitors.baselines.segments import like, with_enough
from monitors.drift import prediction_drift
from monitors.drift.feature_distances import with_distances
from monitors.drift.input_drift import DriftDetail
from monitors.drift.prediction_drift import PredictionDriftParams
from monitors.finding import Finding
from monitors.kind import RECENT, Inputs, MonitorKind, by_any
from monitors.sources import Outputs
from monitors.summaries.totals import totals


def evaluate(params: PredictionDriftParams, inputs: Inputs) -> Finding:
    """Evaluate the last window of output against the first days of the version."""
    context, history = inputs.context, inputs[_outputs(params)]
    if history is None or history.first >= context.as_of:
        return context.no_data(
            "no version serves"
            if context.champion is None
            else f"{context.champion} has predicted nothing"
        )
    reference = reference_of(params, history.first, context.as_of)
    before = history.on_hours(reference)
    recent = history.on_hours(Window(context.as_of - RECENT, context.as_of))
    known, lately = before, recent
    if history.n_total is not None:
        known = with_enough(before, history.n_total, params.window_days)
        lately = like(recent, known.names)
    found = prediction_drift.evaluate(known, lately, params, context.as_of)
    names = [each.feature for each in found.detail.implicated_features]
    found = of_hours(found, names, recent, history.n_total)
    baseline = totals(history.within(reference))
    return with_distances(found, history.edges, history.within(found.window), baseline)


def _outputs(params: PredictionDriftParams) -> Outputs:
    return Outputs(
        window_days=params.window_days,
        reference_days=params.reference_days,
        by_segment=params.by_segment,
    )


KIND = MonitorKind(
    name="prediction_drift",
    question="Is the distribution of predictions still that of the version's first days?",
    params=PredictionDriftParams,
    detail=DriftDetail,
    sources=lambda params: [_outputs(params)],
    evaluate=evaluate,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    runbook=lambda *_: "drift",
)
