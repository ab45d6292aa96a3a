"""Which event days have closed and wait for judgement?"""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.policy import Policy
from db.tables import Model, ServingSlice

DAY = timedelta(days=1)
MAX_DAYS = 400  # at one look; the next one takes the rest


def midnight(at: datetime) -> datetime:
    """Return the start of the event day."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def due(session: Session) -> list[tuple[str, datetime]]:
    """Return (model id, end of day) of each closed day that nobody has judged yet, in order."""
    slots: list[tuple[str, datetime]] = []
    for model in session.scalars(select(Model).where(Model.watermark.is_not(None))):
        assert model.watermark is not None
        end = model.judged_until or _first_day(session, model)
        if end is None:
            continue
        closed = model.watermark - Policy.from_json(model.policy).lateness
        while end + DAY <= closed and len(slots) < MAX_DAYS:
            end += DAY
            slots.append((str(model.id), end))
    return slots


def _first_day(session: Session, model: Model) -> datetime | None:
    first = session.scalar(
        select(func.min(ServingSlice.start)).where(ServingSlice.model_id == model.id)
    )
    return None if first is None else midnight(first)
