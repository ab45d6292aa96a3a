"""Ask a monitor, with what was read for it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

from core.window import Window
from monitors import (
    accuracy,
    burn,
    calibration,
    coarse,
    distances,
    drift,
    fault_blocks,
    level_looks,
    prediction_drift,
    preprocessing_mismatch,
    quality,
    residual,
    segment_accuracy,
    sequence,
    shape,
)
from monitors.accuracy import AccuracyParams
from monitors.burn import BurnParams
from monitors.calibration import CalibrationParams
from monitors.daily import Daily, daily
from monitors.drift import DriftBaseline, DriftParams
from monitors.fault_blocks import Block
from monitors.finding import Finding, Json, Outcome
from monitors.hourly import Hourly
from monitors.input_fault import InputFaultParams
from monitors.learning import Learning
from monitors.level import LevelBaseline, LevelParams
from monitors.panel import PanelBaseline, PanelParams
from monitors.prediction_drift import PredictionDriftParams
from monitors.preprocessing_mismatch import MismatchParams
from monitors.provisional import with_first_impression
from monitors.quality import Arrivals, QualityParams
from monitors.quality_baseline import QualityBaseline
from monitors.residual import ResidualParams
from monitors.segment_accuracy import SegmentAccuracyParams
from monitors.segments import like, with_enough
from monitors.shape import ShapeParams
from monitors.summary import Edges, Floats, Summary
from monitors.totals import Totals, totals
from services import by_segment, scene
from services.baselines import Baselines
from services.by_segment import Learnt
from services.outage import described, is_outage
from services.said import Said
from services.scene import Counted, Scene
from services.shapes import Shapes
from services.watching import Failure, Task

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
            return burn.evaluate(task.slices, params, seen.as_of)
        case MismatchParams():
            return preprocessing_mismatch.evaluate(
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
            return residual.evaluate(task.erred, params)
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
        return fault_blocks.calibrate(hours, params, seen.n_total)

    blocks = baselines.of(seen, reference, params, learn)
    return _told(
        fault_blocks.evaluate(blocks, seen.recent, task.faults, seen.as_of), blocks, seen
    )


def _look_at_levels(
    history: Hourly, params: LevelParams, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    def learn(hours: Hourly) -> LevelBaseline | Learning:
        return by_segment.learn_level(hours, params, seen.n_total)

    learnt = baselines.of(seen, reference, params, learn)
    hours = by_segment.judged(history, learnt)
    return _told(level_looks.evaluate(learnt, hours, seen.as_of), learnt, seen)


def _look_at_order(
    params: PanelParams, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    def learn(hours: Hourly) -> PanelBaseline | Learning:
        return by_segment.learn_panel(hours, params, seen.n_total)

    learnt = baselines.of(seen, reference, repr(params), learn)
    hours = by_segment.judged(seen.recent, learnt)
    return _told(sequence.evaluate(learnt, hours, seen.as_of), learnt, seen)


def _look_at_drift(
    params: DriftParams, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    def learn(hours: Hourly) -> DriftBaseline | Learning:
        return by_segment.learn_drift(hours, params, seen.n_total)

    learnt = baselines.of(seen, reference, repr(params), learn)
    hours = by_segment.judged(seen.recent, learnt)
    finding = _told(drift.evaluate(learnt, hours, seen.as_of), learnt, seen)
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
    worst = coarse.coarsest(counts, edges)
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
    before, recent = told.on_hours(reference), told.on_hours(scene.lately(seen.as_of))
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
    reference = shape.reference_of(params, rows.first, seen.as_of)
    return shape.evaluate(rows.layout, rows.summary, reference, params, seen.as_of)


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
        return quality.calibrate(days, measured, params)

    reference = seen.widest_reference
    learnt = None
    if reference is not None:
        learnt = baselines.of_counted(seen, reference, (params, edges.names), calibrate)
    start = seen.as_of - timedelta(days=scene.RECENT_DAYS)
    days = daily(recent, edges.names, start, seen.as_of)
    finding = quality.evaluate(learnt, days, came, params, seen.last_day)
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
