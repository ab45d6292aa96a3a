"""Reads of what was served."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from core.window import Window
from db.queries import summaries
from monitors.slo.serving import SERVING, N, table

HOUR = timedelta(hours=1)


def n_rows(session: Session, model_id: UUID, window: Window) -> int:
    """Return how many rows all versions together served in a window of whole hours."""
    served = summaries.read(session, SERVING, model_id, [window])
    return 0 if served is None else int(table(served, window, HOUR)[:, N].sum())
