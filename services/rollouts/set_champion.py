"""Manual choice of the champion."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import Conflict
from db.queries import models
from db.tables import Model
from services.alerting import alert_transitions
from services.models import champion_pointer


def set_champion(
    session: Session, model_id: UUID, version_name: str, expected_rev: int, now: datetime
) -> int:
    """Let a version serve, and return the champion's new revision.

    Raises
    ------
    NotFound
        If the model has no such version.
    Conflict
        If a rollout is open: its challenger was compared with the champion of now.
    StaleChampion
        If somebody else chose meanwhile.
    """
    version = models.find_version(session, model_id, version_name)
    if models.open_rollout(session, model_id) is not None:
        raise Conflict("a rollout is open: promote it or roll it back first")
    rev = champion_pointer.move(session, model_id, version.id, expected_rev, now)
    model = session.get_one(Model, model_id)
    alert_transitions.retire_reference(session, model, f"{version_name} made champion", now)
    return rev
