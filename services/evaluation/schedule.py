"""Event days that have closed and are not evaluated yet."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from db.queries import models, summaries
from db.tables import Finding, Model, Run
from db.tables.queue import RunStatus
from monitors.slo.serving import SERVING

JOB = "evaluate"
MAX_DAYS = 400  # in one search; the next one takes the rest


def due(session: Session) -> list[tuple[str, datetime]]:
    """Return (model id, end of day) of each closed day not evaluated yet, in order."""
    found = session.scalars(select(Model).where(Model.watermark.is_not(None)))
    slots = ((str(model.id), end) for model in found for end in due_of(session, model))
    return [*islice(slots, MAX_DAYS)]


def due_of(session: Session, model: Model) -> Iterator[datetime]:
    """Yield the ends of the closed days of a model not evaluated yet, in order."""
    end = model.evaluated_until or _first_day(session, model)
    if end is None or model.watermark is None:
        return
    closed = model.watermark - model.policy.lateness_of(model.contract.grain)
    yield from models.zone_of(model).ends(end, closed)


def missed(session: Session) -> list[tuple[str, datetime]]:
    """Return (model id, end of day) of days that were given up and left without findings.

    Versions up to 0.1 gave up a day after five failures and went on with the next.
    """
    dead = session.execute(
        select(Run.subject, Run.slot)
        .where(Run.job == JOB, Run.status == RunStatus.DEAD)
        .order_by(Run.slot)
    )
    return [(subject, slot) for subject, slot in dead if _is_missed(session, subject, slot)]


def _is_missed(session: Session, subject: str, slot: datetime) -> bool:
    model = session.get(Model, UUID(subject))
    if model is None or model.evaluated_until is None or slot > model.evaluated_until:
        return False
    found = exists().where(Finding.model_id == model.id, Finding.as_of == slot)
    return not session.scalar(select(found))


def _first_day(session: Session, model: Model) -> datetime | None:
    first = summaries.first(session, SERVING, model.id)
    return None if first is None else models.zone_of(model).floor(first)
