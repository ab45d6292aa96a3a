"""Give each kind of monitor what it looks at, and ask it."""

import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.errors import AppError
from core.window import Window
from db.queries import mismatch
from db.queries.summaries import SLICE, serving_slices
from db.session import read_only
from db.tables import Model, Monitor
from monitors import (
    accuracy,
    burn,
    calibration,
    coarse,
    distances,
    drift,
    input_fault,
    level,
    level_looks,
    prediction_drift,
    preprocessing_mismatch,
    quality,
    registry,
    residual,
    sequence,
    shape,
)
from monitors.accuracy import AccuracyParams, DayErrors
from monitors.burn import BurnParams, Indicator, Slices
from monitors.calibration import CalibrationParams, ClaimDays
from monitors.daily import Daily, daily
from monitors.drift import DriftParams
from monitors.finding import Finding, Json, Outcome
from monitors.hourly import HOURS, Hourly
from monitors.input_fault import Fault, InputFaultParams
from monitors.learning import Learning
from monitors.level import LevelParams
from monitors.panel import PanelParams
from monitors.prediction_drift import PredictionDriftParams
from monitors.preprocessing_mismatch import MismatchParams
from monitors.provisional import with_first_impression
from monitors.quality import Arrivals, QualityParams
from monitors.quality_baseline import QualityBaseline
from monitors.registry import Params
from monitors.residual import ResidualParams
from monitors.residual_views import ErrorDays
from monitors.segments import like, with_enough
from monitors.shape import ShapeParams
from monitors.summary import Edges, Floats, Summary, chunk_at
from monitors.totals import Totals, totals
from services import arrivals, by_segment, erred, faults, said, scene, shapes
from services.said import Said
from services.scene import Counted, Scene
from services.shapes import Shapes

log = logging.getLogger(__name__)

Baseline = TypeVar("Baseline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a monitor cannot look at all."""

    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One monitor with its parameters, and what only it needs to see."""

    monitor_id: UUID
    params: Params | Failure
    faults: tuple[Fault, ...] = ()
    errors: DayErrors | None = None
    slices: Slices | None = None
    mismatches: Mapping[str, int] = field(default_factory=dict)
    arrivals: Arrivals | None = None
    said: Said | None = None
    shapes: Shapes | None = None
    history: Hourly | None = None
    by_segment: Counted | None = None
    erred: ErrorDays | None = None
    claims: ClaimDays | None = None


class Baselines:
    """What references teach, remembered until rows come into them late."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._known: dict[
            tuple[str, bool, Hashable], tuple[Window, int, tuple[str, ...], Any]
        ] = {}

    def of(
        self,
        seen: Scene,
        reference: Window,
        key: Hashable,
        calibrate: Callable[[Hourly], Baseline],
    ) -> Baseline:
        """Return the baseline of a reference; read and learnt once per process."""
        return self.of_counted(
            seen,
            reference,
            key,
            lambda counted: calibrate(scene.on_hours(counted, reference)),
        )

    def of_counted(
        self,
        seen: Scene,
        reference: Window,
        key: Hashable,
        calibrate: Callable[[Counted], Baseline],
    ) -> Baseline:
        """Return what is learnt from all that is kept of a reference, categories too."""
        is_apart = seen.n_total is not None
        known = self._known.get((seen.model_id, is_apart, key))
        state = (reference, seen.revisions.get(reference, 0), seen.counted.edges.names)
        if known is None or known[:3] != state:
            with read_only(self._sessions) as session:
                model = session.get_one(Model, UUID(seen.model_id))
                read = by_segment.counted_of if is_apart else scene.counted_of
                counted = read(session, model, reference)
            known = self._known[seen.model_id, is_apart, key] = (*state, calibrate(counted))
        baseline: Baseline = known[3]
        return baseline


def prepare(session: Session, model: Model, monitor: Monitor, seen: Scene) -> Task:
    """Read what one monitor needs beyond the scene.

    Parameters that mean nothing to it are its own failure; a database that
    cannot be read is everybody's.
    """
    try:
        return _prepare(session, model, monitor, seen)
    except (AppError, ValueError, ArithmeticError) as error:
        return Task(monitor_id=monitor.id, params=Failure(error=error))


def _prepare(session: Session, model: Model, monitor: Monitor, seen: Scene) -> Task:
    params = registry.parse(monitor.kind, monitor.params)
    task = Task(monitor_id=monitor.id, params=params)
    match params:
        case InputFaultParams():
            task = replace(task, faults=faults.known(session, monitor.id, seen.as_of))
        case DriftParams(by_segment=True) | PanelParams(by_segment=True):
            apart = by_segment.widened(session, model, scene.lately(seen.as_of), seen.counted)
            task = replace(task, by_segment=apart)
        case PredictionDriftParams() | ShapeParams():
            task = _with_its_own(session, task, params, seen)
        case LevelParams():
            window = Window(seen.as_of - level_looks.LOOK_BACK, seen.as_of)
            task = replace(task, history=scene.input_of(session, model, window))
        case AccuracyParams():
            task = replace(task, errors=scene.errors(session, seen, model, params.window_days))
        case ResidualParams() | CalibrationParams():
            task = _with_its_past(session, task, params, model, seen)
        case BurnParams():
            task = replace(task, slices=_slices(session, model, params, seen))
        case MismatchParams():
            counts = mismatch.of_days(session, model.id, _last_day(seen))
            task = replace(task, mismatches=counts)
        case QualityParams():
            task = replace(task, arrivals=arrivals.of_day(session, model.id, _last_day(seen)))
        case _:
            pass
    return task


def _with_its_past(
    session: Session,
    task: Task,
    params: ResidualParams | CalibrationParams,
    model: Model,
    seen: Scene,
) -> Task:
    """Read how a version erred, or what it claimed, on the days whose labels are due."""
    until = scene.matured(seen)
    if isinstance(params, CalibrationParams):
        claims = erred.load_claims(session, model, seen.champion, params, until)
        return replace(task, claims=claims)
    return replace(task, erred=erred.load(session, model, seen.champion, params, until))


def _with_its_own(
    session: Session, task: Task, params: PredictionDriftParams | ShapeParams, seen: Scene
) -> Task:
    """Read what a version is measured against itself by."""
    if seen.champion is None:
        return task
    model_id = UUID(seen.model_id)
    if isinstance(params, ShapeParams):
        lately = shapes.lately(seen.as_of, params)
        inside = shapes.load(session, model_id, seen.champion, params, lately)
        return replace(task, shapes=inside)
    lately = scene.lately(seen.as_of)
    return replace(task, said=said.load(session, model_id, seen.champion, params, lately))


def look(task: Task, seen: Scene, baselines: Baselines) -> Finding:
    """Ask one monitor. One that breaks is an outcome too, and stops no other."""
    try:
        return _look(task, seen, baselines)
    except Exception as error:
        log.exception("monitor %s failed", task.monitor_id)
        return _without_verdict(
            _last_day(seen), Outcome.ERROR, f"{type(error).__name__}: {error}"
        )


def _look(task: Task, seen: Scene, baselines: Baselines) -> Finding:
    params = task.params
    match params:
        case DriftParams() | LevelParams() | PanelParams() | InputFaultParams():
            return _look_at_input(task, params, seen, baselines)
        case PredictionDriftParams() | ShapeParams():
            return _look_at_its_own(task, params, seen)
        case AccuracyParams() | ResidualParams() | CalibrationParams():
            return _look_at_errors(task, params, seen)
        case BurnParams():
            assert task.slices is not None
            return burn.evaluate(task.slices, params, seen.watermark, seen.as_of)
        case MismatchParams():
            is_silent = not seen.recent.until(chunk_at(seen.as_of), HOURS).n.any()
            return preprocessing_mismatch.evaluate(
                task.mismatches, params, _last_day(seen), is_silent=is_silent
            )
        case QualityParams():
            assert task.arrivals is not None
            return _look_at_quality(task.arrivals, params, seen, baselines)
        case Failure(error=error):
            raise error


def _look_at_errors(
    task: Task, params: AccuracyParams | ResidualParams | CalibrationParams, seen: Scene
) -> Finding:
    if isinstance(params, AccuracyParams):
        assert task.errors is not None
        return accuracy.evaluate(task.errors, params, seen.objective)
    if isinstance(params, CalibrationParams):
        if task.claims is None:
            cause = "no probability of the champion has a label that is due"
            return _without_verdict(_last_day(seen), Outcome.NO_DATA, cause)
        return calibration.evaluate(task.claims, params)
    if task.erred is None:
        cause = "no label of a forecast of the champion is due"
        return _without_verdict(_last_day(seen), Outcome.NO_DATA, cause)
    return residual.evaluate(task.erred, params)


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
        return _without_verdict(_last_day(seen), Outcome.NO_DATA, cause)
    if not seen.recent.names:
        cause = "no feature is a number that is kept"
        return _without_verdict(_last_day(seen), Outcome.NO_DATA, cause)
    if task.by_segment is not None:
        seen = by_segment.apart(seen, task.by_segment)
    if isinstance(params, DriftParams):
        return _look_at_drift(params, seen, reference, baselines)
    if isinstance(params, LevelParams):
        assert task.history is not None
        goes_on = baselines.of(
            seen, reference, params, lambda hours: level.calibrate(hours, params)
        )
        return level_looks.evaluate(goes_on, task.history, seen.as_of)
    if isinstance(params, PanelParams):
        follows = baselines.of(
            seen,
            reference,
            repr(params),
            lambda hours: by_segment.learn_panel(hours, params, seen.n_total),
        )
        finding = sequence.evaluate(
            follows, by_segment.judged(seen.recent, follows), seen.as_of
        )
        names = by_segment.judged_names(follows)
        return by_segment.told(finding, names, seen.recent, seen.n_total)
    usual = baselines.of(
        seen, reference, params, lambda hours: input_fault.calibrate(hours, params)
    )
    return input_fault.evaluate(usual, seen.recent, task.faults, seen.as_of)


def _look_at_drift(
    params: DriftParams, seen: Scene, reference: Window, baselines: Baselines
) -> Finding:
    learnt = baselines.of(
        seen,
        reference,
        repr(params),
        lambda hours: by_segment.learn_drift(hours, params, seen.n_total),
    )
    finding = drift.evaluate(learnt, by_segment.judged(seen.recent, learnt), seen.as_of)
    names = by_segment.judged_names(learnt)
    finding = by_segment.told(finding, names, seen.recent, seen.n_total)
    if isinstance(learnt, Learning):
        return _while_learning(finding, learnt, seen, reference, baselines)
    places = seen.counted.measured
    before = baselines.of_counted(
        seen, reference, "totals", lambda counted: totals(counted.of(places)[1])
    )
    edges, now = seen.counted.within(finding.window).of(places)
    counts = totals(now).counts + before.counts
    return _with_bins(_with_distances(finding, edges, now, before), edges, counts)


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
        return _without_verdict(_last_day(seen), Outcome.NO_DATA, cause)
    reference = prediction_drift.reference_of(params, told.first, seen.as_of)
    before, recent = told.on_hours(reference), told.on_hours(scene.lately(seen.as_of))
    known, lately = before, recent
    if told.n_total is not None:
        known = with_enough(before, told.n_total, params.window_days)
        lately = like(recent, known.names)
    finding = prediction_drift.evaluate(known, lately, params, seen.as_of)
    names = known.names if "features" in finding.detail else ()
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
        return _without_verdict(_last_day(seen), Outcome.NO_DATA, cause)
    reference = shape.reference_of(params, rows.first, seen.as_of)
    return shape.evaluate(rows.layout, rows.summary, reference, params, seen.as_of)


def _with_distances(finding: Finding, edges: Edges, now: Summary, usual: Totals) -> Finding:
    """Say of each feature how far it is from the reference, in the measures people know."""
    features = finding.detail.get("features")
    if not isinstance(features, Mapping):
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
    return quality.evaluate(learnt, days, came, params, _last_day(seen))


def _slices(session: Session, model: Model, params: BurnParams, seen: Scene) -> Slices:
    window = Window(seen.as_of - params.period, seen.as_of)
    slower = params.slower_than_seconds if params.indicator is Indicator.LATENCY else None
    good, bad = serving_slices(session, model.id, window, slower_than=slower)
    return Slices(width=SLICE, good=good, bad=bad)


def _last_day(seen: Scene) -> Window:
    return Window(seen.as_of - timedelta(days=1), seen.as_of)


def _without_verdict(window: Window, outcome: Outcome, cause: str) -> Finding:
    return Finding(outcome=outcome, value=None, threshold=None, window=window, cause=cause)
