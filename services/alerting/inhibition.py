"""Inhibition of alerts: by input faults, by a page of their monitor, by missing data."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from alerts.inhibition import FiringAlert, inhibitor
from db.tables import Alert, Finding, Monitor
from monitors import registry
from monitors.detail import Detail
from monitors.finding import Outcome
from monitors.kind import BrokenInput

_END = datetime.max.replace(tzinfo=UTC)
_NEWEST = select(  # built once: it is read with every evaluation
    Monitor.id,
    Monitor.kind,
    select(Finding.detail)
    .where(
        Finding.monitor_id == Monitor.id,
        Finding.outcome != Outcome.ERROR,
        Finding.as_of < bindparam("before"),
    )
    .order_by(Finding.as_of.desc())
    .limit(1)
    .scalar_subquery(),
).where(Monitor.id.in_(bindparam("ids", expanding=True)))


def newest_detail(
    session: Session, monitor: Monitor, before: datetime | None = None
) -> Detail | None:
    """Return the detail of a monitor's newest finding.

    Parameters
    ----------
    session
        The open transaction.
    monitor
        The monitor.
    before
        Findings of slots from that moment of event time on are left out; those with the
        outcome `error` always are.
    """
    return newest_details(session, [monitor], before).get(monitor.id)


def newest_details(
    session: Session, monitors: Sequence[Monitor], before: datetime | None = None
) -> dict[UUID, Detail]:
    """Return the details of the newest findings of several monitors, by id of the monitor."""
    if not monitors:
        return {}
    ids = [monitor.id for monitor in monitors]
    rows = session.execute(_NEWEST, {"ids": ids, "before": before or _END})
    return {
        monitor_id: registry.detail(kind, stored)
        for monitor_id, kind, stored in rows
        if stored is not None
    }


def broken(session: Session, model_id: UUID) -> list[BrokenInput]:
    """Return the inputs of a model that are broken, or were until lately."""
    kinds = registry.where(lambda kind: kind.broken is not None)
    monitors = session.scalars(
        select(Monitor)
        .where(Monitor.model_id == model_id, Monitor.kind.in_(kinds), Monitor.enabled.is_(True))
        .order_by(Monitor.name)
    )
    found: list[BrokenInput] = []
    for monitor in monitors.all():
        of_kind, detail = registry.stored(monitor.kind).broken, newest_detail(session, monitor)
        if of_kind is not None and detail is not None:
            found += of_kind(detail)
    return found


def inhibitors(
    session: Session, model_id: UUID, firing: Sequence[tuple[UUID, Alert, Monitor]]
) -> dict[UUID, str | None]:
    """Return what inhibits each of the firing alerts of a model; None where nothing does.

    Parameters
    ----------
    session
        The open transaction.
    model_id
        The model.
    firing
        Its firing alerts, each with the id under which it is returned, and its monitor.
    """
    explainable = [
        monitor for _, _, monitor in firing if registry.stored(monitor.kind).needs_data
    ]
    faults = broken(session, model_id) if explainable else []
    features = {one.feature for one in faults}
    described = "; ".join(one.description for one in faults)
    found = []
    for _, alert, monitor in firing:
        kind = registry.stored(monitor.kind)
        is_explained = bool(features) and kind.is_explained_by(
            kind.detail_of(newest_breach(session, monitor.id)), features
        )
        found.append(
            FiringAlert(
                monitor_id=monitor.id,
                monitor=monitor.name,
                severity=alert.severity,
                means_missing_data=kind.means_missing_data,
                needs_data=kind.needs_data,
                broken=described if is_explained else "",
            )
        )
    return {key: inhibitor(one, found) for (key, _, _), one in zip(firing, found, strict=True)}


def newest_breach(session: Session, monitor_id: UUID) -> dict[str, Any]:
    """Return the stored detail of the newest breach of a monitor; empty where there is none."""
    detail = session.scalar(
        select(Finding.detail)
        .where(Finding.monitor_id == monitor_id, Finding.outcome == Outcome.BREACH)
        .order_by(Finding.as_of.desc())
        .limit(1)
    )
    return detail or {}


def of_model(session: Session, model_id: UUID) -> str | None:
    """Return the open or recent input faults of a model; None when there are none."""
    return "; ".join(one.description for one in broken(session, model_id)) or None
