"""Queries of the quarantine: rows that violated the contract."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, func, select, tuple_
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from db.tables import Quarantine

MAX_REASONS = 100


def newest(
    session: Session,
    model_id: UUID,
    field: str | None,
    before: tuple[datetime, int] | None,
    n: int,
) -> Sequence[Quarantine]:
    """Return the rows that were received last, of those before a moment and number."""
    query = select(Quarantine).where(Quarantine.model_id == model_id)
    if field is not None:
        query = query.where(Quarantine.field == field)
    if before is not None:
        place = tuple_(Quarantine.received_at, Quarantine.id)
        query = query.where(place < before)
    newest_first = query.order_by(Quarantine.received_at.desc(), Quarantine.id.desc())
    return session.scalars(newest_first.limit(n)).all()


def by_reason(
    session: Session, model_id: UUID, since: datetime
) -> Sequence[Row[Kind, str, str, int, datetime]]:
    """Count the rows received since a moment by what was wrong, most frequent first."""
    n = func.count().label("n")
    return session.execute(
        select(
            Quarantine.kind,
            Quarantine.field,
            Quarantine.reason,
            n,
            func.max(Quarantine.received_at).label("last_at"),
        )
        .where(Quarantine.model_id == model_id, Quarantine.received_at >= since)
        .group_by(Quarantine.kind, Quarantine.field, Quarantine.reason)
        .order_by(n.desc(), Quarantine.field, Quarantine.reason)
        .limit(MAX_REASONS)
    ).all()
