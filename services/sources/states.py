"""The sources of a model as their monitor reads them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from core.stored import from_attributes
from db.queries import sources
from monitors.slo.source_states import SourceState


def states(
    session: Session, model_id: UUID, now: datetime, uptime: timedelta
) -> Sequence[SourceState]:
    """Read the enabled sources of a model.

    Parameters
    ----------
    session
        The open transaction.
    model_id
        The model.
    now
        Wall time.
    uptime
        For how long this process runs: before, no pull was late.
    """
    return [
        from_attributes(
            SourceState,
            row,
            since=row.created_at,
            arrivals=tuple(map(datetime.fromisoformat, row.arrivals)),
            error=row.error or "",
            changed=row.changed or "",
            new_columns=tuple(row.new_columns),
            overdue=min(now - row.next_due_at, uptime),
        )
        for row in sources.of_model(session, model_id)
        if row.enabled
    ]
