"""Models over HTTP."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from api.server.dependencies import ActDep, CallerDep, PlatformDep, ReadDep, ReadModel
from api.server.json_route import JsonRoute
from core.errors import NotFound
from core.policy import Policy
from core.schema.contract import Contract
from db.tables import Scope
from services.access import api_keys
from services.models import registry
from services.read_models import model_details

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=JsonRoute)


class ModelPut(BaseModel):
    """What somebody says about a model."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(default="", max_length=2000)
    runbook_url: HttpUrl | None = None
    contract: dict[str, Any]
    policy: dict[str, Any] = {}


class ChampionRead(BaseModel):
    """Which version serves; `rev` is what the next change must expect."""

    model_config = ConfigDict(from_attributes=True)

    version: str
    rev: int
    since: datetime


class VersionRead(BaseModel):
    """One version of a model."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    contract: dict[str, Any]
    contract_digest: str
    sha256: str | None
    n_bytes: int | None
    manifest: dict[str, Any]
    reference_start: datetime | None
    reference_end: datetime | None
    objective: float | None
    created_at: datetime


class MonitorRead(BaseModel):
    """One monitor and where its alert stands."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    kind: str
    params: dict[str, Any]
    severity: str
    enabled: bool
    phase: str
    since: datetime | None


class SetAsideRead(BaseModel):
    """A stream whose rows cannot be processed at one stage, until `not_before` at least."""

    model_config = ConfigDict(from_attributes=True)

    stream: str
    stage: str
    item: str
    error: str
    since: datetime
    attempts: int
    not_before: datetime


class ModelRead(BaseModel):
    """One model, and where everything about it stands."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    description: str
    runbook_url: str
    contract: dict[str, Any]
    contract_digest: str
    policy: dict[str, Any]
    champion: ChampionRead | None
    watermark: datetime | None
    evaluated_until: datetime | None
    last_received_at: datetime | None
    backlog_rows: int
    backlog_bytes: int
    set_aside: list[SetAsideRead]
    open_rollout: UUID | None
    versions: list[VersionRead]
    monitors: list[MonitorRead]


@router.put("/{model}", response_model=ModelRead)
def put_model(
    model: str, body: ModelPut, answer: Response, parts: PlatformDep, act: ActDep
) -> model_details.Description:
    """Register a model, or change what is said about it."""
    try:
        parts.directory.reach(act.caller, Scope.OPERATE, model)
    except NotFound:
        api_keys.require(act.caller, Scope.OPERATE)
    registration = registry.Registration(
        name=model,
        contract=Contract.from_json(body.contract),
        description=body.description,
        runbook_url=str(body.runbook_url or ""),
        policy=Policy.from_json(body.policy),
    )
    is_new = registry.register(act.session, registration, act.now)
    action = "model.register" if is_new else "model.update"
    act.record(action, model, body.model_dump(mode="json"))
    parts.directory.forget(model)
    answer.status_code = 201 if is_new else 200
    return model_details.describe(act.session, model)


@router.get("", response_model=list[ModelRead])
def list_models(who: CallerDep, session: ReadDep) -> list[model_details.Description]:
    """List the models that this key reaches."""
    return [model_details.describe(session, name) for name in registry.names_for(session, who)]


@router.get("/{model}", response_model=ModelRead)
def read_model(entry: ReadModel, session: ReadDep) -> model_details.Description:
    """Describe one model."""
    return model_details.describe(session, entry.name)
