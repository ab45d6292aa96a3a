"""Backtests of a model over HTTP: requested, listed, read and cancelled."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from api.server.body import Body, Moment, Stretch, as_stretches
from api.server.dependencies import ActDep, OperateModel, ReadDep, ReadModel
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from core.durations import Duration
from core.stored import from_attributes
from db.tables.queue import BacktestState
from services.evaluation import backtest
from services.models.monitor_config import MonitorPlan
from services.read_models import backtests
from services.read_models.paging import Page

router = APIRouter(
    prefix="/v1/models/{model}/backtests", tags=["backtests"], route_class=JsonRoute
)

_LOCATION = {"description": "Where to read it.", "schema": {"type": "string"}}


class BacktestMonitor(Body):
    """A monitor to evaluate; the default severity is that of its kind."""

    name: str
    kind: str
    params: dict[str, Any] = Field(default_factory=dict)
    severity: str | None = None


class BacktestCreate(Body):
    """The days, the reference and the monitors of a backtest; all have defaults.

    The default of `since` and `until` is every served day that has closed; of the
    reference, the champion's; of the monitors, those of the model that are enabled.
    `reference_length` takes the first days as the reference.
    """

    since: Moment | None = None
    until: Moment | None = None
    reference: list[Stretch] = Field(default_factory=list)
    reference_length: Duration | None = None
    monitors: list[BacktestMonitor] | None = None


@router.post("", status_code=202, responses={202: {"headers": {"Location": _LOCATION}}})
def create_backtest(
    body: BacktestCreate, entry: OperateModel, act: ActDep, answer: Response
) -> backtests.BacktestNow:
    """Request a backtest: findings of monitors on past days; a worker evaluates them.

    The days are evaluated as they are known then, and nothing but the result is
    stored. Read the address in `Location` until `state` is `done`, `failed` or `cancelled`.
    """
    plans = body.monitors
    request = from_attributes(
        backtest.BacktestRequest,
        body,
        reference=as_stretches(body.reference),
        plans=None if plans is None else tuple(MonitorPlan(**vars(one)) for one in plans),
    )
    asked = backtests.ask(act.session, entry.model_id, request, act.caller.name, act.now)
    answer.headers["Location"] = f"/v1/models/{entry.name}/backtests/{asked.id}"
    return asked


@router.get("")
def list_backtests(
    entry: ReadModel,
    session: ReadDep,
    paging: PagingDep,
    state: BacktestState | None = None,
) -> Page[backtests.BacktestProgress]:
    """List a model's backtests without their results, newest first."""
    return backtests.listed(session, entry.model_id, state, paging)


@router.get("/{backtest_id}")
def read_backtest(
    backtest_id: UUID, entry: ReadModel, session: ReadDep
) -> backtests.BacktestNow:
    """Return the state of a backtest, and its result when it is done."""
    return backtests.read(session, entry.model_id, backtest_id)


@router.post("/{backtest_id}/cancel")
def cancel_backtest(
    backtest_id: UUID, entry: OperateModel, act: ActDep
) -> backtests.BacktestNow:
    """Cancel a backtest: a worker that runs it stops within seconds and stores no result.

    No effect on one that was cancelled before; 409 if it is done or has failed.
    """
    return backtests.cancel(act.session, entry.model_id, backtest_id, act.caller.name, act.now)
