"""The champion pointer, moved by compare-and-set."""

from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import CursorResult, update
from sqlalchemy.orm import Session

from core.errors import StaleChampion
from db.queries.unique import insert_unique
from db.tables import Champion, Model


def move(
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
    """Raise the epoch of the routing document: its readers fetch it anew."""
    session.execute(
        update(Model).where(Model.id == model_id).values(routing_epoch=Model.routing_epoch + 1)
    )
