"""Alerts on faults of the platform itself: fired once, resolved once, notified of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Exists, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from alerts.platform import PlatformFault
from core.stored import from_attributes
from db.queries.queue import deliveries
from db.tables import Model, PlatformAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFault:
    """An open alert; `model` is None where all are concerned, `since` is wall time."""

    kind: PlatformFault
    subject: str
    model: str | None
    cause: str
    since: datetime


def fire(
    session: Session,
    kind: PlatformFault,
    subject: str,
    cause: str,
    now: datetime,
    model_id: UUID | None = None,
) -> bool:
    """Open an alert and queue its notification, in one transaction.

    Parameters
    ----------
    session
        The open transaction.
    kind, subject
        What is wrong, and with what; one alert at a time is open for both.
    cause
        Why: no raw value of a row belongs here. An open alert takes the newest.
    now
        Wall time.
    model_id
        The model concerned; None where all are.

    Returns
    -------
    bool
        True when the alert has just been opened; False while it was open.
    """
    alert = _open(session, kind, subject)
    if alert is not None:
        alert.cause = cause
        return False
    alert = PlatformAlert(kind=kind, subject=subject, model_id=model_id, cause=cause, since=now)
    session.add(alert)
    session.flush()
    deliveries.add_for_platform_alert(session, alert, now)
    return True


def resolve(session: Session, kind: PlatformFault, subject: str, now: datetime) -> bool:
    """Close an alert and notify those who were notified of it; False when none is open."""
    alert = _open(session, kind, subject)
    if alert is None:
        return False
    alert.resolved_at = now
    deliveries.add_for_platform_alert(session, alert, now)
    return True


def open_alerts(session: Session, model_id: UUID | None = None) -> Sequence[PlatformAlert]:
    """Return the open alerts, oldest first.

    Parameters
    ----------
    session
        The open transaction.
    model_id
        Only those that concern this model, or all models; None for every alert.
    """
    query = select(PlatformAlert).where(PlatformAlert.resolved_at.is_(None))
    if model_id is not None:
        query = query.where(
            (PlatformAlert.model_id == model_id) | PlatformAlert.model_id.is_(None)
        )
    return session.scalars(query.order_by(PlatformAlert.since, PlatformAlert.subject)).all()


def described(session: Session, only: UUID | None = None) -> list[OpenFault]:
    """Return the open alerts as they are shown, oldest first.

    Parameters
    ----------
    session
        The open transaction.
    only
        The one model that the reader may see; None for all.
    """
    alerts = open_alerts(session, only)
    ids = {alert.model_id for alert in alerts if alert.model_id}
    rows = session.execute(select(Model.id, Model.name).where(Model.id.in_(ids)))
    names = dict(rows.all())
    return [
        from_attributes(
            OpenFault, alert, model=names[alert.model_id] if alert.model_id else None
        )
        for alert in alerts
    ]


def is_open(
    kind: PlatformFault, subject: ColumnElement[str] | InstrumentedAttribute[str]
) -> Exists:
    """Return the condition that an alert is open."""
    return exists().where(*_are_open(kind, subject)).correlate_except(PlatformAlert)


def _open(session: Session, kind: PlatformFault, subject: str) -> PlatformAlert | None:
    return session.scalar(select(PlatformAlert).where(*_are_open(kind, subject)))


def _are_open(
    kind: PlatformFault, subject: str | ColumnElement[str] | InstrumentedAttribute[str]
) -> tuple[ColumnElement[bool], ...]:
    return (
        PlatformAlert.kind == kind,
        PlatformAlert.subject == subject,
        PlatformAlert.resolved_at.is_(None),
    )
