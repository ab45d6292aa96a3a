"""Ids of the events that were received: each is stored once."""

from collections.abc import Collection
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import CursorResult, delete
from sqlalchemy.orm import Session

from db import dialect
from db.tables import EventId


def add(session: Session, model_id: UUID, ids: Collection[str], now: datetime) -> set[str]:
    """Insert ids, and return those that were not there before."""
    if not ids:
        return set()
    statement = dialect.insert(session, EventId).on_conflict_do_nothing()
    rows = [
        {"model_id": model_id, "event_id": one, "received_at": now}
        for one in sorted(ids)  # in one order: no deadlocks
    ]
    table = EventId.__table__.c
    found = session.connection().execute(statement.returning(table.event_id), rows)
    return {one for (one,) in found}


def forget(session: Session, before: datetime) -> int:
    """Delete the ids of events that nobody will send again; how many."""
    gone = session.execute(delete(EventId).where(EventId.received_at < before))
    return cast(CursorResult[None], gone).rowcount
