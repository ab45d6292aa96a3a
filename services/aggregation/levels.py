"""Levels of stored summaries: what was rolled up, and can no longer be read as it was added."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from core.streams import Level
from core.window import Window
from db.queries import summaries
from services.aggregation import folded


def rolled_up_in(
    session: Session, model_id: UUID, level: Level, window: Window
) -> datetime | None:
    """Return the start of the newest row of a window that is coarser than a level.

    Parameters
    ----------
    session
        The open transaction.
    model_id
        Whose rows.
    level
        Only streams that are added at this level, or at a finer one, are searched.
    window
        Of event time.

    Returns
    -------
    datetime or None
        None where every row still has the level.
    """
    known = (*level.finer, level)
    streams = [stream for stream in folded.streams() if stream.level in known]
    coarser = [other for other in Level if other not in known]
    return summaries.first_of_levels(session, streams, model_id, window, coarser, last=True)
