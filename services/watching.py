"""Give each kind of monitor what it looks at."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.window import Window
from db.queries import mismatch
from db.queries.summaries import SLICE, served_rows, serving_slices
from db.tables import Model, Monitor
from monitors import level_looks, registry
from monitors.accuracy import AccuracyParams, DayErrors
from monitors.burn import BurnParams, Indicator, Slices
from monitors.calibration import CalibrationParams, ClaimDays
from monitors.drift import DriftParams
from monitors.hourly import Hourly
from monitors.input_fault import Fault, InputFaultParams
from monitors.level import LevelParams
from monitors.panel import PanelParams
from monitors.prediction_drift import PredictionDriftParams
from monitors.preprocessing_mismatch import MismatchParams
from monitors.quality import Arrivals, QualityParams
from monitors.registry import Params
from monitors.residual import ResidualParams
from monitors.residual_views import ErrorDays
from monitors.segment_accuracy import SegmentAccuracyParams, SegmentDays
from monitors.shape import ShapeParams
from services import arrivals, by_segment, erred, faults, said, scene, shapes
from services.outage import is_outage
from services.said import Said
from services.scene import Counted, Scene
from services.shapes import Shapes

log = logging.getLogger(__name__)


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
    n_rows: int = 0
    arrivals: Arrivals | None = None
    said: Said | None = None
    shapes: Shapes | None = None
    history: Hourly | None = None
    by_segment: Counted | None = None
    erred: ErrorDays | None = None
    claims: ClaimDays | None = None
    segment_errors: SegmentDays | None = None


def prepare(session: Session, model: Model, monitor: Monitor, seen: Scene) -> Task:
    """Read what one monitor needs beyond the scene.

    Parameters that mean nothing to it are its own failure; a database that
    cannot be read is everybody's.
    """
    try:
        return _prepare(session, model, monitor, seen)
    except Exception as error:
        # After a failed statement PostgreSQL reads nothing more in this transaction.
        if isinstance(error, SQLAlchemyError) or is_outage(error):
            raise
        log.exception("monitor %s failed", monitor.id)
        return Task(monitor_id=monitor.id, params=Failure(error=error))


def _prepare(session: Session, model: Model, monitor: Monitor, seen: Scene) -> Task:
    params = registry.parse(monitor.kind, monitor.params)
    task = Task(monitor_id=monitor.id, params=params)
    match params:
        case InputFaultParams():
            task = replace(task, faults=faults.known(session, monitor.id, seen.as_of))
            task = _with_segments(session, task, params, model, seen)
        case DriftParams() | PanelParams():
            task = _with_segments(session, task, params, model, seen)
        case PredictionDriftParams() | ShapeParams():
            task = _with_its_own(session, task, params, seen)
        case LevelParams():
            task = _with_its_history(session, task, params, model, seen)
        case AccuracyParams():
            task = replace(task, errors=scene.errors(session, seen, model, params.window_days))
        case ResidualParams() | CalibrationParams() | SegmentAccuracyParams():
            task = _with_its_past(session, task, params, model, seen)
        case BurnParams():
            task = replace(task, slices=_slices(session, model, params, seen))
        case MismatchParams():
            counts = mismatch.of_days(session, model.id, seen.last_day)
            n_rows = served_rows(session, model.id, seen.last_day)
            task = replace(task, mismatches=counts, n_rows=n_rows)
        case QualityParams():
            task = replace(task, arrivals=arrivals.of_day(session, model.id, seen.last_day))
    return task


def _with_segments(
    session: Session,
    task: Task,
    params: DriftParams | PanelParams | InputFaultParams,
    model: Model,
    seen: Scene,
) -> Task:
    """Lay the segments beside what is seen of all, if they are judged."""
    if not params.by_segment:
        return task
    apart = by_segment.widened(session, model, scene.lately(seen.as_of), seen.counted)
    return replace(task, by_segment=apart)


def _with_its_history(
    session: Session, task: Task, params: LevelParams, model: Model, seen: Scene
) -> Task:
    """Read the half year of input that evidence piles up over."""
    window = Window(seen.as_of - level_looks.LOOK_BACK, seen.as_of)
    if not params.by_segment:
        return replace(task, history=scene.input_of(session, model, window))
    apart = by_segment.counted_of(session, model, window)
    return replace(task, history=scene.on_hours(apart, window), by_segment=apart)


def _with_its_past(
    session: Session,
    task: Task,
    params: ResidualParams | CalibrationParams | SegmentAccuracyParams,
    model: Model,
    seen: Scene,
) -> Task:
    """Read how a version erred, or what it claimed, on the days whose labels are due."""
    until = scene.matured(seen)
    if isinstance(params, SegmentAccuracyParams):
        wrong = erred.load_segments(session, model, seen.champion, params, until)
        return replace(task, segment_errors=wrong)
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


def _slices(session: Session, model: Model, params: BurnParams, seen: Scene) -> Slices:
    window = Window(seen.as_of - params.period, seen.as_of)
    slower = params.slower_than_seconds if params.indicator is Indicator.LATENCY else None
    served = serving_slices(session, model.id, window, slower_than=slower)
    return Slices(width=SLICE, versions=served)
