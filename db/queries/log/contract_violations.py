"""Counts of contract violations by event day."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from core.window import Window
from db import dialect
from db.tables import MismatchDay

Key = tuple[UUID, date, str]

_SINCE = select(MismatchDay.day, MismatchDay.reason, MismatchDay.n).where(
    MismatchDay.model_id == bindparam("model_id"), MismatchDay.day >= bindparam("day")
)


def add(session: Session, counted: Mapping[Key, int]) -> None:
    """Add to what is counted: by model, event day and reason."""
    rows = [
        {"model_id": model_id, "day": day, "reason": reason, "n": n}
        for (model_id, day, reason), n in sorted(counted.items())  # in one order: no deadlocks
    ]
    if not rows:
        return
    insert = dialect.insert(session, MismatchDay)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["model_id", "day", "reason"],
            set_={"n": MismatchDay.n + insert.excluded.n},
        ),
        rows,
    )


def of(model_id: UUID, window: Window) -> Select[str, int]:
    """Select reasons and counts of the rows that did not fit on the days in a window."""
    return select(MismatchDay.reason, MismatchDay.n).where(
        MismatchDay.model_id == model_id,
        MismatchDay.day >= window.start.date(),
        MismatchDay.day < window.end.date(),
    )


def since(session: Session, model_id: UUID, day: date | None) -> dict[date, dict[str, int]]:
    """Return how many rows did not fit, by day and reason: from a day on, or of all days."""
    counted: dict[date, dict[str, int]] = {}
    given = {"model_id": model_id, "day": day or date.min}
    for of, reason, n in session.execute(_SINCE, given):
        counted.setdefault(of, {})[reason] = n
    return counted
