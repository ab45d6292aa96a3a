"""Hours whose counts changed late: who keeps counts in memory reads them again."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from core.durations import DAY
from db.queries.upsert import upsert
from db.tables import LateHour

ALL_HOURS = datetime(1970, 1, 1, tzinfo=UTC)  # stands for every hour
KEPT = DAY  # of wall time

_OF_MODELS = select(LateHour.model_id, LateHour.start, LateHour.rev).where(
    LateHour.model_id.in_(bindparam("ids", expanding=True))
)


def mark(session: Session, hours: Mapping[UUID, Iterable[datetime]], now: datetime) -> None:
    """Note that the counts of hours of some models changed."""
    # Drawn, not counted, as of days: a mark that went and was set again is another one.
    rev = uuid4().int & 0x7FFFFFFF
    upsert(
        session,
        LateHour,
        [
            {"model_id": model_id, "start": start, "rev": rev, "changed_at": now}
            for model_id, own in sorted(hours.items())  # in one order: no deadlocks
            for start in sorted({*own})
        ],
    )


def of_models(session: Session, model_ids: Collection[UUID]) -> dict[UUID, dict[datetime, int]]:
    """Return the hours of some models that changed lately, each with its revision."""
    found = dict[UUID, dict[datetime, int]]((model_id, {}) for model_id in model_ids)
    for model_id, start, rev in session.execute(_OF_MODELS, {"ids": [*model_ids]}):
        found[model_id][start] = rev
    return found


def purge(session: Session, now: datetime) -> None:
    """Delete the marks that every reader has seen."""
    session.execute(delete(LateHour).where(LateHour.changed_at < now - KEPT))
