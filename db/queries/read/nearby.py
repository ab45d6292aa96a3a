"""Changes of one model around a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select
from sqlalchemy.orm import Session, aliased

from core.window import Window
from db.tables import (
    Alert,
    AuditEvent,
    Finding,
    FlipRow,
    LateDay,
    MismatchDay,
    Monitor,
    RepeatDay,
    Rollout,
    RolloutEvent,
    Version,
)
from monitors.finding import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCount:
    """Rows of one event day, by reason."""

    day: date
    why: str
    n: int


def evaluations_until(
    session: Session, monitor_id: UUID, as_of: datetime, limit: int
) -> Sequence[Row[datetime, Outcome, datetime, datetime]]:
    """Return a monitor's evaluations up to one, newest first: as_of, outcome, window."""
    return session.execute(
        select(Finding.as_of, Finding.outcome, Finding.window_start, Finding.window_end)
        .where(Finding.monitor_id == monitor_id, Finding.as_of <= as_of)
        .order_by(Finding.as_of.desc())
        .limit(limit)
    ).all()


def wall_window(session: Session, model_id: UUID, window: Window, now: datetime) -> Window:
    """Return when the model's clock was in a window of event time, in wall time.

    An evaluation is recorded when its day has closed: that relates both clocks. Where
    no evaluation is known they are taken to agree, and to go on until now.
    """
    start = session.scalar(
        select(func.max(Finding.recorded_at)).where(
            Finding.model_id == model_id, Finding.as_of <= window.start
        )
    )
    end = session.scalar(
        select(func.min(Finding.recorded_at)).where(
            Finding.model_id == model_id, Finding.as_of >= window.end
        )
    )
    start = start or min(window.start, now)
    return Window(start, max(end or now, start + timedelta.resolution))


def flips(session: Session, model_id: UUID, window: Window) -> Sequence[Row[FlipRow, str]]:
    """Return what alerts fired or were resolved, oldest first, with the monitors' names."""
    return session.execute(
        select(FlipRow, Monitor.name)
        .join(Alert, Alert.id == FlipRow.alert_id)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .where(
            FlipRow.model_id == model_id,
            FlipRow.at >= window.start,
            FlipRow.at < window.end,
        )
        .order_by(FlipRow.at, Monitor.name)
    ).all()


def rollout_events(
    session: Session, model_id: UUID, window: Window
) -> Sequence[Row[RolloutEvent, str | None]]:
    """Return what happened to challengers, oldest first, with their names."""
    challenger = aliased(Version)
    return session.execute(
        select(RolloutEvent, challenger.name)
        .join(Rollout, Rollout.id == RolloutEvent.rollout_id)
        .outerjoin(challenger, challenger.id == Rollout.challenger_id)
        .where(
            Rollout.model_id == model_id,
            RolloutEvent.at >= window.start,
            RolloutEvent.at < window.end,
        )
        .order_by(RolloutEvent.at, RolloutEvent.recorded_at)
    ).all()


def audits(
    session: Session, name: str, window: Window, actions: Sequence[str] | None
) -> Sequence[AuditEvent]:
    """Return what people changed about a model, oldest first; the window is wall time.

    Parameters
    ----------
    session
        Only read.
    name
        Of the model.
    window
        Wall time.
    actions
        Which changes; None for all.
    """
    query = select(AuditEvent).where(
        AuditEvent.recorded_at >= window.start,
        AuditEvent.recorded_at < window.end,
        or_(
            AuditEvent.subject == name,
            AuditEvent.subject.startswith(f"{name}/", autoescape=True),
        ),
    )
    if actions is not None:
        query = query.where(AuditEvent.action.in_(actions))
    return session.scalars(query.order_by(AuditEvent.recorded_at)).all()


def detail_before(session: Session, event: AuditEvent) -> dict[str, Any] | None:
    """Return the last change of the same model before a change; None if nothing."""
    before = session.scalar(
        select(AuditEvent)
        .where(
            AuditEvent.subject == event.subject,
            AuditEvent.action.in_(("model.register", "model.update")),
            AuditEvent.recorded_at < event.recorded_at,
        )
        .order_by(AuditEvent.recorded_at.desc())
        .limit(1)
    )
    return None if before is None else before.detail


def mismatches(session: Session, model_id: UUID, window: Window) -> list[DayCount]:
    """Return the rows that did not fit the contract, by event day and reason."""
    rows = session.execute(
        select(MismatchDay.day, MismatchDay.reason, MismatchDay.n)
        .where(
            MismatchDay.model_id == model_id,
            MismatchDay.day >= window.start.date(),
            MismatchDay.day < window.end.date(),
            MismatchDay.n > 0,
        )
        .order_by(MismatchDay.day, MismatchDay.n.desc())
    )
    return [DayCount(day=day, why=why, n=n) for day, why, n in rows]


def repeats(session: Session, model_id: UUID, window: Window) -> list[DayCount]:
    """Return the rows that bear an id which their day had before, by event day."""
    rows = session.execute(
        select(RepeatDay.day, RepeatDay.n)
        .where(
            RepeatDay.model_id == model_id,
            RepeatDay.day >= window.start.date(),
            RepeatDay.day < window.end.date(),
            RepeatDay.n > 0,
        )
        .order_by(RepeatDay.day)
    )
    return [DayCount(day=day, why="repeated", n=n) for day, n in rows]


def late_days(session: Session, model_id: UUID, window: Window) -> Sequence[date]:
    """Return the event days into which rows came late and that were not re-evaluated yet."""
    return session.scalars(
        select(LateDay.day)
        .where(
            LateDay.model_id == model_id,
            LateDay.day >= window.start.date(),
            LateDay.day < window.end.date(),
        )
        .order_by(LateDay.day)
    ).all()


def revised(session: Session, model_id: UUID, window: Window) -> Sequence[Row[datetime, str]]:
    """Return the evaluations that late rows revised: as_of, monitor."""
    return session.execute(
        select(Finding.as_of, Monitor.name)
        .join(Monitor, Monitor.id == Finding.monitor_id)
        .where(
            Finding.model_id == model_id,
            Finding.rev > 0,
            Finding.as_of > window.start,
            Finding.as_of <= window.end,
        )
        .order_by(Finding.as_of, Monitor.name)
    ).all()
