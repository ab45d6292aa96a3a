"""What people do about an alert: acknowledge it, silence it, give a verdict."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from alerts import silence
from alerts.labels import Matcher
from alerts.route import LONGEST
from alerts.state import Verdict
from core.errors import Conflict, NotFound
from db.queries.read import false_alarm_rates
from db.tables import Alert, Incident, Silence
from services.alerting import incidents, silences

_IDENTITY = ("alertname", "model", "monitor", "severity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who does something, when, and why."""

    name: str
    now: datetime
    note: str = ""


def find(session: Session, alert_id: UUID) -> Alert:
    """Return an alert, or raise NotFound."""
    found = session.get(Alert, alert_id)
    if found is None:
        raise NotFound(f"no alert {alert_id}")
    return found


def acknowledge(session: Session, alert: Alert, by: Person) -> Incident:
    """Note that somebody takes care of an alert: it is neither repeated nor escalated.

    The first acknowledgement stands.

    Raises
    ------
    Conflict
        If the alert does not fire.
    """
    incident = incidents.open_of(session, alert.id)
    if incident is None:
        raise Conflict(f"alert {alert.id} does not fire")
    if incident.acknowledged_at is None:
        incident.acknowledged_at, incident.acknowledged_by = by.now, by.name
        incident.acknowledgement = by.note
    return incident


def give_verdict(
    session: Session, alert: Alert, verdict: Verdict, by: Person, incident_id: UUID | None
) -> Incident:
    """Note what an incident was; this neither resolves nor silences anything.

    Parameters
    ----------
    session
        The open transaction.
    alert
        The alert.
    verdict
        What it was; one that was given before is replaced.
    by
        Who gives it.
    incident_id
        Of that alert; None: the newest.

    Raises
    ------
    NotFound
        If the alert has no such incident.
    """
    newest = incidents.newest(session, alert.id)
    incident = newest if incident_id is None else session.get(Incident, incident_id)
    if incident is None or incident.alert_id != alert.id:
        raise NotFound(f"no incident {incident_id or ''} of alert {alert.id}")
    incident.verdict, incident.verdict_note = verdict, by.note
    incident.verdict_by, incident.verdict_at = by.name, by.now
    session.flush()
    false_alarm_rates.keep(session, [alert.model_id])  # it may concern what was counted
    return incident


def silence_alert(
    session: Session, alert: Alert, until: datetime | None, by: Person
) -> Silence:
    """Silence one alert until a moment, or until it is resolved; others are notified.

    Raises
    ------
    Conflict
        If the alert has never fired, or does not fire and no moment is given.
    Unprocessable
        If the moment is in the past.
    """
    incident = incidents.newest(session, alert.id)
    if incident is None:
        raise Conflict(f"alert {alert.id} has never fired")
    if until is None and incident.resolved_at is not None:
        raise Conflict(f"alert {alert.id} does not fire: state until when it is silenced")
    end = by.now + LONGEST if until is None else until
    matchers = tuple(Matcher(name=name, value=incident.labels[name]) for name in _IDENTITY)
    definition = silence.Silence(
        matchers=matchers,
        starts_at=min(by.now, end),
        ends_at=end,
        author=by.name,
        comment=by.note,
    )
    row = silences.put(session, definition, by.now)
    row.incident_id = incident.id if until is None else None
    return row
