"""Pending events: events of KServe's logger whose pair has not arrived."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from db import dialect
from db.tables import Model, PendingEvent, Receipt
from db.tables.kserve import Part


def is_whole(session: Session, model_id: UUID, batch_id: str) -> bool:
    """Return whether the prediction was made already."""
    made = exists().where(
        Receipt.model_id == model_id,
        Receipt.kind == Kind.PREDICTIONS,
        Receipt.batch_id == batch_id,
    )
    return bool(session.scalar(select(made)))


def add(session: Session, pending_event: Mapping[str, Any]) -> bool:
    """Add one pending event; False where it exists, which is then unchanged."""
    statement = (
        dialect.insert(session, PendingEvent)
        .values(**pending_event)
        .on_conflict_do_nothing()
        .returning(PendingEvent.part)
    )
    return session.execute(statement).first() is not None


def pending_events(session: Session, model_id: UUID, event_id: str) -> dict[Part, bytes]:
    """Return what there is of one prediction."""
    found = select(PendingEvent.part, PendingEvent.payload).where(
        PendingEvent.model_id == model_id, PendingEvent.event_id == event_id
    )
    return {row.part: row.payload for row in session.execute(found)}


def forget(session: Session, model_id: UUID, event_id: str) -> None:
    """Delete the pending events of a prediction that is made."""
    session.execute(
        delete(PendingEvent).where(
            PendingEvent.model_id == model_id, PendingEvent.event_id == event_id
        ),
        execution_options={"synchronize_session": False},
    )


def n_waiting(session: Session) -> int:
    """Return how many events are pending, of all models."""
    return session.scalar(select(func.count()).select_from(PendingEvent)) or 0


def receive_no_later(session: Session, now: datetime) -> None:
    """Count events that were received after `now` as received now: the clock was set back."""
    session.execute(
        update(PendingEvent)
        .where(PendingEvent.received_at > now)
        .values(received_at=now)
        .execution_options(synchronize_session=False)
    )


def models_overdue(session: Session, until: datetime) -> list[UUID]:
    """Return the models of which an event is pending since `until` or longer."""
    late = select(PendingEvent.model_id).where(PendingEvent.received_at <= until)
    return [*session.scalars(late.distinct())]


def overdue(
    session: Session, model_id: UUID, until: datetime, limit: int
) -> list[tuple[str, str]]:
    """Return a model's oldest predictions of which an event is pending since `until` or longer.

    Returns
    -------
    list
        The model's name and the event's id.
    """
    oldest = (
        select(Model.name, PendingEvent.event_id)
        .join(Model, Model.id == PendingEvent.model_id)
        .where(PendingEvent.received_at <= until, PendingEvent.model_id == model_id)
        .group_by(Model.name, PendingEvent.event_id)
        .order_by(func.min(PendingEvent.received_at))
        .limit(limit)
    )
    return [(name, event_id) for name, event_id in session.execute(oldest)]
