"""Retraining, rollouts, routing and the champion over HTTP."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.server.body import Body, Moment
from api.server.dependencies import (
    ActDep,
    CallerDep,
    OperateModel,
    ReachDep,
    ReadDep,
    ServingModel,
)
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import NOT_MODIFIED
from core.routing import Routing
from db.tables import Scope
from retrain.rollout import Phase
from retrain.verdict import Verdict
from services.access import api_keys
from services.read_models import rollout_history
from services.read_models.paging import Page
from services.rollouts import retraining, rollout_transitions
from services.rollouts.set_champion import set_champion as make_champion

router = APIRouter(prefix="/v1", tags=["rollouts"], route_class=JsonRoute)


class RetrainCreate(Body):
    """Reason, and the onset of the fault where it is known."""

    reason: str = Field(min_length=1, max_length=1000)
    onset: Moment | None = None


class CommandCreate(Body):
    """Reason of a person's decision."""

    reason: str = Field(default="", max_length=1000)


class ChampionPut(Body):
    """The version that is to serve, and the revision on which the decision is based."""

    version: str
    expected_rev: int = Field(ge=0)


class VerdictRead(BaseModel):
    """The newest verdict of a canary; null before its first."""

    phase: Phase
    verdict: Verdict | None


class RevisionRead(BaseModel):
    """The revision of the champion, which the next change must expect."""

    rev: int


@router.post("/models/{model}/retrain", status_code=202)
def retrain(
    body: RetrainCreate,
    entry: OperateModel,
    act: ActDep,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> rollout_history.RolloutNow:
    """Request a retraining; requests with the same Idempotency-Key count once."""
    rollout = retraining.request(
        act.session,
        entry.name,
        retraining.Cause(reason=body.reason, onset=body.onset),
        idempotency_key=idempotency_key or str(uuid4()),
        now=act.now,
    )
    act.record("retrain.request", f"{entry.name}/{rollout.id}", body.model_dump(mode="json"))
    return rollout_history.rollout(act.session, rollout.id)


@router.get("/rollouts")
def list_rollouts(
    reach: ReachDep, session: ReadDep, paging: PagingDep
) -> Page[rollout_history.RolloutNow]:
    """List rollouts, newest first."""
    return rollout_history.rollouts(session, reach, paging)


@router.get("/rollouts/{rollout_id}")
def read_rollout(
    rollout_id: UUID, who: CallerDep, session: ReadDep
) -> rollout_history.RolloutNow:
    """Describe one rollout."""
    api_keys.require(who, Scope.READ, who.model_id)
    api_keys.require(who, Scope.READ, rollout_history.find(session, rollout_id).model_id)
    return rollout_history.rollout(session, rollout_id)


@router.get("/rollouts/{rollout_id}/verdict")
def read_verdict(rollout_id: UUID, who: CallerDep, session: ReadDep) -> VerdictRead:
    """Return the newest verdict of the canary."""
    api_keys.require(who, Scope.READ, who.model_id)
    row = rollout_history.find(session, rollout_id)
    api_keys.require(who, Scope.READ, row.model_id)
    return VerdictRead(phase=row.phase, verdict=row.verdict)


@router.post("/rollouts/{rollout_id}/{order}")
def command_rollout(
    rollout_id: UUID, order: str, body: CommandCreate, act: ActDep
) -> rollout_history.RolloutNow:
    """Pause, resume, promote or roll back."""
    api_keys.require(act.caller, Scope.OPERATE, act.caller.model_id)
    row = rollout_history.find(act.session, rollout_id)
    api_keys.require(act.caller, Scope.OPERATE, row.model_id)
    rollout_transitions.command(
        act.session, rollout_id, order, act.caller.name, body.reason, act.now
    )
    act.record(f"rollout.{order}", str(rollout_id), {"reason": body.reason})
    return rollout_history.rollout(act.session, rollout_id)


@router.get("/models/{model}/routing", response_model=Routing, responses=NOT_MODIFIED)
def read_routing(
    entry: ServingModel,
    session: ReadDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the share of new sessions by version; the entity tag is the epoch."""
    routing = rollout_transitions.routing_of(session, entry.name)
    headers = {"ETag": f'"{routing.epoch}"', "Cache-Control": "private, no-cache"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return JSONResponse(asdict(routing), headers=headers)


@router.put("/models/{model}/champion")
def put_champion(body: ChampionPut, entry: OperateModel, act: ActDep) -> RevisionRead:
    """Make a version the champion, by a person's choice; returns the new revision."""
    rev = make_champion(act.session, entry.model_id, body.version, body.expected_rev, act.now)
    act.record("champion.move", f"{entry.name}/{body.version}", {"rev": rev})
    return RevisionRead(rev=rev)
