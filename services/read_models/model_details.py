"""Details of one model: champion, versions, monitors, backlog."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.state import Phase
from core.errors import Forbidden, NotFound
from core.policy import Policy
from core.schema.contract import Contract
from core.stored import from_attributes
from core.streams import SUMMARIES, Retention
from core.window import Stretches
from db.queries import models
from db.queries.read import overview
from db.tables import Alert, Champion, Monitor, Scope, Version
from services.access.api_keys import Caller
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
    group: str
    tags: tuple[str, ...]
    owner: str
    team: str
    tier: str
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
    """Describe one model, or raise NotFound; else as `describe_all`."""
    session.flush()
    return describe_all(session, [models.find(session, name).name], defaults)[0]


def describe_all(
    session: Session, names: Sequence[str], defaults: Retention = SUMMARIES
) -> list[ModelNow]:
    """Describe some models, by name, in as many statements as one needs.

    Parameters
    ----------
    session
        The open transaction.
    names
        Of the models; unknown ones are left out.
    defaults
        Retention of summaries of the installation.
    """
    rows = overview.models(session, names=names)
    ids = [model.id for model, _, _ in rows]
    rollouts = {row.model_id: row.id for row in overview.open_rollouts(session)}
    backlogs, alerts = models.backlogs(session, ids), _alerts(session, ids)
    aside = set_aside.of_models(session, ids)
    monitors = monitor_config.of_models(session, ids)
    versions = defaultdict[UUID, list[VersionNow]](list)
    for row in models.versions(session, *ids):
        versions[row.model_id].append(from_attributes(VersionNow, row))
    return [
        from_attributes(
            ModelNow,
            model,
            contract_digest=model.contract.digest,
            summary_retention=monitor_config.retention_of(model, monitors[model.id], defaults),
            champion=_champion(champion, version),
            backlog_rows=backlogs.get(model.id, (0, 0))[0],
            backlog_bytes=backlogs.get(model.id, (0, 0))[1],
            set_aside=aside[model.id],
            open_rollout=rollouts.get(model.id),
            versions=versions[model.id],
            monitors=[_monitor(one, alerts.get(one.id)) for one in monitors[model.id]],
        )
        for model, champion, version in rows
    ]


def names_for(
    session: Session, caller: Caller, tag: str | None = None, group: str | None = None
) -> list[str]:
    """Return the models that this caller may read, by name: all, or of one tag or group.

    Raises
    ------
    Forbidden
        If the key may not read at all.
    """
    if not caller.holds(Scope.READ):
        raise Forbidden(f"key {caller.name!r} lacks the scope {Scope.READ}")
    labelled = models.labelled(session, caller.model_id)
    return [
        name
        for name, of, tags in labelled
        if group in (None, of) and (tag is None or tag in tags)
    ]


def _champion(champion: Champion | None, version: Version | None) -> ChampionNow | None:
    if champion is None or version is None:
        return None
    return from_attributes(ChampionNow, champion, version=version.name)


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
    alerts = _alerts(session, [model_id])
    rows = monitor_config.of_models(session, [model_id])[model_id]
    return [_monitor(row, alerts.get(row.id)) for row in rows]


def _monitor(monitor: Monitor, alert: Alert | None) -> MonitorNow:
    return from_attributes(
        MonitorNow,
        monitor,
        phase=Phase.QUIET if alert is None else alert.phase,
        since=None if alert is None else alert.since,
    )


def _alerts(session: Session, model_ids: Collection[UUID]) -> dict[UUID, Alert]:
    """Return the alert of each monitor: of several severities the one that fires."""
    found = session.scalars(
        select(Alert)
        .where(Alert.model_id.in_(model_ids))
        .order_by(Alert.phase == Phase.FIRING, Alert.severity.desc())
    )
    return {alert.monitor_id: alert for alert in found}
