"""Backtest: evaluate monitors on past days, without effect.

Each closed day that is kept is evaluated, and nothing is written. Every day
is evaluated as it is known now, late rows and labels included, and measured
against what the champion was trained on, or against any other stretch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, Duration
from core.errors import Unprocessable
from core.window import Stretches, Window
from db.queries import models, summaries
from db.queries.log import positions, recompute_marks
from db.session import read_only
from db.tables import Finding as FindingRow
from db.tables import Model, Monitor
from monitors import registry
from monitors.finding import Outcome
from monitors.kind import EvaluationContext, Interval, ReferenceOf
from monitors.slo.serving import SERVING
from services.evaluation import evaluation_context
from services.evaluation.baseline_cache import Baselines
from services.evaluation.episodes import Episode, Record, Tracker, follow, record
from services.evaluation.evaluate_monitor import evaluate
from services.evaluation.prepare import Preparation, Prepared
from services.models.monitor_config import (
    MonitorPlan,
    by_day,
    enabled,
    finds_broken_input,
    severity_of,
)

MAX_DAYS = 3_660


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestRequest:
    """Request of a backtest.

    Attributes
    ----------
    since, until
        Bounds of event time; by default from the first day that was served to
        the last that has closed.
    reference
        Measured against this instead of against the champion's reference; its
        days are not evaluated.
    reference_length
        The first days of the stretch are that reference.
    plans
        Monitors to try; by default those that the model has.
    """

    since: datetime | None = None
    until: datetime | None = None
    reference: Stretches = ()
    reference_length: Duration | None = None
    plans: tuple[MonitorPlan, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Result of a backtest, the oldest episode first.

    Attributes
    ----------
    waiting_rows, waiting_days
        Rows that are not yet folded and archived, and event days that are not yet
        joined with labels: what they hold is not in what was found.
    """

    model: str
    version: str | None
    since: datetime | None
    until: datetime | None
    n_days: int
    waiting_rows: int = 0
    waiting_days: int = 0
    records: tuple[Record, ...] = ()
    episodes: tuple[Episode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    context: EvaluationContext
    prepared: Sequence[Prepared]


def run_backtest(
    sessions: sessionmaker[Session],
    model_id: UUID,
    request: BacktestRequest,
    note: Callable[[int, int | None], None] = lambda _, __: None,
) -> Backtest:
    """Evaluate monitors on each closed day of a stretch that is kept.

    Parameters
    ----------
    sessions
        Opens transactions, to read.
    model_id
        Whose days.
    request
        Which days, against what, by which monitors.
    note
        Called after each day with the number of days evaluated, and of all days,
        which is None while the days are read. An error of it ends the backtest.

    Raises
    ------
    Unprocessable
        If a monitor's parameters mean nothing, or the stretch is too long.
    """
    # load
    with read_only(sessions) as session:
        model = session.get_one(Model, model_id)
        trackers = [_tracker(plan) for plan in _plans(session, model_id, request)]
        request = _with_reference(session, model, request)
        name, stretch = model.name, _stretch(session, model, request)
        version = evaluation_context.champion_name(session, model_id)
        waiting_rows, waiting_days = waiting(session, model_id)
        baselines = Baselines()
        days = []
        if stretch is not None:
            for day in _days(session, model, trackers, (request, stretch), baselines):
                days.append(day)
                note(0, None)

    # decide
    for n_evaluated, day in enumerate(days, start=1):
        _evaluate_day(trackers, day, baselines)
        note(n_evaluated, len(days))
    episodes = [episode for tracker in trackers for episode in tracker.episodes]
    return Backtest(
        model=name,
        version=version,
        since=stretch.start if stretch else None,
        until=stretch.end if stretch else None,
        n_days=len(days),
        waiting_rows=waiting_rows,
        waiting_days=waiting_days,
        records=tuple(record(tracker) for tracker in trackers),
        episodes=tuple(sorted(episodes, key=lambda one: (one.since, one.monitor))),
    )


def waiting(session: Session, model_id: UUID) -> tuple[int, int]:
    """Return how many rows wait for fold and archive, and how many days for a join."""
    n_rows, _ = models.backlog(session, model_id)
    return n_rows, len(positions.dirty_days(session, model_id))


def _plans(session: Session, model_id: UUID, request: BacktestRequest) -> list[MonitorPlan]:
    plans = request.plans
    if plans is None:
        plans = tuple(
            MonitorPlan(
                name=monitor.name,
                kind=monitor.kind,
                params=monitor.params,
                severity=monitor.severity,
            )
            for monitor in by_day(enabled(session, model_id))
        )
    return sorted(plans, key=lambda plan: not finds_broken_input(plan.kind))


def check(plan: MonitorPlan) -> None:
    """Refuse a monitor that no backtest can evaluate.

    Raises
    ------
    Unprocessable
        If its kind, a parameter or its severity is unknown, or it is not evaluated by day.
    """
    registry.parse(plan.kind, plan.params)
    severity_of(plan)
    if registry.find(plan.kind).interval is not Interval.DAY:
        raise Unprocessable(
            f"monitor {plan.name!r}: {plan.kind} is evaluated within minutes, which a "
            "backtest, day by day, cannot do"
        )


def _tracker(plan: MonitorPlan) -> Tracker:
    check(plan)
    # Never stored: it only carries kind and parameters to those who read for a monitor.
    monitor = Monitor(id=uuid4(), name=plan.name, kind=plan.kind, params=dict(plan.params))
    return Tracker(
        plan=plan,
        kind=registry.find(plan.kind),
        severity=severity_of(plan),
        monitor=monitor,
    )


def _with_reference(
    session: Session, model: Model, request: BacktestRequest
) -> BacktestRequest:
    """Turn the first days of the stretch into the reference, if so asked."""
    zone, first = models.zone_of(model), _first_served(session, model.id)
    if request.reference_length is None:
        return request
    if request.reference:
        raise Unprocessable("reference or reference_length, not both")
    if first is None:
        return request
    start = zone.floor(max(first, request.since or first))
    end = zone.later(start, request.reference_length)
    return replace(request, reference=(Window(start, end),))


def _first_served(session: Session, model_id: UUID) -> datetime | None:
    """Return when a model first served; None before it has."""
    return summaries.first(session, SERVING, model_id)


def _stretch(session: Session, model: Model, request: BacktestRequest) -> Window | None:
    first = _first_served(session, model.id)
    closed = recompute_marks.settled(model)
    if first is None or closed is None:
        return None
    start = max(first, request.since or first)
    if request.reference:
        start = max(start, request.reference[-1].end)
    zone = models.zone_of(model)
    start = zone.floor(start)
    end = min(closed, request.until or closed)
    if end - start > MAX_DAYS * DAY:
        raise Unprocessable(f"at most {MAX_DAYS} days at once")
    return Window(start, end) if any(zone.ends(start, end)) else None


def _days(
    session: Session,
    model: Model,
    trackers: Sequence[Tracker],
    of_request: tuple[BacktestRequest, Window],
    baselines: Baselines,
) -> Iterator[_Day]:
    """Read everything once, and cut the part of each day out of it."""
    request, stretch = of_request
    of = evaluation_context.subject(session, model.id)
    base = evaluation_context.load(of, stretch.start)
    if request.reference:
        base = replace(base, references=dict.fromkeys(ReferenceOf, request.reference))
    slots = [*base.zone.ends(stretch.start, stretch.end)]
    preparation = Preparation(of, baselines, (slots[0], stretch.end), base.champion)
    monitors = [tracker.monitor for tracker in trackers]
    served_by = _served_by(session, model.id)
    for at in slots:
        context = replace(base, as_of=at, serving=served_by.get(at, base.champion))
        yield _Day(context=context, prepared=preparation.slot(monitors, context))


def _served_by(session: Session, model_id: UUID) -> dict[datetime, str | None]:
    """Return the champion of each day that was evaluated."""
    rows = session.execute(
        select(FindingRow.as_of, FindingRow.version)
        .where(FindingRow.model_id == model_id)
        .distinct()
    )
    return dict(rows.all())


def _evaluate_day(trackers: Sequence[Tracker], day: _Day, baselines: Baselines) -> None:
    for tracker, prepared in zip(trackers, day.prepared, strict=True):
        finding = evaluate(replace(prepared, before=tracker.before), day.context, baselines)
        tracker.findings.append(finding)
        if finding.outcome is not Outcome.ERROR:
            tracker.before = finding.detail
            if tracker.kind.broken is not None:
                tracker.broken = tracker.kind.broken(finding.detail)
        broken = {one.feature for other in trackers for one in other.broken}
        follow(tracker, finding, day.context.as_of, broken)
