"""What was brought in after the fact, and what monitors would have found in it, over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel
from sqlalchemy.orm import Session

from api.server.body import Body
from api.server.dependencies import ActDep, OperateModel, PlatformDep, ReadDep, ReadModel
from api.server.json_route import JsonRoute
from core.errors import Unprocessable
from core.window import Window
from db.tables import Model
from services.evaluation import backtest

router = APIRouter(prefix="/v1/models/{model}", tags=["history"], route_class=JsonRoute)


class HistoryPut(Body):
    """Event time up to `until` was brought in after the fact; null when none was."""

    until: AwareDatetime | None


class HistoryRead(BaseModel):
    """What is history, and how much of all that was sent is not yet taken in.

    `waiting_rows` are not in the lake, `waiting_days` not joined with their labels.
    """

    until: datetime | None
    waiting_rows: int
    waiting_days: int


@router.get("/history")
def read_history(entry: ReadModel, session: ReadDep) -> HistoryRead:
    """Say up to when event time is history: looked at, and told to nobody."""
    return _history(session, entry.model_id)


@router.put("/history")
def put_history(body: HistoryPut, entry: OperateModel, act: ActDep) -> HistoryRead:
    """Say up to when event time is history: its days fire no alert and retrain nothing."""
    if body.until is not None and body.until > act.now:
        raise Unprocessable("history ends in the past: later days are watched")
    act.session.get_one(Model, entry.model_id).history_until = body.until
    act.record("model.history", entry.name, body.model_dump(mode="json"))
    return _history(act.session, entry.model_id)


def _history(session: Session, model_id: UUID) -> HistoryRead:
    waiting_rows, waiting_days = backtest.waiting(session, model_id)
    return HistoryRead(
        until=session.get_one(Model, model_id).history_until,
        waiting_rows=waiting_rows,
        waiting_days=waiting_days,
    )


Moment = Annotated[AwareDatetime | None, Query()]


def _stretch(
    since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    until: Moment = None,
    reference_from: Moment = None,
    reference_until: Moment = None,
    reference_days: Annotated[int | None, Query(ge=1, le=backtest.MAX_DAYS)] = None,
) -> backtest.BacktestRequest:
    """Read which days to look at, and what to measure against."""
    reference = None
    if reference_from is not None and reference_until is not None:
        if reference_until <= reference_from:
            raise Unprocessable("the reference ends before it begins")
        reference = Window(reference_from, reference_until)
    elif reference_from is not None or reference_until is not None:
        raise Unprocessable("a reference has two ends: reference_from and reference_until")
    return backtest.BacktestRequest(
        since=since, until=until, reference=reference, reference_days=reference_days
    )


@router.get("/replay")
def read_replay(
    entry: ReadModel,
    parts: PlatformDep,
    asked: Annotated[backtest.BacktestRequest, Depends(_stretch)],
) -> backtest.Backtest:
    """Say what the model's monitors would have found on past days, as these are known now.

    A reference may be given to measure against in place of the champion's: by its
    bounds, or as the first days of the stretch.
    """
    return backtest.run_backtest(parts.sessions, entry.model_id, asked)
