"""Queries of the names of segments."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from db.tables import Segment

_NAMES = (
    select(Segment.model_id, Segment.place, Segment.name)
    .where(Segment.model_id.in_(bindparam("model_ids", expanding=True)))
    .order_by(Segment.place)
)


def names(session: Session, model_id: UUID) -> dict[int, str | None]:
    """Return the names that were given, by place; None where one was erased."""
    given = select(Segment.place, Segment.name).where(Segment.model_id == model_id)
    return dict(session.execute(given.order_by(Segment.place)).all())


def names_of(
    session: Session, model_ids: Collection[UUID]
) -> dict[UUID, dict[int, str | None]]:
    """Return the names that were given in some models, by place."""
    found = dict[UUID, dict[int, str | None]]((model_id, {}) for model_id in model_ids)
    for model_id, place, name in session.execute(_NAMES, {"model_ids": [*model_ids]}):
        found[model_id][place] = name
    return found


def give(session: Session, model_id: UUID, names: dict[int, str | None]) -> None:
    """Give names to places that have none yet."""
    session.add_all(
        Segment(model_id=model_id, place=place, name=name) for place, name in names.items()
    )


def forget(session: Session, model_id: UUID, gone: Sequence[str]) -> None:
    """Take names away; their places stay taken."""
    session.execute(
        update(Segment)
        .where(Segment.model_id == model_id, Segment.name.in_(gone))
        .values(name=None)
        .execution_options(synchronize_session=False)
    )
