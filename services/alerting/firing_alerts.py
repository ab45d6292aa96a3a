"""Alerts that fire and their groups, as Alertmanager shows them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts import route
from alerts.labels import Labels
from db.tables import Alert, AlertGroup, FlipRow, GroupMember, Incident, Model, Monitor
from services.alerting import contents, routes, silences

ROOT = "root"  # shown for the root of the routes, whose name is empty


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringAlert:
    """An alert that fires.

    Attributes
    ----------
    content
        What a notification holds of it.
    receivers
        Names of the routes that it takes.
    silenced_by
        Ids of the silences that mute it.
    inhibited_by
        Fingerprints of the alerts that inhibit it; else what does, in words.
    """

    labels: Labels
    fingerprint: str
    content: dict[str, Any]
    receivers: tuple[str, ...]
    starts_at: datetime
    updated_at: datetime
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]

    @property
    def is_muted(self) -> bool:
        """Return whether it is silenced or inhibited."""
        return bool(self.silenced_by or self.inhibited_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringGroup:
    """Alerts that fire and are notified together."""

    labels: dict[str, str]
    receiver: str
    alerts: tuple[FiringAlert, ...]


def receivers(session: Session) -> list[str]:
    """Return the names of all routes, of which the root is the first."""
    return [name or ROOT for name in route.receivers(routes.every(session))]


def every(session: Session, model_id: UUID | None, now: datetime) -> list[FiringAlert]:
    """Return the alerts of one model or of all that fire, the oldest first."""
    return [*_load(session, _members(session), model_id, now).values()]


def groups(session: Session, model_id: UUID | None, now: datetime) -> list[FiringGroup]:
    """Return the groups of the alerts of one model or of all that fire."""
    members = _members(session)
    found = defaultdict[tuple[str, str], list[FiringAlert]](list)
    labels = {}
    for incident_id, alert in _load(session, members, model_id, now).items():
        for receiver, group in members.get(incident_id, ()):
            found[receiver, group.key].append(alert)
            labels[group.key] = {name: text for name, text in group.labels.items() if text}
    return [
        FiringGroup(labels=labels[key], receiver=receiver, alerts=tuple(alerts))
        for (receiver, key), alerts in sorted(found.items(), key=lambda one: one[0])
    ]


def _members(session: Session) -> dict[UUID, list[tuple[str, AlertGroup]]]:
    """Return the groups of each incident that is open, each with the name of its receiver."""
    known = route.receivers(routes.every(session))
    found = defaultdict[UUID, list[tuple[str, AlertGroup]]](list)
    for incident_id, group in session.execute(
        select(GroupMember.incident_id, AlertGroup)
        .join(AlertGroup, AlertGroup.id == GroupMember.group_id)
        .join(Incident, Incident.id == GroupMember.incident_id)
        .where(Incident.resolved_at.is_(None))
        .order_by(AlertGroup.key)
    ):
        name = group.route if group.route in known else ""
        found[incident_id].append((name or ROOT, group))
    return found


def _load(
    session: Session,
    members: dict[UUID, list[tuple[str, AlertGroup]]],
    model_id: UUID | None,
    now: datetime,
) -> dict[UUID, FiringAlert]:
    query = (
        select(Incident, Alert, Monitor, Model, FlipRow)  # all that `contents` gets by id
        .join(Alert, Alert.id == Incident.alert_id)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .join(Model, Model.id == Incident.model_id)
        .outerjoin(FlipRow, FlipRow.id == Incident.fired_id)
        .where(Incident.resolved_at.is_(None))
        .order_by(Incident.detected_at, Incident.id)
    )
    if model_id is not None:
        query = query.where(Incident.model_id == model_id)
    rows = session.execute(query).all()
    incidents = [row[0] for row in rows]
    muting = silences.since(session, now)
    of_model = defaultdict[UUID, list[Incident]](list)
    for incident in incidents:
        of_model[incident.model_id].append(incident)
    return {
        incident.id: FiringAlert(
            labels=incident.labels,
            fingerprint=incident.fingerprint,
            content=content,
            receivers=tuple(dict.fromkeys(name for name, _ in members.get(incident.id, ()))),
            starts_at=incident.detected_at,
            updated_at=_updated_at(incident),
            silenced_by=tuple(
                str(one.id) for one in silences.muting(muting, incident.labels, now)
            ),
            inhibited_by=_inhibitors(incident, of_model[incident.model_id]),
        )
        for incident, content in zip(incidents, contents.of(session, incidents), strict=True)
    }


def _updated_at(incident: Incident) -> datetime:
    moments: Iterable[datetime | None] = (
        incident.detected_at,
        incident.notified_at,
        incident.acknowledged_at,
        incident.verdict_at,
    )
    return max(one for one in moments if one is not None)


def _inhibitors(incident: Incident, firing: Sequence[Incident]) -> tuple[str, ...]:
    by = incident.inhibited_by
    if by is None:
        return ()
    sources = [one for one in firing if by in _names(one.labels) and one is not incident]
    return tuple(sorted(one.fingerprint for one in sources)) or (by,)


def _names(labels: Labels) -> tuple[str, str]:
    """Return how `alerts.inhibition` names an alert that inhibits others."""
    return labels["monitor"], f"{labels['severity']} of {labels['monitor']}"
