"""Corrections of SLOs."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.window import Window
from db.tables import SloCorrection

_OF_MODELS = (
    select(
        SloCorrection.model_id, SloCorrection.monitor_id, SloCorrection.start, SloCorrection.end
    )
    .where(SloCorrection.model_id.in_(bindparam("ids", expanding=True)))
    .order_by(SloCorrection.start)
)


def of_models(
    session: Session, model_ids: Collection[UUID]
) -> dict[UUID, dict[UUID, list[Window]]]:
    """Return the corrected stretches of some models, by monitor, oldest first."""
    found = dict[UUID, dict[UUID, list[Window]]]((model_id, {}) for model_id in model_ids)
    for model_id, monitor_id, start, end in session.execute(_OF_MODELS, {"ids": [*model_ids]}):
        found[model_id].setdefault(monitor_id, []).append(Window(start, end))
    return found
