"""Counters of rows by model, updated in the transaction that stores the rows."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from sqlalchemy import Row, func, literal, null, select, union_all
from sqlalchemy.orm import Session

from core.window import Window
from db import dialect
from db.queries.log import contract_violations
from db.queries.upsert import upsert
from db.tables import LogCount, Model, RepeatDay

REPEATED = "repeated"


def add(session: Session, model_id: UUID, counted: Mapping[str, int]) -> None:
    """Add to a model's counts; what is nothing is not written."""
    add_all(session, {model_id: counted})


def add_all(session: Session, counted: Mapping[UUID, Mapping[str, int]]) -> None:
    """Add to the counts of some models, in one statement."""
    rows = [
        {"model_id": model_id, "name": name, "n": n}
        for model_id, own in sorted(counted.items())  # in one order: no deadlocks
        for name, n in sorted(own.items())
        if n
    ]
    if not rows:
        return
    insert = dialect.insert(session, LogCount)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["model_id", "name"], set_={"n": LogCount.n + insert.excluded.n}
        ),
        rows,
    )


def set_repeated(session: Session, model_id: UUID, day: date, n: int) -> None:
    """Return how many rows of a day bear an id that the day had before."""
    if n or session.get(RepeatDay, (model_id, day)) is not None:
        upsert(session, RepeatDay, [{"model_id": model_id, "day": day, "n": n}])


def of_day(
    session: Session, model_id: UUID, day: date, refused: Window | None
) -> tuple[int, dict[str, int]]:
    """Return what was counted of an event day.

    Parameters
    ----------
    session
        The open transaction.
    model_id, day
        Of a model.
    refused
        The days of UTC whose rows that broke the contract are counted; None counts none.

    Returns
    -------
    int
        Rows that bear an id that the day had before, by the last join.
    dict
        Rows that broke the contract, by reason.
    """
    repeated = select(null(), RepeatDay.n).where(
        RepeatDay.model_id == model_id, RepeatDay.day == day
    )
    parts = (
        [repeated] if refused is None else [repeated, contract_violations.of(model_id, refused)]
    )
    n_repeated, by_reason = 0, dict[str, int]()
    for reason, n in session.execute(union_all(*parts)):
        if reason is None:
            n_repeated = n
        else:
            by_reason[reason] = by_reason.get(reason, 0) + n
    return n_repeated, by_reason


def of_model(session: Session, model_id: UUID) -> dict[str, int]:
    """Return the counts of one model by name."""
    return {name: n for _, name, n in _all(session, model_id)}


def all_counts(session: Session) -> list[tuple[str, str, int]]:
    """Return the counts of all models: model, name, number."""
    return [(model, name, int(n)) for model, name, n in _all(session, None)]


def _all(session: Session, model_id: UUID | None) -> list[Row[str, str, int]]:
    counted = select(Model.name, LogCount.name, LogCount.n).join(
        LogCount, LogCount.model_id == Model.id
    )
    repeated = (
        select(Model.name, literal(REPEATED), func.sum(RepeatDay.n))
        .join(RepeatDay, RepeatDay.model_id == Model.id)
        .group_by(Model.name)
    )
    if model_id is not None:
        counted = counted.where(Model.id == model_id)
        repeated = repeated.where(Model.id == model_id)
    return [*session.execute(union_all(counted, repeated))]
