"""Ask a monitor, with what was read for it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

from core.window import Window
from monitors.baselines.segments import like, with_enough
from monitors.baselines.warm_up import Learning
from monitors.data_quality import contract_violations, data_quality
from monitors.data_quality.baseline import QualityBaseline
from monitors.data_quality.contract_violations import MismatchParams
from monitors.data_quality.data_quality import Arrivals, QualityParams
from monitors.drift import input_drift, mean_shift_evaluation, prediction_drift
from monitors.drift.input_drift import DriftBaseline, DriftParams
from monitors.drift.mean_shift import LevelBaseline, LevelParams
from monitors.drift.prediction_drift import PredictionDriftParams
from monitors.drift.short_reference import with_first_impression
from monitors.finding import Finding, Json, Outcome
from monitors.input_fault import segment_faults
from monitors.input_fault.input_fault import InputFaultParams
from monitors.input_fault.segment_faults import Block
from monitors.performance import accuracy, calibration, residuals, segment_accuracy
from monitors.performance.accuracy import AccuracyParams
from monitors.performance.calibration import CalibrationParams
from monitors.performance.residuals import ResidualParams
from monitors.performance.segment_accuracy import SegmentAccuracyParams
from monitors.slo import burn_rate
from monitors.slo.burn_rate import BurnParams
from monitors.statistics import distances
from monitors.summaries import bin_resolution
from monitors.summaries.daily import Daily, daily
from monitors.summaries.hourly import Hourly
from monitors.summaries.input_history import Counted
from monitors.summaries.summary import Edges, Floats, Summary
from monitors.summaries.totals import Totals, totals
from monitors.temporal import temporal_pattern, window_profile
from monitors.temporal.panel import PanelBaseline, PanelParams
from monitors.temporal.window_profile import ShapeParams
from services.aggregation.window_profiles import Shapes
from services.evaluation import by_segment, evaluation_context
from services.evaluation.baseline_cache import Baselines
from services.evaluation.by_segment import Learnt
from services.evaluation.evaluation_context import Scene
from services.evaluation.load_inputs import Failure, Task
from services.evaluation.output_history import Said
from services.platform_faults.outage import described, is_outage

log = logging.getLogger(__name__)

_OfErrors: TypeAlias = (
    AccuracyParams | SegmentAccuracyParams | ResidualParams | CalibrationParams
)
_NONE_IS_DUE: Mapping[type[_OfErrors], str] = {
    SegmentAccuracyParams: "no label of a forecast of the champion for a segment is due",
    ResidualParams: "no label of a forecast of the champion is due",
    CalibrationParams: "no probability of the champion has a label that is due",
}


def look(task: Task, seen: Scene, baselines: Baselines) -> Finding:
    """Ask one monitor. One that breaks is an outcome too, and stops no other.

    An outage is no outcome: it is raised, and the whole slot is evaluated later.
    """
    try:
        return _look(task, seen, baselines)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("monitor %s failed", task.monitor_id)
        return _without_verdict(seen, Outcome.ERROR, described(error))


def _look(task: Task, seen: Scene, baselines: Baselines) -> Finding:
    params = task.params
    match params:
        case DriftParams() | LevelParams() | PanelParams() | InputFaultParams():
            return _look_at_input(task, params, seen, baselines)
        case PredictionDriftParams() | ShapeParams():
            return _look_at_its_own(task, params, seen)
        case (
            AccuracyParams() | SegmentAccuracyParams() | ResidualParams() | CalibrationParams()
        ):
            return _look_at_errors(task, params, seen)
        case BurnParams():
            assert task.slices is not None
            return burn_rate.evaluate(task.slices, params, seen.as_of)
        case MismatchParams():
            return contract_violations.evaluate(
                task.mismatches, params, seen.last_day, is_silent=not task.n_rows
            )
        case QualityParams():
            assert task.arrivals is not None
            return _look_at_quality(task.arrivals, params, seen, baselines)
        case Failure(error=error):
            raise error


def _look_at_errors(task: Task, params: _OfErrors, seen: Scene) -> Finding:
    match params:
        case AccuracyParams():
            assert task.errors is not None
            return accuracy.evaluate(task.errors, params, seen.objective)
        case SegmentAccuracyParams() if task.segment_errors is not None:
            return segment_accuracy.evaluate(task.segment_errors, params)
        case ResidualParams() if task.erred is not None:
            return residuals.evaluate(task.erred, params)
        case CalibrationParams() if task.claims is not None:
            return calibration.evaluate(task.claims, params)
        case _:
            return _no_data(seen, _NONE_IS_DUE[type(params)])


def _look_at_input(
    task: Task,
    params: DriftParams | LevelParams | PanelParams | InputFaultParams,
    seen: Scene,
    baselines: Baselines,
) -> Finding:
    is_wide = isinstance(params, InputFaultParams)
    reference = seen.widest_reference if is_wide else seen.reference
    if reference is None:
        cause = "the champion has no reference"
        return _no_data(seen, cause)
    if not seen.recent.names:
        cause = "no feature is a number that is kept"
        return _no_data(seen, cause)
    if task.by_segment is not None:
        seen = by_segment.apart(seen, task.by_segment)
    if isinstance(params, DriftParams):
        return _look_at_drift(params, seen, reference, baselines)
    if isinstance(params, LevelParams):
        assert task.history is not None
        return _look_at_levels(task.history, params, seen, reference, baselines)
    if isinstance(params, PanelParams):
        return _look_at_order(params, seen, reference, baselines)
    return _look_for_faults(task, params, seen, reference, baselines)


def _look_for_faults(
    task: Task, params: InputFaultParams, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    def learn(hours: Hourly) -> tuple[Block, ...]:
        return segment_faults.calibrate(hours, params, seen.n_total)

    blocks = baselines.of(seen, reference, params, learn)
    return _told(
        segment_faults.evaluate(blocks, seen.recent, task.faults, seen.as_of), blocks, seen
    )


def _look_at_levels(
    history: Hourly, params: LevelParams, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    def learn(hours: Hourly) -> LevelBaseline | Learning:
        return by_segment.learn_level(hours, params, seen.n_total)

    learnt = baselines.of(seen, reference, params, learn)
    hours = by_segment.judged(history, learnt)
    return _told(mean_shift_evaluation.evaluate(learnt, hours, seen.as_of), learnt, seen)


def _look_at_order(
    params: PanelParams, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    def learn(hours: Hourly) -> PanelBaseline | Learning:
        return by_segment.learn_panel(hours, params, seen.n_total)

    learnt = baselines.of(seen, reference, repr(params), learn)
    hours = by_segment.judged(seen.recent, learnt)
    return _told(temporal_pattern.evaluate(learnt, hours, seen.as_of), learnt, seen)


def _look_at_drift(
    params: DriftParams, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    def learn(hours: Hourly) -> DriftBaseline | Learning:
        return by_segment.learn_drift(hours, params, seen.n_total)

    learnt = baselines.of(seen, reference, repr(params), learn)
    hours = by_segment.judged(seen.recent, learnt)
    finding = _told(input_drift.evaluate(learnt, hours, seen.as_of), learnt, seen)
    if isinstance(learnt, Learning):
        return _while_learning(finding, learnt, seen, reference, baselines)
    places = seen.counted.measured
    before = baselines.of_counted(
        seen, reference, "totals", lambda counted: totals(counted.of(places)[1])
    )
    edges, now = seen.counted.within(finding.window).of(places)
    counts = totals(now).counts + before.counts
    return _with_bins(_with_distances(finding, edges, now, before), edges, counts)


def _told(finding: Finding, learnt: Learnt | Sequence[Block], seen: Scene) -> Finding:
    names = by_segment.judged_names(learnt)
    return by_segment.told(finding, names, seen.recent, seen.n_total)


def _while_learning(
    finding: Finding, learning: Learning, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    """Say what the days of a short reference allow to say, which calls nobody."""
    places = seen.counted.measured

    def on_days(counted: Counted, window: Window) -> Daily:
        edges, summary = counted.of(places)
        return daily(summary, edges.names, window.start, window.end)

    before = baselines.of_counted(
        seen, reference, "days", lambda counted: on_days(counted, reference)
    )
    window = Window(seen.as_of - timedelta(days=learning.window_days), seen.as_of)
    edges, _ = seen.counted.of(places)
    now = on_days(seen.counted, window)
    told = with_first_impression(finding, now, before, edges)
    return _with_bins(told, edges, now.counts.sum(axis=0) + before.counts.sum(axis=0))


def _with_bins(finding: Finding, edges: Edges, counts: Floats) -> Finding:
    """Say where the bins no longer tell values apart."""
    worst = bin_resolution.coarsest(counts, edges)
    if worst is None:
        return finding
    return replace(finding, detail={**finding.detail, "coarse_bins": worst.to_json()})


def _look_at_its_own(
    task: Task, params: PredictionDriftParams | ShapeParams, seen: Scene
) -> Finding:
    """Ask a monitor that measures a version against what it did first."""
    if isinstance(params, ShapeParams):
        return _look_inside(task.shapes, params, seen)
    return _look_at_outputs(task.said, params, seen)


def _look_at_outputs(told: Said | None, params: PredictionDriftParams, seen: Scene) -> Finding:
    if told is None or told.first >= seen.as_of:
        cause = (
            "no version serves" if seen.champion is None else f"{seen.champion} said nothing"
        )
        return _no_data(seen, cause)
    reference = prediction_drift.reference_of(params, told.first, seen.as_of)
    before, recent = (
        told.on_hours(reference),
        told.on_hours(evaluation_context.lately(seen.as_of)),
    )
    known, lately = before, recent
    if told.n_total is not None:
        known = with_enough(before, told.n_total, params.window_days)
        lately = like(recent, known.names)
    finding = prediction_drift.evaluate(known, lately, params, seen.as_of)
    features = finding.detail.get("features")
    names = [*features] if isinstance(features, Mapping) else []
    finding = by_segment.told(finding, names, recent, told.n_total)
    usual = totals(told.within(reference))
    return _with_distances(finding, told.edges, told.within(finding.window), usual)


def _look_inside(rows: Shapes | None, params: ShapeParams, seen: Scene) -> Finding:
    if rows is None or rows.first >= seen.as_of:
        cause = (
            "no version serves"
            if seen.champion is None
            else f"rows of {seen.champion} hold no lists of more than one step"
        )
        return _no_data(seen, cause)
    reference = window_profile.reference_of(params, rows.first, seen.as_of)
    return window_profile.evaluate(rows.layout, rows.summary, reference, params, seen.as_of)


def _with_distances(finding: Finding, edges: Edges, now: Summary, usual: Totals) -> Finding:
    """Say of each feature how far it is from the reference, in the measures people know."""
    features = finding.detail.get("features")
    if not isinstance(features, Mapping) or not features:
        return finding
    apart = distances.between(totals(now), usual, edges)
    told: dict[str, Json] = {
        name: {**known, "distances": apart.to_json(edges.names.index(name))}
        for name, known in features.items()
        if isinstance(known, Mapping)
    }
    return replace(finding, detail={**finding.detail, "features": told})


def _look_at_quality(
    came: Arrivals, params: QualityParams, seen: Scene, baselines: Baselines
) -> Finding:
    places, measured = seen.counted.kept, seen.contract.measured
    edges, recent = seen.counted.of(places)

    def calibrate(counted: Counted) -> QualityBaseline | Learning:
        assert reference is not None
        _, before = counted.of(places)
        days = daily(before, edges.names, reference.start, reference.end)
        return data_quality.calibrate(days, measured, params)

    reference = seen.widest_reference
    learnt = None
    if reference is not None:
        learnt = baselines.of_counted(seen, reference, (params, edges.names), calibrate)
    start = seen.as_of - timedelta(days=evaluation_context.RECENT_DAYS)
    days = daily(recent, edges.names, start, seen.as_of)
    finding = data_quality.evaluate(learnt, days, came, params, seen.last_day)
    figures = finding.detail.get("quality")
    known = figures if isinstance(figures, Mapping) else {}
    lacking = [name for name in edges.names if name not in known] if known else []
    return replace(finding, detail={**finding.detail, **by_segment.unevaluated(lacking)})


def _no_data(seen: Scene, cause: str) -> Finding:
    return _without_verdict(seen, Outcome.NO_DATA, cause)


def _without_verdict(seen: Scene, outcome: Outcome, cause: str) -> Finding:
    return Finding(
        outcome=outcome, value=None, threshold=None, window=seen.last_day, cause=cause
    )
