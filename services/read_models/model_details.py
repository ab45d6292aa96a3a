"""Details of one model: champion, versions, monitors, backlog."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.state import Phase
from core.errors import NotFound
from core.policy import Policy
from core.schema.contract import Contract
from core.stored import from_attributes
from core.streams import SUMMARIES, Retention
from core.window import Stretches
from db.queries import models
from db.tables import Alert, Monitor
from services.models import monitor_config
from services.platform_faults import set_aside


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionNow:
    """Which version serves; `rev` is what the next change must expect."""

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
class VersionNow:
    """One version of a model.

    Attributes
    ----------
    sha256, n_bytes
        Of its weights; None where somebody else keeps them.
    reference
        The stretches of input that it was trained on.
    objective
        The standardised error that its accuracy is held to.
    """

    name: str
    contract: Contract
    contract_digest: str
    sha256: str | None
    n_bytes: int | None
    manifest: dict[str, Any]
    reference: Stretches
    objective: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNow:
    """One model, and where everything about it stands."""

    name: str
    description: str
    runbook_url: str
    contract: Contract
    contract_digest: str
    policy: Policy
    summary_retention: Retention
    champion: ChampionNow | None
    watermark: datetime | None
    evaluated_until: datetime | None
    last_received_at: datetime | None
    backlog_rows: int
    backlog_bytes: int
    set_aside: list[set_aside.Aside]
    open_rollout: UUID | None
    versions: list[VersionNow]
    monitors: list[MonitorNow]


def describe(session: Session, name: str, defaults: Retention = SUMMARIES) -> ModelNow:
    """Describe one model, or raise NotFound.

    Parameters
    ----------
    session
        The open transaction.
    name
        Of the model.
    defaults
        Retention of summaries of the installation.
    """
    session.flush()
    model = models.find(session, name)
    serving = models.champion(session, model.id)
    rollout = models.open_rollout(session, model.id)
    rows, size = models.backlog(session, model.id)
    return from_attributes(
        ModelNow,
        model,
        contract_digest=model.contract.digest,
        summary_retention=monitor_config.retention_of(session, model, defaults),
        champion=serving and from_attributes(ChampionNow, serving[0], version=serving[1].name),
        backlog_rows=rows,
        backlog_bytes=size,
        set_aside=set_aside.of_model(session, model.id),
        open_rollout=rollout.id if rollout else None,
        versions=versions_of(session, model.id),
        monitors=monitors_of(session, model.id),
    )


def versions_of(session: Session, model_id: UUID) -> list[VersionNow]:
    """Return a model's versions, oldest first."""
    return [from_attributes(VersionNow, row) for row in models.versions(session, model_id)]


def version_of(session: Session, model_id: UUID, name: str) -> VersionNow:
    """Return a model's version of that name, or raise NotFound."""
    return from_attributes(VersionNow, models.find_version(session, model_id, name))


def monitor_of(session: Session, model_id: UUID, name: str) -> MonitorNow:
    """Return a model's monitor of that name, or raise NotFound."""
    for monitor in monitors_of(session, model_id):
        if monitor.name == name:
            return monitor
    raise NotFound(f"no monitor {name!r} of this model")


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
        from_attributes(
            MonitorNow,
            monitor,
            phase=Phase.QUIET if alert is None else alert.phase,
            since=None if alert is None else alert.since,
        )
        for monitor in monitors
        for alert in [alerts.get(monitor.id)]
    ]
