"""Repeating failed evaluations over HTTP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from api.server.body import Moment
from api.server.dependencies import ActDep, OperateModel
from services.evaluation import failed_slots

router = APIRouter(prefix="/v1/models/{model}/evaluations", tags=["monitors"])


class Asked(BaseModel):
    """The slots that a worker will evaluate again: ends of event days, oldest first."""

    slots: Sequence[datetime]


@router.post("/retry", status_code=202)
def retry_failed(entry: OperateModel, act: ActDep) -> Asked:
    """Evaluate all slots that failed again, each as of its own time; a worker does it."""
    return _ask(entry.name, None, act)


@router.post("/{slot}/retry", status_code=202)
def retry(
    slot: Annotated[Moment, Path(description="The end of an event day.")],
    entry: OperateModel,
    act: ActDep,
) -> Asked:
    """Evaluate one slot again, as of its own time; a worker does it."""
    return _ask(entry.name, slot, act)


def _ask(model: str, slot: datetime | None, act: ActDep) -> Asked:
    slots = failed_slots.ask_again(act.session, model, slot, act.now)
    act.record("evaluation.retry", model, {"slots": [one.isoformat() for one in slots]})
    return Asked(slots=slots)
