"""SLOs of a model over HTTP: budgets, corrections, linter and backtest."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, Field

from api.server.body import Body
from api.server.dependencies import ActDep, NowDep, OperateModel, ReadDep, ReadModel
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import created
from monitors.slo.trial.linter import Lint
from services.models import monitor_config, registry, slo_corrections
from services.models.slo_corrections import SLO, Correction
from services.read_models.paging import Page
from services.read_models.slos import status, trial
from services.read_models.slos.status import SloStatus, SloSummary
from services.read_models.slos.trial import SloBacktest
from services.retention import deletion

router = APIRouter(prefix="/v1/models/{model}/slos", tags=["slos"], route_class=JsonRoute)


class SloPut(Body):
    """Parameters of an SLO: those of a monitor of kind `burn_rate`."""

    params: dict[str, Any] = Field(default_factory=dict)
    enabled: bool = True


class SloTrial(Body):
    """Parameters of an SLO that need not exist."""

    params: dict[str, Any]


class SloBacktestAsk(SloTrial):
    """Parameters of an SLO, and the newest days of event time to try them on."""

    days: int = Field(default=trial.LONGEST.days, ge=1, le=trial.LONGEST.days)


class CorrectionPost(Body):
    """A stretch of event time whose bad events are to count as good."""

    start: AwareDatetime
    end: AwareDatetime
    reason: str = Field(min_length=1, max_length=1_000)


@router.get("")
def list_slos(entry: ReadModel, session: ReadDep, paging: PagingDep) -> Page[SloSummary]:
    """List a model's SLOs by name, each as its newest finding left it."""
    return paging.cut(status.summaries(session, entry.model_id), lambda slo: slo.name)


@router.post("/lint")
def lint_slo(body: SloTrial, entry: ReadModel, session: ReadDep, now: NowDep) -> Lint:
    """Return what a definition can find at the model's traffic, and how often in vain."""
    return trial.linted(session, entry.model_id, trial.parsed(body.params), now)


@router.post("/backtest")
def backtest_slo(
    body: SloBacktestAsk, entry: ReadModel, session: ReadDep, now: NowDep
) -> SloBacktest:
    """Return which tiers of a definition would have fired in the newest days."""
    params = trial.parsed(body.params)
    return trial.backtested(session, entry.model_id, params, body.days, now)


@router.get("/{name}")
def read_slo(
    name: str,
    entry: ReadModel,
    session: ReadDep,
    now: NowDep,
    as_of: Annotated[AwareDatetime | None, Query()] = None,
) -> SloStatus:
    """Return budget, tiers and windows at a moment of event time, by default now."""
    monitor = slo_corrections.slo(session, entry.model_id, name)
    return status.status(session, entry.model_id, monitor, as_of, now)


@router.put("/{name}", responses=created(Lint))
def put_slo(
    name: str, body: SloPut, answer: Response, entry: OperateModel, act: ActDep
) -> Lint:
    """Define an SLO; the answer is that of its linter."""
    registry.check_name("monitor", name)
    plan = monitor_config.MonitorPlan(name=name, kind=SLO, **body.model_dump())
    is_new = monitor_config.put(act.session, entry.model_id, plan)
    action = "monitor.add" if is_new else "monitor.update"
    act.record(action, f"{entry.name}/{name}", body.model_dump(mode="json"))
    answer.status_code = 201 if is_new else 200
    return trial.linted(act.session, entry.model_id, trial.parsed(body.params), act.now)


@router.delete("/{name}", status_code=204, response_class=Response)
def delete_slo(name: str, entry: OperateModel, act: ActDep) -> None:
    """Delete an SLO with its findings, corrections and alerts, which are resolved first."""
    slo_corrections.slo(act.session, entry.model_id, name)
    deletion.delete_monitor(act.session, entry.model_id, name, act.now)
    act.record("monitor.delete", f"{entry.name}/{name}")


@router.get("/{name}/corrections")
def list_corrections(
    name: str, entry: ReadModel, session: ReadDep, paging: PagingDep
) -> Page[Correction]:
    """List the corrections of an SLO, oldest first."""
    monitor = slo_corrections.slo(session, entry.model_id, name)
    found = slo_corrections.corrections(session, monitor)
    return paging.cut(found, lambda one: f"{one.start.isoformat()} {one.id}")


@router.post("/{name}/corrections", status_code=201)
def add_correction(
    name: str, body: CorrectionPost, entry: OperateModel, act: ActDep
) -> Correction:
    """Count the bad events of a stretch as good; the number of events stays."""
    monitor = slo_corrections.slo(act.session, entry.model_id, name)
    bounds, because = (body.start, body.end), (body.reason, act.caller.name)
    made = slo_corrections.add(act.session, monitor, bounds, because, act.now)
    act.record("slo.correct", f"{entry.name}/{name}", body.model_dump(mode="json"))
    return made


@router.delete("/{name}/corrections/{correction}", status_code=204, response_class=Response)
def delete_correction(name: str, correction: UUID, entry: OperateModel, act: ActDep) -> None:
    """Let the bad events of a stretch count again."""
    monitor = slo_corrections.slo(act.session, entry.model_id, name)
    slo_corrections.remove(act.session, monitor, correction)
    act.record("slo.uncorrect", f"{entry.name}/{name}", {"correction": str(correction)})
