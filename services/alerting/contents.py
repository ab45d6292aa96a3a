"""What a notification holds of each incident."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.message import moment
from db.tables import Alert, Finding, FlipRow, Incident, Model, Monitor
from monitors import registry
from monitors.finding import Outcome


def of(session: Session, incidents: Sequence[Incident]) -> list[dict[str, Any]]:
    """Return the fields of some incidents, in their order, as docs/events.md describes them."""
    return [_content(session, incident) for incident in incidents]


def _content(session: Session, incident: Incident) -> dict[str, Any]:
    alert = session.get_one(Alert, incident.alert_id)
    monitor = session.get_one(Monitor, alert.monitor_id)
    model = session.get_one(Model, incident.model_id)
    is_firing = incident.resolved_at is None
    flip_id = incident.fired_id if is_firing else incident.ended_id
    flip = None if flip_id is None else session.get(FlipRow, flip_id)
    finding = _finding(session, monitor, flip, is_firing=is_firing)
    cause = alert.cause if is_firing else (flip.cause if flip is not None else "")
    runbook = model.runbook_url or _runbook(alert, monitor, finding)
    annotations = {
        "summary": cause,
        "runbook_url": runbook,
        "version": incident.version or "",
        "acknowledged_by": incident.acknowledged_by or "",
    }
    return {
        "status": "firing" if is_firing else "resolved",
        "incident": str(incident.id),
        "fingerprint": incident.fingerprint,
        "labels": dict(incident.labels),
        "annotations": {name: text[:300] for name, text in annotations.items() if text},
        "starts_at": moment(incident.detected_at),
        "ends_at": None if incident.resolved_at is None else moment(incident.resolved_at),
        "model": model.name,
        "monitor": monitor.name,
        "kind": monitor.kind,
        "severity": incident.severity,
        "cause": cause,
        "reason": None if flip is None else flip.reason.value,
        "version": incident.version,
        "value": finding and finding.value,
        "threshold": finding and finding.threshold,
        "since": None if flip is None else moment(flip.at),
        "runbook_url": runbook or None,
        "finding_url": finding and f"/findings/{finding.id}",
        "url": f"/models/{model.name}",
    }


def _runbook(alert: Alert, monitor: Monitor, finding: Finding | None) -> str:
    """Return the path of the built-in runbook; "" where there is none."""
    detail = None if finding is None else registry.detail(monitor.kind, finding.detail)
    named = registry.runbook(monitor.kind, monitor.params, detail)
    return f"/alerts/{alert.id}/runbook" if named else ""


def _finding(
    session: Session, monitor: Monitor, flip: FlipRow | None, *, is_firing: bool
) -> Finding | None:
    """Return the newest breach of an alert that fires, or what resolved it."""
    if not is_firing:
        of_flip = None if flip is None else flip.finding_id
        return None if of_flip is None else session.get(Finding, of_flip)
    return session.scalar(
        select(Finding)
        .where(Finding.monitor_id == monitor.id, Finding.outcome == Outcome.BREACH)
        .order_by(Finding.as_of.desc())
        .limit(1)
    )
