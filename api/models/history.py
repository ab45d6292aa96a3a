"""The history of a model over HTTP: event time that was imported."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy.orm import Session

from api.server.body import Body, Moment
from api.server.dependencies import ActDep, OperateModel, ReadDep, ReadModel
from api.server.json_route import JsonRoute
from core.errors import Unprocessable
from db.queries.read import false_alarm_rates
from db.tables import Model
from services.evaluation import backtest

router = APIRouter(prefix="/v1/models/{model}", tags=["history"], route_class=JsonRoute)


class HistoryPut(Body):
    """Event time up to `until` is history; null when none is."""

    until: Moment | None


class HistoryRead(BaseModel):
    """The end of history, and how many of the rows sent are not yet processed.

    `waiting_rows` are not in the lake, `waiting_days` not joined with their labels.
    """

    until: datetime | None
    waiting_rows: int
    waiting_days: int


@router.get("/history")
def read_history(entry: ReadModel, session: ReadDep) -> HistoryRead:
    """Return the end of history: event time before it causes no notifications."""
    return _history(session, entry.model_id)


@router.put("/history")
def put_history(body: HistoryPut, entry: OperateModel, act: ActDep) -> HistoryRead:
    """Set the end of history: days before it fire no alert and cause no retraining."""
    if body.until is not None and body.until > act.now:
        raise Unprocessable("history ends in the past: later days are watched")
    act.session.get_one(Model, entry.model_id).history_until = body.until
    act.session.flush()
    false_alarm_rates.keep(act.session, [entry.model_id])
    act.record("model.history", entry.name, body.model_dump(mode="json"))
    return _history(act.session, entry.model_id)


def _history(session: Session, model_id: UUID) -> HistoryRead:
    waiting_rows, waiting_days = backtest.waiting(session, model_id)
    return HistoryRead(
        until=session.get_one(Model, model_id).history_until,
        waiting_rows=waiting_rows,
        waiting_days=waiting_days,
    )
