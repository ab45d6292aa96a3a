"""Details of one model: champion, versions, monitors, backlog."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.state import Phase
from core.schema.contract import Contract
from db.queries import models
from db.tables import Alert, Monitor, Version
from services.platform_faults import set_aside


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionNow:
    """Which version serves."""

    version: str
    rev: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorNow:
    """One monitor and where its alert stands."""

    name: str
    kind: str
    params: dict[str, Any]
    severity: str
    enabled: bool
    phase: Phase
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One model. The rows of `versions` are for serialising only."""

    name: str
    description: str
    runbook_url: str
    contract: dict[str, Any]
    contract_digest: str
    policy: dict[str, Any]
    champion: ChampionNow | None
    watermark: datetime | None
    evaluated_until: datetime | None
    last_received_at: datetime | None
    backlog_rows: int
    backlog_bytes: int
    set_aside: list[set_aside.Aside]
    open_rollout: UUID | None
    versions: list[Version]
    monitors: list[MonitorNow]


def describe(session: Session, name: str) -> Description:
    """Describe one model, or raise NotFound."""
    session.flush()
    model = models.find(session, name)
    serving = models.champion(session, model.id)
    rollout = models.open_rollout(session, model.id)
    rows, size = models.backlog(session, model.id)
    return Description(
        name=model.name,
        description=model.description,
        runbook_url=model.runbook_url,
        contract=model.contract,
        contract_digest=Contract.from_json(model.contract).digest,
        policy=model.policy,
        champion=serving
        and ChampionNow(version=serving[1].name, rev=serving[0].rev, since=serving[0].since),
        watermark=model.watermark,
        evaluated_until=model.evaluated_until,
        last_received_at=model.last_received_at,
        backlog_rows=rows,
        backlog_bytes=size,
        set_aside=set_aside.of_model(session, model.id),
        open_rollout=rollout.id if rollout else None,
        versions=models.versions(session, model.id),
        monitors=monitors_of(session, model.id),
    )


def monitors_of(session: Session, model_id: UUID) -> list[MonitorNow]:
    """Return a model's monitors by name, each with its alert."""
    monitors = session.scalars(
        select(Monitor).where(Monitor.model_id == model_id).order_by(Monitor.name)
    )
    alerts = {
        alert.monitor_id: alert
        for alert in session.scalars(select(Alert).where(Alert.model_id == model_id))
    }
    return [
        MonitorNow(
            name=monitor.name,
            kind=monitor.kind,
            params=monitor.params,
            severity=monitor.severity,
            enabled=monitor.enabled,
            phase=Phase.QUIET if alert is None else alert.phase,
            since=None if alert is None else alert.since,
        )
        for monitor in monitors
        for alert in [alerts.get(monitor.id)]
    ]
