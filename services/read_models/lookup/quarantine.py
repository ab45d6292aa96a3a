"""Quarantined rows, by reason and one by one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core.schema.rows import Kind
from core.stored import from_attributes
from db.queries.log import quarantine
from services.read_models.lookup.query import RowCursor

RECENT = timedelta(days=7)  # wall time; over which reasons are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """One row, kept as it was sent; what is sensitive was masked before."""

    kind: Kind
    batch_id: str
    row: int
    field: str
    reason: str
    content: dict[str, Any]
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRows:
    """One page, newest first; `cursor` is None on the last."""

    rows: list[BadRow]
    cursor: RowCursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """How many rows broke the contract in the same way of late, and when the last did."""

    kind: Kind
    field: str
    reason: str
    n: int
    last_at: datetime


def bad_rows(
    session: Session, model_id: UUID, field: str | None, after: RowCursor | None, limit: int
) -> BadRows:
    """Return the rows that broke the contract, newest first.

    Parameters
    ----------
    field
        Only those that broke it in this field.
    after
        Where the last page ended; None for the first.
    limit
        How many at most.
    """
    place = None if after is None else (after.at, after.id)
    found = quarantine.newest(session, model_id, field, place, limit + 1)
    rows = [from_attributes(BadRow, row) for row in found[:limit]]
    if len(found) <= limit:
        return BadRows(rows=rows, cursor=None)
    last = found[limit - 1]
    return BadRows(rows=rows, cursor=RowCursor(at=last.received_at, id=last.id))


def reasons(session: Session, model_id: UUID, now: datetime) -> list[Reason]:
    """Return in which ways rows broke the contract in the last week, most frequent first."""
    return [
        from_attributes(Reason, row)
        for row in quarantine.by_reason(session, model_id, now - RECENT)
    ]
