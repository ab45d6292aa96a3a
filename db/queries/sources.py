"""Queries of sources of rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from db.queries.queue.leases import SKEW
from db.tables import SourceRow


def of_model(session: Session, model_id: UUID) -> Sequence[SourceRow]:
    """Return the sources of a model, by name."""
    of = select(SourceRow).where(SourceRow.model_id == model_id)
    return session.scalars(of.order_by(SourceRow.name)).all()


def due(session: Session, now: datetime) -> list[tuple[UUID, datetime]]:
    """Return the sources that are to be pulled by their schedule, each with its slot.

    One that is due later than its schedule allows was pulled before the clock was set back.
    """
    rows = session.execute(
        select(SourceRow.id, SourceRow.next_due_at, SourceRow.every).where(
            SourceRow.enabled.is_(True)
        )
    )
    return [
        (source_id, at) for source_id, at, every in rows if not now < at <= now + every + SKEW
    ]


def longest_interval(session: Session, model_id: UUID) -> timedelta:
    """Return how far apart predictions of a model may be pulled; zero where none are."""
    longest = session.scalar(
        select(func.max(SourceRow.every)).where(
            SourceRow.model_id == model_id,
            SourceRow.stream == Kind.PREDICTIONS,
            SourceRow.enabled.is_(True),
        )
    )
    return longest or timedelta(0)


def write(session: Session, source_id: UUID, rev: int, **values: object) -> bool:
    """Write to a source as it was read; False when it was changed, pulled or deleted since."""
    written = session.execute(
        update(SourceRow)
        .where(SourceRow.id == source_id, SourceRow.rev == rev)
        .values(rev=rev + 1, **values)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[None], written).rowcount == 1


def count(session: Session, source_id: UUID, n_rows: int, n_quarantined: int) -> None:
    """Count the rows of a page that was stored."""
    session.execute(
        update(SourceRow)
        .where(SourceRow.id == source_id)
        .values(
            n_rows=SourceRow.n_rows + n_rows,
            n_quarantined=SourceRow.n_quarantined + n_quarantined,
        )
        .execution_options(synchronize_session=False)
    )
