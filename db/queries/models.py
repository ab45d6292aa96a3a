"""Models, their versions, and which of them serves."""

from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.orm import Session

from core.errors import NotFound, StaleChampion
from db.queries.unique import insert_unique
from db.tables import Champion, Inbox, Model, Rollout, Version
from retrain.rollout import OPEN


def by_name(session: Session, name: str) -> Model:
    """Return the model of that name, or raise NotFound."""
    model = session.scalar(select(Model).where(Model.name == name))
    if model is None:
        raise NotFound(f"no model {name!r}")
    return model


def version_by_name(session: Session, model_id: UUID, name: str) -> Version:
    """Return a model's version of that name, or raise NotFound."""
    version = session.scalar(
        select(Version).where(Version.model_id == model_id, Version.name == name)
    )
    if version is None:
        raise NotFound(f"no version {name!r} of this model")
    return version


def versions(session: Session, model_id: UUID) -> list[Version]:
    """Return a model's versions, oldest first."""
    return [
        *session.scalars(
            select(Version)
            .where(Version.model_id == model_id)
            .order_by(Version.created_at, Version.name)
        )
    ]


def champion(session: Session, model_id: UUID) -> tuple[Champion, Version] | None:
    """Return the pointer and the version that it points to; None before the first."""
    found = session.execute(
        select(Champion, Version)
        .join(Version, Version.id == Champion.version_id)
        .where(Champion.model_id == model_id)
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def move_champion(
    session: Session, model_id: UUID, version_id: UUID, expected_rev: int, now: datetime
) -> int:
    """Let a version serve, if nobody moved the champion since; return the new revision.

    The routing document changes with it.

    Parameters
    ----------
    expected_rev
        The revision that the decision was made upon; 0 when there was no champion.

    Raises
    ------
    StaleChampion
        If the champion has another revision by now.
    """
    stale = f"the champion is no longer at revision {expected_rev}"
    if expected_rev == 0:
        if session.get(Champion, model_id) is not None:
            raise StaleChampion(stale)
        first = Champion(model_id=model_id, version_id=version_id, rev=1, since=now)
        insert_unique(session, first, stale, StaleChampion)
    else:
        moved = session.execute(
            update(Champion)
            .where(Champion.model_id == model_id, Champion.rev == expected_rev)
            .values(version_id=version_id, rev=expected_rev + 1, since=now)
        )
        if cast(CursorResult[None], moved).rowcount != 1:
            raise StaleChampion(stale)
    touch_routing(session, model_id)
    return expected_rev + 1


def touch_routing(session: Session, model_id: UUID) -> None:
    """Raise the epoch of the routing document."""
    session.execute(
        update(Model)
        .where(Model.id == model_id)
        .values(routing_epoch=Model.routing_epoch + 1)
    )


def backlog(session: Session, model_id: UUID) -> tuple[int, int]:
    """Return rows and bytes that are accepted but not yet in the lake."""
    rows, size = session.execute(
        select(func.coalesce(func.sum(Inbox.n_rows), 0), func.coalesce(func.sum(Inbox.n_bytes), 0))
        .where(Inbox.model_id == model_id)
    ).one()
    return int(rows), int(size)


def open_rollout(session: Session, model_id: UUID) -> Rollout | None:
    """Return the one rollout of a model that is not over, or None."""
    return session.scalar(
        select(Rollout).where(Rollout.model_id == model_id, Rollout.phase.in_(OPEN))
    )
