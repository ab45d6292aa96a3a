"""Inhibition of alerts that an input fault explains."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import Finding, Monitor
from monitors import registry
from monitors.finding import Json, Outcome
from monitors.kind import BrokenInput, Detail


def state_before(
    session: Session,
    monitor: Monitor,
    state: Callable[[Detail], Json],
    before: datetime | None = None,
) -> Json:
    """Return what a monitor's newest finding leaves for its next evaluation.

    Parameters
    ----------
    session
        The open transaction.
    monitor, state
        The monitor, and what its kind reads of a finding's detail.
    before
        Findings of slots from that moment of event time on are left out; those with the
        outcome `error` always are.
    """
    detail = _newest(session, monitor, before)
    return None if detail is None else state(detail)


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
        of_kind, detail = registry.stored(monitor.kind).broken, _newest(session, monitor)
        if of_kind is not None and detail is not None:
            found += of_kind(detail)
    return found


def of_model(session: Session, model_id: UUID) -> str | None:
    """Return the open or recent input faults of a model; None when there are none."""
    return "; ".join(one.description for one in broken(session, model_id)) or None


def _newest(
    session: Session, monitor: Monitor, before: datetime | None = None
) -> Detail | None:
    query = select(Finding.detail).where(
        Finding.monitor_id == monitor.id, Finding.outcome != Outcome.ERROR
    )
    if before is not None:
        query = query.where(Finding.as_of < before)
    return session.scalar(query.order_by(Finding.as_of.desc()).limit(1))
