"""Input drift: the distribution of the input against the reference."""

from dataclasses import dataclass, replace
from datetime import timedelta

from core.durations import HOUR
from core.window import Window
from monitors.baselines.coverage import NO_NUMBERS, with_coverage
from monitors.baselines.segments import inherit, like_fitted, with_enough
from monitors.drift import input_drift, input_drift_baseline
from monitors.drift.feature_distances import with_distances
from monitors.drift.input_drift import DriftDetail
from monitors.drift.input_drift_baseline import InputDriftBaseline, InputDriftParams
from monitors.drift.short_reference import with_first_impression
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.sources import RecentInput
from monitors.statistics.seasonality import find_period
from monitors.summaries import bin_resolution
from monitors.summaries.daily import Daily
from monitors.summaries.hourly import Hourly, whole_days
from monitors.summaries.input_history import InputHistory
from monitors.summaries.summary import Edges, Floats
from monitors.summaries.totals import Totals, totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What is fitted on a reference; `days` only while it is too short for a threshold."""

    baseline: InputDriftBaseline | WarmingUp
    totals: Totals
    days: Daily | None


def fit_hours(
    hours: Hourly, params: InputDriftParams, n_total: int | None
) -> InputDriftBaseline | WarmingUp:
    """Fit the total, and every segment whose reference is long enough.

    Parameters
    ----------
    hours
        The reference.
    params
        Of the monitor.
    n_total
        How many features are of the total; None where there are no others.
    """
    if n_total is None:
        return input_drift_baseline.fit(hours, params)
    enough = with_enough(hours, n_total, params.window_days)
    # All have the total's season: that of a segment with few rows is hard to estimate.
    period = params.period or find_period(whole_days(hours).mean[:, :n_total])
    weights = inherit(params.feature_weights, enough.names, n_total)
    return input_drift_baseline.fit(
        enough, replace(params, season=period * HOUR, feature_weights=weights)
    )


def fit(params: InputDriftParams, reference: InputHistory) -> Fitted:
    """Fit thresholds on the hours of the reference, and keep its distribution."""
    baseline = fit_hours(reference.hours, params, reference.n_total)
    is_short = isinstance(baseline, WarmingUp)
    return Fitted(
        baseline=baseline,
        totals=totals(reference.of(reference.measured)[1]),
        days=reference.days(reference.measured) if is_short else None,
    )


def evaluate(params: InputDriftParams, inputs: Inputs) -> Finding:
    """Evaluate the last window against the reference."""
    recent, as_of = inputs[_recent(params)], inputs.context.as_of
    if not recent.hours.names:
        return inputs.context.no_data(NO_NUMBERS)
    fitted: Fitted = inputs.fitted
    baseline = fitted.baseline
    hours = like_fitted(recent.hours, baseline)
    found = input_drift.evaluate(baseline, hours, as_of)
    if isinstance(baseline, WarmingUp):
        assert fitted.days is not None
        found = with_coverage(found, (), recent)
        window = Window(as_of - timedelta(days=baseline.window_days), as_of)
        edges, _ = recent.of(recent.measured)
        now = recent.within(window).days(recent.measured)
        found = with_first_impression(found, now, fitted.days, edges)
        counts = now.counts.sum(axis=0) + fitted.days.counts.sum(axis=0)
        return _with_bins(found, edges, counts)
    found = with_coverage(found, baseline.names, recent)
    edges, summary = recent.within(found.window).of(recent.measured)
    counts = totals(summary).counts + fitted.totals.counts
    return _with_bins(with_distances(found, edges, summary, fitted.totals), edges, counts)


def _with_bins(finding: Finding, edges: Edges, counts: Floats) -> Finding:
    """Add the features whose bins are too coarse."""
    worst = bin_resolution.coarsest(counts, edges)
    return finding if worst is None else finding.with_figures(coarse_bins=worst)


def _recent(params: InputDriftParams) -> RecentInput:
    return RecentInput(by_segment=params.by_segment)


KIND = MonitorKind(
    name="input_drift",
    question="Is the input still what the model was trained on?",
    params=InputDriftParams,
    detail=DriftDetail,
    sources=lambda params: [_recent(params)],
    evaluate=evaluate,
    fit=fit,
    fits_by_segment=lambda params: params.by_segment,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    has_report=True,
    dates_change=True,
    runbook=lambda *_: "drift",
)
