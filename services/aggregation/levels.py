"""Levels of stored summaries: what was rolled up, and can no longer be read as it was added."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy.orm import Session

from core.streams import Level
from core.window import Window
from db.queries import summaries
from services.aggregation import folded

Of: TypeAlias = tuple[Level, timedelta]  # a level, and how long a stretch is read


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
    of = (level, window.end - window.start)
    return newest_rolled_up(session, model_id, {of: window})[of]


def newest_rolled_up(
    session: Session, model_id: UUID, windows: Mapping[Of, Window]
) -> dict[Of, datetime | None]:
    """Return the start of the newest row that is coarser, for several levels and windows."""
    if not windows:
        return {}
    parts = []
    for (level, _), window in windows.items():
        known = (*level.finer, level)
        streams = [stream for stream in folded.streams() if stream.level in known]
        parts.append((streams, [other for other in Level if other not in known], window))
    found = summaries.last_of_levels(session, model_id, parts)
    return dict(zip(windows, found, strict=True))
