"""Queries of the pages: summaries and small tables, no raw rows."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    SQLColumnExpression,
    Text,
    case,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

from alerts.state import Phase
from db.queries.read import false_alarm_rates
from db.tables import (
    Alert,
    AuditEvent,
    Champion,
    Channel,
    Delivery,
    Finding,
    FlipRow,
    Model,
    Monitor,
    PlatformAlert,
    Rollout,
    RolloutEvent,
    SessionScore,
    Version,
)
from monitors.finding import Outcome

_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


def _of(
    column: SQLColumnExpression[UUID], model_id: UUID | None
) -> tuple[ColumnElement[bool], ...]:
    return () if model_id is None else (column == model_id,)


def models(
    session: Session, only: UUID | None = None, names: Collection[str] | None = None
) -> list[tuple[Model, Champion | None, Version | None]]:
    """Return every model, or some, with its champion; both None before the first."""
    among = () if names is None else (Model.name.in_(names),)
    query = (
        select(Model, Champion, Version)
        .outerjoin(Champion, Champion.model_id == Model.id)
        .outerjoin(Version, Version.id == Champion.version_id)
        .where(*_of(Model.id, only), *among)
        .order_by(Model.name)
    )
    return [(*row,) for row in session.execute(query)]


def states(
    session: Session, only: UUID | None
) -> Sequence[Row[str, str, tuple[str, ...], datetime | None, int, int, int, int]]:
    """Return name, labels and watermark of every model, or one, and what its monitors found.

    How many enabled monitors are firing, have failed, are pending, and are ok.
    """

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    newest = _nth_newest(0)
    return session.execute(
        select(
            Model.name,
            Model.group,
            Model.tags,
            Model.watermark,
            count(Alert.phase == Phase.FIRING),
            count(Finding.outcome == Outcome.ERROR),
            count(Alert.phase == Phase.PENDING),
            count(Finding.outcome == Outcome.OK),
        )
        .select_from(Model)
        .outerjoin(Monitor, (Monitor.model_id == Model.id) & Monitor.enabled.is_(True))
        .outerjoin(Alert, Alert.id == _shown_alert())
        .outerjoin(Finding, (Finding.monitor_id == Monitor.id) & (Finding.as_of == newest))
        .where(*_of(Model.id, only))
        .group_by(Model.id, Model.name, Model.group, Model.tags, Model.watermark)
        .order_by(Model.name)
    ).all()


def monitor_statuses(
    session: Session, model_ids: Collection[UUID]
) -> list[tuple[Monitor, Alert | None, Finding | None]]:
    """Return every monitor with its alert and its newest finding; None where there is none.

    Of alerts at several severities, the one that fires; of those, the page.
    """
    newest = _nth_newest(0)
    query = (
        select(Monitor, Alert, Finding)
        .select_from(Monitor)
        .outerjoin(Alert, Alert.id == _shown_alert())
        .outerjoin(Finding, (Finding.monitor_id == Monitor.id) & (Finding.as_of == newest))
        .where(Monitor.model_id.in_(model_ids))
        .order_by(Monitor.model_id, Monitor.name)
    )
    return [(*row,) for row in session.execute(query)]


def watched(session: Session) -> list[Any]:
    """Return of each monitor what a scrape needs, without its other columns.

    Names of model and monitor, severity, kind and whether it is enabled; whether its alert
    fires, alarms and evaluated days as `false_alarm_rates.live` counts them (None without
    an alert); as text its parameters and the detail of its newest finding; and the value and
    threshold of that.
    """
    alarms, days = false_alarm_rates.since_kept()
    rows = session.execute(
        select(
            Model.name.label("model"),
            Monitor.name,
            case((Alert.phase == Phase.FIRING, Alert.severity), else_=Monitor.severity).label(
                "severity"
            ),
            Monitor.kind,
            Monitor.enabled,
            cast(Monitor.params, Text).label("params"),
            (Alert.phase == Phase.FIRING).label("fires"),
            (Alert.n_alarms + func.coalesce(alarms.c.n, 0)).label("n_alarms"),
            (Alert.n_evaluated + func.coalesce(days.c.n, 0)).label("n_evaluated"),
            cast(Finding.detail, Text).label("detail"),
            Finding.value,
            Finding.threshold,
        )
        .select_from(Monitor)
        .join(Model, Model.id == Monitor.model_id)
        .outerjoin(Alert, Alert.id == _shown_alert())
        .outerjoin(alarms, alarms.c.id == Alert.id)
        .outerjoin(days, days.c.id == Alert.id)
        .outerjoin(
            Finding, (Finding.monitor_id == Monitor.id) & (Finding.as_of == _nth_newest(0))
        )
        .order_by(Model.name, Monitor.name)
    )
    return [*rows]


def trend(
    session: Session, model_ids: Collection[UUID], kind: str, n: int
) -> Sequence[Row[UUID, float | None]]:
    """Return the values of the last `n` findings of one kind of monitor, oldest first."""
    first = func.coalesce(_nth_newest(n - 1), _BEGIN)
    return session.execute(
        select(Finding.model_id, Finding.value)
        .join(Monitor, Monitor.id == Finding.monitor_id)
        .where(Monitor.kind == kind, Monitor.model_id.in_(model_ids), Finding.as_of >= first)
        .order_by(Finding.model_id, Finding.as_of)
    ).all()


def _shown_alert() -> ScalarSelect[UUID]:
    """Return the alert of a monitor that is shown: the one that fires first, then the page."""
    one = aliased(Alert)
    return (
        select(one.id)
        .where(one.monitor_id == Monitor.id)
        .order_by(one.phase != Phase.FIRING, one.phase != Phase.PENDING, one.severity)
        .limit(1)
        .correlate(Monitor)
        .scalar_subquery()
    )


def _nth_newest(n: int) -> ScalarSelect[datetime]:
    """Return the time of the newest finding of a monitor but `n`: read from an index."""
    return (
        select(Finding.as_of)
        .where(Finding.monitor_id == Monitor.id)
        .order_by(Finding.as_of.desc())
        .offset(n)
        .limit(1)
        .correlate(Monitor)
        .scalar_subquery()
    )


def findings_since(
    session: Session, model_id: UUID, kind: str, since: datetime
) -> Sequence[Finding]:
    """Return the findings of one kind of monitor whose windows ended after `since`."""
    return session.scalars(
        select(Finding)
        .join(Monitor, Monitor.id == Finding.monitor_id)
        .where(Finding.model_id == model_id, Monitor.kind == kind, Finding.window_end > since)
        .order_by(Finding.window_end)
    ).all()


def newest_breaches(
    session: Session, model_id: UUID, limit: int
) -> Sequence[Row[Finding, str]]:
    """Return what was not in order, newest first, each with its monitor's name."""
    return session.execute(
        select(Finding, Monitor.name)
        .join(Monitor, Monitor.id == Finding.monitor_id)
        .where(
            Finding.model_id == model_id,
            Finding.outcome.in_([Outcome.BREACH, Outcome.ERROR]),
        )
        .order_by(Finding.window_end.desc(), Monitor.name)
        .limit(limit)
    ).all()


def deliveries(
    session: Session, model_id: UUID | None, limit: int
) -> Sequence[Row[Delivery, str, str | None]]:
    """Return the newest messages, newest first, with channel and model, by their cause.

    The model is None of a message that concerns none, or all.
    """
    of_platform = or_(
        PlatformAlert.id == Delivery.cause_id, PlatformAlert.resolution_id == Delivery.cause_id
    )
    cause_model = func.coalesce(FlipRow.model_id, Rollout.model_id, PlatformAlert.model_id)
    return session.execute(
        select(Delivery, Channel.name, Model.name)
        .join(Channel, Channel.id == Delivery.channel_id)
        .outerjoin(FlipRow, FlipRow.id == Delivery.flip_id)
        .outerjoin(RolloutEvent, RolloutEvent.id == Delivery.cause_id)
        .outerjoin(Rollout, Rollout.id == RolloutEvent.rollout_id)
        .outerjoin(PlatformAlert, of_platform)
        .outerjoin(Model, Model.id == cause_model)
        .where(*_of(cause_model, model_id))
        .order_by(Delivery.seq.desc())
        .limit(limit)
    ).all()


def rollouts(
    session: Session, model_id: UUID | None, limit: int
) -> list[tuple[Rollout, str, str | None, str | None]]:
    """Return the newest rollouts, newest first: model, base version, challenger."""
    query = _rollouts().where(*_of(Rollout.model_id, model_id)).limit(limit)
    return [(*row,) for row in session.execute(query)]


def rollout(
    session: Session, rollout_id: UUID
) -> tuple[Rollout, str, str | None, str | None] | None:
    """Return one rollout with the names of model, base version and challenger, or None."""
    row = session.execute(_rollouts().where(Rollout.id == rollout_id)).one_or_none()
    return None if row is None else (*row,)


def open_rollouts(session: Session) -> Sequence[Rollout]:
    """Return the rollouts that are not over; at most one per model."""
    return session.scalars(select(Rollout).where(Rollout.finished_at.is_(None))).all()


def _rollouts() -> Select[Rollout, str, str, str]:
    base, challenger = aliased(Version), aliased(Version)
    return (
        select(Rollout, Model.name, base.name, challenger.name)
        .join(Model, Model.id == Rollout.model_id)
        .outerjoin(base, base.id == Rollout.base_id)
        .outerjoin(challenger, challenger.id == Rollout.challenger_id)
        .order_by(Rollout.created_at.desc())
    )


def events(session: Session, rollout_ids: Collection[UUID]) -> Sequence[RolloutEvent]:
    """Return what happened to some rollouts, oldest first."""
    return session.scalars(
        select(RolloutEvent)
        .where(RolloutEvent.rollout_id.in_(rollout_ids))
        .order_by(RolloutEvent.recorded_at, RolloutEvent.at)
    ).all()


def session_days(
    session: Session, rollout: Rollout
) -> Sequence[Row[date, int, int, int, int, int, float | None, float | None]]:
    """Return per event day: sessions, those that the challenger served, and those scored.

    Then the failed answers of champion and challenger, and the mean losses of both, over
    the sessions that both scored.
    """
    both = SessionScore.loss_champion.is_not(None) & SessionScore.loss_challenger.is_not(None)
    challenger = select(Version.name).where(Version.id == rollout.challenger_id)
    by_challenger = SessionScore.served_by == challenger.scalar_subquery()
    shadow = func.coalesce(SessionScore.n_failed_shadow, 0)
    return session.execute(
        select(
            SessionScore.day,
            func.count(),
            func.count().filter(by_challenger),
            func.count().filter(both),
            func.sum(case((by_challenger, shadow), else_=SessionScore.n_failed)),
            func.sum(case((by_challenger, SessionScore.n_failed), else_=shadow)),
            func.avg(SessionScore.loss_champion).filter(both),
            func.avg(SessionScore.loss_challenger).filter(both),
        )
        .where(SessionScore.rollout_id == rollout.id)
        .group_by(SessionScore.day)
        .order_by(SessionScore.day)
    ).all()


def newest_audit(session: Session, action: str, subject: str) -> AuditEvent | None:
    """Return the last time that something was done or refused, or None."""
    return session.scalar(
        select(AuditEvent)
        .where(AuditEvent.action == action, AuditEvent.subject == subject)
        .order_by(AuditEvent.recorded_at.desc())
        .limit(1)
    )
