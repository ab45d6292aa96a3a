"""Retraining, rollouts, routing and the champion over HTTP."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.server.dependencies import (
    ActDep,
    CallerDep,
    OperateModel,
    ReachDep,
    ReadDep,
    ServingModel,
)
from api.server.json_route import JsonRoute
from db.tables import Scope
from retrain.rollout import Phase
from services.access import api_keys
from services.read_models import rollout_history
from services.rollouts import retraining, rollout_transitions
from services.rollouts.set_champion import set_champion as make_champion

router = APIRouter(prefix="/v1", tags=["rollouts"], route_class=JsonRoute)


class RetrainCreate(BaseModel):
    """Why, and since when the model is wrong, if somebody knows."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=1000)
    onset: AwareDatetime | None = None


class CommandCreate(BaseModel):
    """Why a person decides."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=1000)


class ChampionPut(BaseModel):
    """Which version shall serve, and the revision that the decision was made upon."""

    model_config = ConfigDict(extra="forbid")

    version: str
    expected_rev: int = Field(ge=0)


class StepRead(BaseModel):
    """One change of a rollout: `at` in event time, `recorded_at` in wall time."""

    model_config = ConfigDict(from_attributes=True)

    event: str
    phase: Phase
    cause: str
    detail: dict[str, Any]
    at: datetime
    recorded_at: datetime


class DeadlineRead(BaseModel):
    """When a phase ends by itself: as soon as either clock is there, by `event`."""

    model_config = ConfigDict(from_attributes=True)

    event_time: datetime | None
    wall_time: datetime
    event: str
    reason: str


class RolloutRead(BaseModel):
    """One rollout with all that happened to it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    model: str
    phase: Phase
    step: int
    share_percent: float
    reason: str
    base: str | None
    challenger: str | None
    onset: datetime | None
    requested_at: datetime
    not_before: datetime
    gate: dict[str, Any]
    verdict: dict[str, Any]
    progress: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None
    deadline: DeadlineRead | None
    events: list[StepRead]


class VerdictRead(BaseModel):
    """What the canary has shown so far; empty before its first look."""

    phase: Phase
    verdict: dict[str, Any]


@router.post("/models/{model}/retrain", status_code=202, response_model=RolloutRead)
def retrain(
    body: RetrainCreate,
    entry: OperateModel,
    act: ActDep,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> rollout_history.History:
    """Ask for a retrained model; the same Idempotency-Key asks only once."""
    rollout = retraining.request(
        act.session,
        entry.name,
        retraining.Cause(reason=body.reason, onset=body.onset),
        idempotency_key=idempotency_key or str(uuid4()),
        now=act.now,
    )
    act.record("retrain.request", f"{entry.name}/{rollout.id}", body.model_dump(mode="json"))
    return rollout_history.rollout(act.session, rollout.id)


@router.get("/rollouts", response_model=list[RolloutRead])
def list_rollouts(
    reach: ReachDep, session: ReadDep, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> list[rollout_history.History]:
    """List rollouts, newest first."""
    return rollout_history.rollouts(session, reach, limit)


@router.get("/rollouts/{rollout_id}", response_model=RolloutRead)
def read_rollout(rollout_id: UUID, who: CallerDep, session: ReadDep) -> rollout_history.History:
    """Describe one rollout."""
    api_keys.require(who, Scope.READ, who.model_id)
    api_keys.require(who, Scope.READ, rollout_history.find(session, rollout_id).model_id)
    return rollout_history.rollout(session, rollout_id)


@router.get("/rollouts/{rollout_id}/verdict")
def read_verdict(rollout_id: UUID, who: CallerDep, session: ReadDep) -> VerdictRead:
    """Say what the canary has shown so far."""
    api_keys.require(who, Scope.READ, who.model_id)
    row = rollout_history.find(session, rollout_id)
    api_keys.require(who, Scope.READ, row.model_id)
    return VerdictRead(phase=row.phase, verdict=row.verdict)


@router.post("/rollouts/{rollout_id}/{order}", response_model=RolloutRead)
def command_rollout(
    rollout_id: UUID, order: str, body: CommandCreate, act: ActDep
) -> rollout_history.History:
    """Pause, resume, promote or roll back."""
    api_keys.require(act.caller, Scope.OPERATE, act.caller.model_id)
    row = rollout_history.find(act.session, rollout_id)
    api_keys.require(act.caller, Scope.OPERATE, row.model_id)
    rollout_transitions.command(
        act.session, rollout_id, order, act.caller.name, body.reason, act.now
    )
    act.record(f"rollout.{order}", str(rollout_id), {"reason": body.reason})
    return rollout_history.rollout(act.session, rollout_id)


@router.get("/models/{model}/routing", response_class=Response)
def read_routing(
    entry: ServingModel,
    session: ReadDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Say who serves what share of new sessions; the entity tag is the epoch."""
    routing = rollout_transitions.routing_of(session, entry.name)
    headers = {"ETag": f'"{routing.epoch}"', "Cache-Control": "private, no-cache"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return JSONResponse(asdict(routing), headers=headers)


@router.put("/models/{model}/champion")
def put_champion(body: ChampionPut, entry: OperateModel, act: ActDep) -> dict[str, int]:
    """Let a version serve, by a person's choice; answers the new revision."""
    rev = make_champion(act.session, entry.model_id, body.version, body.expected_rev, act.now)
    act.record("champion.move", f"{entry.name}/{body.version}", {"rev": rev})
    return {"rev": rev}
