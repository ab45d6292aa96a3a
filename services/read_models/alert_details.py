"""One alert: where it stands, its newest incident, who was notified, and what silences it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from alerts.labels import all_match
from core.errors import NotFound
from core.stored import from_attributes
from db.tables import Alert, Channel, Delivery, Incident, Model, Monitor, NotifiedIncident
from services.alerting import contents, incidents, silences
from services.alerting.silences import SilenceNow
from services.read_models import lists
from services.read_models.lists import AlertNow, IncidentPast

MOST_INCIDENTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What one channel was notified of an incident; times are wall time.

    Attributes
    ----------
    firing_at, resolved_at, last_at
        First notification that it fires, that it is resolved, and the last of all.
    attempts, delivered, last_error
        Of the delivery that began with this incident; null where it was sent in a group that
        began with another.
    """

    channel: str
    firing_at: datetime
    resolved_at: datetime | None
    last_at: datetime
    attempts: int | None = None
    delivered: bool | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDetails:
    """Everything about one alert.

    Attributes
    ----------
    labels
        Those of the newest incident; before any, those that it would have.
    value, threshold, finding_url
        Of the newest breach, or of what resolved it.
    runbook_url
        That of the model, or the path of the built-in one.
    incidents
        The newest first.
    notifications
        Of the newest incident.
    silences
        Those that match and are not expired.
    """

    alert: AlertNow
    labels: dict[str, str]
    value: float | None
    threshold: float | None
    finding_url: str | None
    runbook_url: str | None
    incidents: tuple[IncidentPast, ...]
    notifications: tuple[Notification, ...]
    silences: tuple[SilenceNow, ...]


def visible(session: Session, alert_id: UUID, only: UUID | None) -> Alert:
    """Return an alert.

    Raises
    ------
    NotFound
        If there is no such alert of a model that the reader may see.
    """
    alert = session.get(Alert, alert_id)
    if alert is None or only not in (None, alert.model_id):
        raise NotFound(f"no alert {alert_id}")
    return alert


def details(session: Session, alert_id: UUID, only: UUID | None, now: datetime) -> AlertDetails:
    """Describe one alert.

    Parameters
    ----------
    session
        Only read.
    alert_id, only
        Which alert, and the one model that the reader may see; None for all.
    now
        Wall time.

    Raises
    ------
    NotFound
        If there is no such alert that the reader may see.
    """
    alert = visible(session, alert_id, only)
    past = session.scalars(
        select(Incident)
        .where(Incident.alert_id == alert.id)
        .order_by(Incident.detected_at.desc(), Incident.id)
        .limit(MOST_INCIDENTS)
    ).all()
    content = contents.of(session, past[:1])[0] if past else {}
    model, monitor = (
        session.get_one(Model, alert.model_id),
        session.get_one(Monitor, alert.monitor_id),
    )
    labels = content.get("labels") or incidents.labels_of(model, monitor, alert.severity)
    return AlertDetails(
        alert=lists.alert(session, alert, now),
        labels=labels,
        value=content.get("value"),
        threshold=content.get("threshold"),
        finding_url=content.get("finding_url"),
        runbook_url=content.get("runbook_url"),
        incidents=tuple(map(lists.incident, past)),
        notifications=_notifications(session, past[0]) if past else (),
        silences=tuple(
            silences.described(row, now)
            for row in silences.since(session, now)
            if all_match(row.definition.matchers, labels)
        ),
    )


def _notifications(session: Session, incident: Incident) -> tuple[Notification, ...]:
    rows: Sequence[Row[NotifiedIncident, str, Delivery | None]] = session.execute(
        select(NotifiedIncident, Channel.name, Delivery)
        .join(Channel, Channel.id == NotifiedIncident.channel_id)
        .outerjoin(
            Delivery,
            (Delivery.channel_id == Channel.id) & (Delivery.flip_id == incident.fired_id),
        )
        .where(NotifiedIncident.incident_id == incident.id)
        .order_by(NotifiedIncident.firing_at, Channel.name, Delivery.seq)
    ).all()
    first: dict[str, Notification] = {}
    for notified, channel, delivery in rows:
        sent = () if delivery is None else (delivery,)
        found = from_attributes(Notification, notified, *sent, channel=channel)
        first.setdefault(channel, found)
    return tuple(first.values())
