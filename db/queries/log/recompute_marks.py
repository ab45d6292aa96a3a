"""Event days that changed after they had closed: they are re-evaluated."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import ceil
from typing import cast
from uuid import UUID, uuid4

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.orm import Session

from core.durations import DAY
from core.window import Window
from db import dialect
from db.queries import models
from db.tables import LateDay, Model, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Mark of an event day to re-evaluate.

    Attributes
    ----------
    rev
        Another whenever it changes again.
    done_until
        The newest evaluation that was repeated since; None before the first.
    """

    day: date
    rev: int
    done_until: datetime | None


def settled(model: Model) -> datetime | None:
    """Return the end of the last event day that may have been evaluated; None before any.

    A day may be evaluated as soon as it has closed, so what comes later is
    late whether or not the evaluation is over: no row falls between the two.
    """
    if model.watermark is None:
        return model.evaluated_until
    closed = model.watermark - model.policy.lateness_of(model.contract.grain)
    end = models.zone_of(model).floor(closed)
    return end if model.evaluated_until is None else max(end, model.evaluated_until)


def errors_settled(model: Model) -> date | None:
    """Return the first day whose errors were not evaluated yet; None before any evaluation."""
    end = settled(model)
    if end is None:
        return None
    contract = model.contract
    reach = contract.horizon * contract.step + model.policy.label_delay
    return (models.zone_of(model).local(end) - ceil(reach / DAY) * DAY).date()


def mark(session: Session, model_id: UUID, days: Iterable[date]) -> None:
    """Note that days changed that may have been evaluated."""
    mark_all(session, {model_id: days})


def mark_all(session: Session, days: Mapping[UUID, Iterable[date]]) -> None:
    """Note that days of some models changed that may have been evaluated."""
    # Drawn, not counted: a mark that was taken off and set again must not get the same value
    # to somebody who has read the day in between.
    rev = uuid4().int & 0x7FFFFFFF
    rows = [
        {"model_id": model_id, "day": day, "rev": rev}
        for model_id, own in sorted(days.items())  # in one order: no deadlocks
        for day in sorted({*own})
    ]
    if not rows:
        return
    insert = dialect.insert(session, LateDay)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["model_id", "day"],
            set_={"rev": insert.excluded.rev, "done_until": None},
        ),
        rows,
    )


def touch(session: Session, days: Mapping[UUID, Collection[date]]) -> None:
    """Note that rows came in for these days of local time: late for those that have closed.

    To be called before the watermark moves, in the transaction that adds the
    rows. A reference that holds one of these days has to be learnt again.

    Parameters
    ----------
    session
        Session of a writing transaction.
    days
        By model.
    """
    closed, late = dict[UUID, list[date]](), dict[UUID, list[Window]]()
    for model in session.scalars(select(Model).where(Model.id.in_(days))):
        if of_model := _closed(model, days[model.id]):
            zone = models.zone_of(model)
            closed[model.id] = of_model
            late[model.id] = [zone.bounds(day) for day in of_model]
    if not closed:
        return
    mark_all(session, closed)
    of_late = [
        version.id
        for version in models.versions(session, *closed)
        if any(
            part.overlaps(day) for part in version.reference for day in late[version.model_id]
        )
    ]
    session.execute(
        update(Version)
        .where(Version.id.in_(of_late))
        .values(reference_rev=Version.reference_rev + 1)
        .execution_options(synchronize_session=False)
    )


def mark_closed(session: Session, model_id: UUID, days: Collection[date]) -> list[date]:
    """Mark those of some days that have closed, and return them."""
    model = session.get(Model, model_id)
    closed = [] if model is None else _closed(model, days)
    if closed:
        mark(session, model_id, closed)
    return closed


def _closed(model: Model, days: Iterable[date]) -> list[date]:
    end = settled(model)
    if end is None:
        return []
    zone = models.zone_of(model)
    return [day for day in days if zone.start(day) < end]


def marks(session: Session, model_id: UUID) -> list[Mark]:
    """Return the days of a model that changed, oldest first."""
    rows = session.execute(
        select(LateDay.day, LateDay.rev, LateDay.done_until)
        .where(LateDay.model_id == model_id)
        .order_by(LateDay.day)
    )
    return [Mark(day=day, rev=rev, done_until=until) for day, rev, until in rows]


def models_with_marks(session: Session) -> list[UUID]:
    """Return the models with days that changed after they were evaluated."""
    oldest = session.execute(
        select(Model, func.min(LateDay.day))
        .join(LateDay, LateDay.model_id == Model.id)
        .where(Model.evaluated_until.is_not(None))
        .group_by(Model.id)
        .order_by(Model.id)
    )
    return [
        model.id
        for model, day in oldest
        if model.evaluated_until and models.zone_of(model).start(day) < model.evaluated_until
    ]


def clear(session: Session, model_id: UUID, day: date, rev: int) -> bool:
    """Take the mark off a day; False when it changed again meanwhile."""
    gone = session.execute(
        delete(LateDay).where(
            LateDay.model_id == model_id, LateDay.day == day, LateDay.rev == rev
        )
    )
    return cast(CursorResult[None], gone).rowcount == 1


def progress(session: Session, model_id: UUID, mark: Mark, until: datetime) -> None:
    """Note how far the evaluations were repeated, unless the day changed meanwhile."""
    session.execute(
        update(LateDay)
        .where(LateDay.model_id == model_id, LateDay.day == mark.day, LateDay.rev == mark.rev)
        .values(done_until=until)
        .execution_options(synchronize_session=False)
    )
