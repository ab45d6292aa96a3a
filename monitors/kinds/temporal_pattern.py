"""Temporal pattern: order, timing and correlation in time of the inputs."""

from dataclasses import replace

from monitors.baselines.coverage import NO_NUMBERS, with_coverage
from monitors.baselines.segments import blocks, inherit, like_fitted, names_of, with_enough
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.sources import RecentInput
from monitors.summaries.hourly import Hourly
from monitors.summaries.input_history import InputHistory
from monitors.temporal import panel, temporal_pattern
from monitors.temporal.panel import TemporalPatternBaseline, TemporalPatternParams
from monitors.temporal.temporal_pattern import TemporalPatternDetail


def fit_hours(
    hours: Hourly, params: TemporalPatternParams, n_total: int | None
) -> TemporalPatternBaseline | WarmingUp:
    """Fit the total, and every segment; only features of one segment are compared."""
    if n_total is None:
        return panel.fit(hours, params)
    enough = with_enough(hours, n_total, params.window_days)
    weights = inherit(params.feature_weights, enough.names, n_total)
    return panel.fit(
        enough, replace(params, feature_weights=weights), blocks(enough.names, n_total)
    )


def fit(
    params: TemporalPatternParams, reference: InputHistory
) -> TemporalPatternBaseline | WarmingUp:
    """Fit the panel of statistics on the hours of the reference."""
    return fit_hours(reference.hours, params, reference.n_total)


def evaluate(params: TemporalPatternParams, inputs: Inputs) -> Finding:
    """Evaluate the last window against the windows of the reference."""
    recent, baseline = inputs[_recent(params)], inputs.fitted
    if not recent.hours.names:
        return inputs.context.no_data(NO_NUMBERS)
    hours = like_fitted(recent.hours, baseline)
    found = temporal_pattern.evaluate(baseline, hours, inputs.context.as_of)
    return with_coverage(found, names_of(baseline), recent)


def _recent(params: TemporalPatternParams) -> RecentInput:
    return RecentInput(by_segment=params.by_segment)


KIND = MonitorKind(
    name="temporal_pattern",
    question="Do values still follow each other in time as in the reference?",
    params=TemporalPatternParams,
    detail=TemporalPatternDetail,
    sources=lambda params: [_recent(params)],
    evaluate=evaluate,
    fit=fit,
    fits_by_segment=lambda params: params.by_segment,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    runbook=lambda *_: "drift",
)
