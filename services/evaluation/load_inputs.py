"""Give each kind of monitor what it looks at."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.window import Window
from db.queries.log import contract_violations
from db.queries.summaries import SLICE, served_rows, serving_slices
from db.tables import Model, Monitor
from monitors import registry
from monitors.data_quality.contract_violations import MismatchParams
from monitors.data_quality.data_quality import Arrivals, QualityParams
from monitors.drift import mean_shift_evaluation
from monitors.drift.input_drift import DriftParams
from monitors.drift.mean_shift import LevelParams
from monitors.drift.prediction_drift import PredictionDriftParams
from monitors.input_fault.input_fault import Fault, InputFaultParams
from monitors.performance.accuracy import AccuracyParams, DayErrors
from monitors.performance.calibration import CalibrationParams, ClaimDays
from monitors.performance.residual_statistics import ErrorDays
from monitors.performance.residuals import ResidualParams
from monitors.performance.segment_accuracy import SegmentAccuracyParams, SegmentDays
from monitors.registry import Params
from monitors.slo.burn_rate import BurnParams, Indicator, Slices
from monitors.summaries.hourly import Hourly
from monitors.summaries.input_history import Counted
from monitors.temporal.panel import PanelParams
from monitors.temporal.window_profile import ShapeParams
from services.aggregation import window_profiles
from services.aggregation.window_profiles import Shapes
from services.alerting import inhibition
from services.evaluation import (
    by_segment,
    error_history,
    evaluation_context,
    output_history,
    volume,
)
from services.evaluation.evaluation_context import Scene
from services.evaluation.output_history import Said
from services.platform_faults.outage import is_outage

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
            task = replace(task, faults=inhibition.known(session, monitor.id, seen.as_of))
            task = _with_segments(session, task, params, model, seen)
        case DriftParams() | PanelParams():
            task = _with_segments(session, task, params, model, seen)
        case PredictionDriftParams() | ShapeParams():
            task = _with_its_own(session, task, params, seen)
        case LevelParams():
            task = _with_its_history(session, task, params, model, seen)
        case AccuracyParams():
            task = replace(
                task, errors=evaluation_context.errors(session, seen, model, params.window_days)
            )
        case ResidualParams() | CalibrationParams() | SegmentAccuracyParams():
            task = _with_its_past(session, task, params, model, seen)
        case BurnParams():
            task = replace(task, slices=_slices(session, model, params, seen))
        case MismatchParams():
            counts = contract_violations.of_days(session, model.id, seen.last_day)
            n_rows = served_rows(session, model.id, seen.last_day)
            task = replace(task, mismatches=counts, n_rows=n_rows)
        case QualityParams():
            task = replace(task, arrivals=volume.of_day(session, model.id, seen.last_day))
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
    apart = by_segment.widened(
        session, model, evaluation_context.lately(seen.as_of), seen.counted
    )
    return replace(task, by_segment=apart)


def _with_its_history(
    session: Session, task: Task, params: LevelParams, model: Model, seen: Scene
) -> Task:
    """Read the half year of input that evidence piles up over."""
    window = Window(seen.as_of - mean_shift_evaluation.LOOK_BACK, seen.as_of)
    if not params.by_segment:
        return replace(task, history=evaluation_context.input_of(session, model, window))
    apart = by_segment.counted_of(session, model, window)
    return replace(task, history=evaluation_context.on_hours(apart, window), by_segment=apart)


def _with_its_past(
    session: Session,
    task: Task,
    params: ResidualParams | CalibrationParams | SegmentAccuracyParams,
    model: Model,
    seen: Scene,
) -> Task:
    """Read how a version erred, or what it claimed, on the days whose labels are due."""
    until = evaluation_context.matured(seen)
    if isinstance(params, SegmentAccuracyParams):
        wrong = error_history.load_segments(session, model, seen.champion, params, until)
        return replace(task, segment_errors=wrong)
    if isinstance(params, CalibrationParams):
        claims = error_history.load_claims(session, model, seen.champion, params, until)
        return replace(task, claims=claims)
    return replace(task, erred=error_history.load(session, model, seen.champion, params, until))


def _with_its_own(
    session: Session, task: Task, params: PredictionDriftParams | ShapeParams, seen: Scene
) -> Task:
    """Read what a version is measured against itself by."""
    if seen.champion is None:
        return task
    model_id = UUID(seen.model_id)
    if isinstance(params, ShapeParams):
        lately = window_profiles.lately(seen.as_of, params)
        inside = window_profiles.load(session, model_id, seen.champion, params, lately)
        return replace(task, shapes=inside)
    lately = evaluation_context.lately(seen.as_of)
    return replace(
        task, said=output_history.load(session, model_id, seen.champion, params, lately)
    )


def _slices(session: Session, model: Model, params: BurnParams, seen: Scene) -> Slices:
    window = Window(seen.as_of - params.period, seen.as_of)
    slower = params.slower_than_seconds if params.indicator is Indicator.LATENCY else None
    served = serving_slices(session, model.id, window, slower_than=slower)
    return Slices(width=SLICE, versions=served)
