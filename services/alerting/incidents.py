"""Incidents of alerts: begun and ended in the transaction of the evaluation."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts import route
from alerts.dispatch import next_flush
from alerts.labels import fingerprint, group_key
from alerts.route import Receiver
from alerts.state import Flip, Phase
from core.errors import Unprocessable
from db import dialect
from db.queries import publication
from db.queries.queue import deliveries
from db.tables import Alert, AlertGroup, FlipRow, GroupMember, Incident, Model, Monitor
from monitors import registry
from monitors.finding import Severity
from services.alerting import inhibition, routes, silences


def open_of(session: Session, alert_id: UUID) -> Incident | None:
    """Return the incident of an alert that fires."""
    return session.scalar(
        select(Incident).where(Incident.alert_id == alert_id, Incident.resolved_at.is_(None))
    )


def labels_of(model: Model, monitor: Monitor, severity: str) -> dict[str, str]:
    """Return the labels of an alert of a monitor; those that are empty are left out."""
    labels = {
        "alertname": monitor.kind,
        "model": model.name,
        "monitor": monitor.name,
        "severity": severity,
        "group": model.group,
        "owner": model.owner,
        "team": model.team,
        "tier": model.tier,
        "tags": ",".join(model.tags),
    }
    sli = _sli(monitor)
    if sli:
        labels |= {"slo": monitor.name, "sli": sli}
    return {name: value for name, value in labels.items() if value}


def _sli(monitor: Monitor) -> str:
    try:
        params = registry.parse(monitor.kind, monitor.params)
    except Unprocessable:  # the kind is unavailable
        params = None
    return str(getattr(params, "sli", "") or "")


def begin(
    session: Session, alert: Alert, monitor: Monitor, fired: FlipRow, now: datetime
) -> Incident:
    """Begin the incident of an alert that has just fired, and put it into its groups."""
    labels = labels_of(session.get_one(Model, alert.model_id), monitor, alert.severity)
    incident = Incident(
        alert_id=alert.id,
        model_id=alert.model_id,
        fired_id=fired.id,
        severity=alert.severity,
        labels=labels,
        fingerprint=fingerprint(labels),
        version=alert.version,
        onset=alert.since,
        detected_at=now,
    )
    session.add(incident)
    session.flush()
    tree = routes.every(session)
    receivers = route.receivers(tree)
    for name in sorted(route.matching(tree, labels)):
        group = _group(session, receivers[name], incident, now)
        session.add(GroupMember(group_id=group.id, incident_id=incident.id))
    session.flush()
    return incident


def end(session: Session, incident: Incident, flip: FlipRow, now: datetime) -> None:
    """End an incident; the next flush of its groups notifies who was notified of it."""
    _touch(session, [incident], now, page=False)
    incident.resolved_at, incident.ended_id = now, flip.id
    silences.expire_with(session, incident.id, now)


def refresh_inhibition(session: Session, model_id: UUID, now: datetime) -> None:
    """Evaluate what inhibits each firing alert of a model, in the transaction that moved one.

    One that nothing inhibits any more is notified within `group_wait`.
    """
    # load
    session.flush()
    rows = session.execute(
        select(Alert, Monitor, Incident)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .outerjoin(Incident, (Incident.alert_id == Alert.id) & Incident.resolved_at.is_(None))
        .where(Alert.model_id == model_id, Alert.phase == Phase.FIRING)
    )
    found = []
    for alert, monitor, known in rows.all():
        incident: Incident | None = known  # an outer join
        fired = None if incident else deliveries.last_fired(session, alert.id)
        if fired is not None:  # by a server of the schema before
            incident = begin(session, alert, monitor, fired, now)
        if incident is not None:
            found.append((incident, alert, monitor))

    # decide
    by_incident = inhibition.inhibitors(
        session, model_id, [(incident.id, alert, monitor) for incident, alert, monitor in found]
    )

    # save
    for incident, alert, _ in found:
        before, after = incident.inhibited_by, by_incident[incident.id]
        if before == after:
            continue
        if after is None:
            _touch(session, [incident], now, page=incident.severity == Severity.PAGE)
        incident.inhibited_by = alert.inhibited_by = after
        fired = session.get(FlipRow, incident.fired_id) if incident.fired_id else None
        if fired is not None and incident.notified_at is None:
            fired.inhibited = after is not None
            publication.wait(fired)


def _touch(
    session: Session, incidents: Iterable[Incident], now: datetime, *, page: bool
) -> None:
    """Make the groups of some incidents due as a change of them asks for.

    Before the incidents are written: a flush, too, locks the group first.
    """
    ids = [one.id for one in incidents]
    groups = session.scalars(
        select(AlertGroup)
        .join(GroupMember, GroupMember.group_id == AlertGroup.id)
        .where(GroupMember.incident_id.in_(ids))
        .order_by(AlertGroup.key)
        .with_for_update(of=AlertGroup)
        .execution_options(populate_existing=True)
    ).unique()
    receivers = route.receivers(routes.every(session))
    for group in groups:
        timers = receivers.get(group.route, route.ROOT).timers
        group.next_flush_at = next_flush(
            group.next_flush_at, group.flushed_at, timers, now, page=page
        )


def _group(
    session: Session, receiver: Receiver, incident: Incident, now: datetime
) -> AlertGroup:
    """Return the group of an incident, which is due as the incident asks for."""
    labels = receiver.group_labels(incident.labels, incident.version)
    key, timers = group_key(receiver.route, labels), receiver.timers
    locked = (
        select(AlertGroup)
        .where(AlertGroup.key == key)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    group = session.scalar(locked)
    if group is None:  # another replica may add it now
        new = {
            "id": uuid4(),
            "key": key,
            "route": receiver.route,
            "labels": labels,
            "flush_no": 0,
            "next_flush_at": now + timers.group_wait,
        }
        insert = dialect.insert(session, AlertGroup).values(**new)
        session.execute(insert.on_conflict_do_nothing(index_elements=["key"]))
        group = session.scalars(locked).one()
    group.next_flush_at = next_flush(
        group.next_flush_at,
        group.flushed_at,
        timers,
        now,
        page=incident.severity == Severity.PAGE,
    )
    return group


def newest(session: Session, alert_id: UUID) -> Incident | None:
    """Return the newest incident of an alert."""
    return session.scalar(
        select(Incident)
        .join(FlipRow, FlipRow.id == Incident.fired_id)
        .where(Incident.alert_id == alert_id, FlipRow.flip == Flip.FIRED)
        .order_by(FlipRow.at.desc())
        .limit(1)
    )
