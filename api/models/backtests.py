"""Backtests of a model over HTTP: asked for, and read when a worker has run them."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field, model_validator

from api.server.body import Body
from api.server.dependencies import ActDep, OperateModel, ReadDep, ReadModel
from api.server.json_route import JsonRoute
from core.stored import from_attributes
from core.window import Window
from services.evaluation import backtest
from services.models.monitor_config import MonitorPlan
from services.read_models import backtests

router = APIRouter(
    prefix="/v1/models/{model}/backtests", tags=["backtests"], route_class=JsonRoute
)

_LOCATION = {"description": "Where to read it.", "schema": {"type": "string"}}


class BacktestReference(Body):
    """A stretch of event time; `until` is not part of it."""

    since: AwareDatetime
    until: AwareDatetime

    @model_validator(mode="after")
    def _in_order(self) -> "BacktestReference":
        if self.until <= self.since:
            raise ValueError("the reference ends before it begins")
        return self


class BacktestMonitor(Body):
    """A monitor to try; without a severity it takes its kind's."""

    name: str
    kind: str
    params: dict[str, Any] = Field(default_factory=dict)
    severity: str | None = None


class BacktestCreate(Body):
    """Which days, measured against what, by which monitors; all have defaults.

    The default of `since` and `until` is every served day that has closed; of the
    reference, the champion's; of the monitors, those of the model that are enabled.
    `reference_days` takes so many of the first days as the reference.
    """

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    reference: BacktestReference | None = None
    reference_days: int | None = Field(default=None, ge=1, le=backtest.MAX_DAYS)
    monitors: list[BacktestMonitor] | None = None


@router.post("", status_code=202, responses={202: {"headers": {"Location": _LOCATION}}})
def create_backtest(
    body: BacktestCreate, entry: OperateModel, act: ActDep, answer: Response
) -> backtests.BacktestNow:
    """Ask what monitors would have found on past days; a worker evaluates them.

    The days are evaluated as they are known then, and nothing but the result is
    stored. Read the address in `Location` until `state` is `done` or `failed`.
    """
    reference, plans = body.reference, body.monitors
    request = from_attributes(
        backtest.BacktestRequest,
        body,
        reference=Window(reference.since, reference.until) if reference else None,
        plans=None if plans is None else tuple(MonitorPlan(**vars(one)) for one in plans),
    )
    asked = backtests.ask(act.session, entry.model_id, request, act.caller.name, act.now)
    answer.headers["Location"] = f"/v1/models/{entry.name}/backtests/{asked.id}"
    return asked


@router.get("/{backtest_id}")
def read_backtest(
    backtest_id: UUID, entry: ReadModel, session: ReadDep
) -> backtests.BacktestNow:
    """Return where a backtest stands, and its result when it is done."""
    return backtests.read(session, entry.model_id, backtest_id)
