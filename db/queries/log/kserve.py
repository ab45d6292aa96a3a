"""Events of KServe's logger that wait for their other half."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from db import dialect
from db.tables import KServeHalf, Model, Receipt
from db.tables.kserve import Part


def is_whole(session: Session, model_id: UUID, batch_id: str) -> bool:
    """Say whether the prediction was made already."""
    made = exists().where(
        Receipt.model_id == model_id,
        Receipt.kind == Kind.PREDICTIONS,
        Receipt.batch_id == batch_id,
    )
    return bool(session.scalar(select(made)))


def add(session: Session, half: Mapping[str, Any]) -> bool:
    """Keep one half; False where it was there before, which then stays as it is."""
    statement = (
        dialect.insert(session, KServeHalf)
        .values(**half)
        .on_conflict_do_nothing()
        .returning(KServeHalf.part)
    )
    return session.execute(statement).first() is not None


def halves(session: Session, model_id: UUID, event_id: str) -> dict[Part, bytes]:
    """Return what there is of one prediction."""
    found = select(KServeHalf.part, KServeHalf.payload).where(
        KServeHalf.model_id == model_id, KServeHalf.event_id == event_id
    )
    return {row.part: row.payload for row in session.execute(found)}


def forget(session: Session, model_id: UUID, event_id: str) -> None:
    """Take away the halves of a prediction that is made."""
    session.execute(
        delete(KServeHalf).where(
            KServeHalf.model_id == model_id, KServeHalf.event_id == event_id
        ),
        execution_options={"synchronize_session": False},
    )


def n_waiting(session: Session) -> int:
    """Return how many halves there are, of all models."""
    return session.scalar(select(func.count()).select_from(KServeHalf)) or 0


def receive_no_later(session: Session, now: datetime) -> None:
    """Count halves that were received after `now` as received now: the clock was set back."""
    session.execute(
        update(KServeHalf)
        .where(KServeHalf.received_at > now)
        .values(received_at=now)
        .execution_options(synchronize_session=False)
    )


def models_overdue(session: Session, until: datetime) -> list[UUID]:
    """Return the models of which a half has waited since `until` or longer."""
    late = select(KServeHalf.model_id).where(KServeHalf.received_at <= until)
    return [*session.scalars(late.distinct())]


def overdue(
    session: Session, model_id: UUID, until: datetime, limit: int
) -> list[tuple[str, str]]:
    """Return a model's oldest predictions of which a half has waited since `until` or longer.

    Returns
    -------
    list
        The model's name and the event's id.
    """
    oldest = (
        select(Model.name, KServeHalf.event_id)
        .join(Model, Model.id == KServeHalf.model_id)
        .where(KServeHalf.received_at <= until, KServeHalf.model_id == model_id)
        .group_by(Model.name, KServeHalf.event_id)
        .order_by(func.min(KServeHalf.received_at))
        .limit(limit)
    )
    return [(name, event_id) for name, event_id in session.execute(oldest)]
