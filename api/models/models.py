"""Models over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field, HttpUrl
from sqlalchemy.orm import Session

from api.server.body import Body, ContractBody, PolicyBody
from api.server.dependencies import (
    ActDep,
    AdminModel,
    CallerDep,
    PlatformDep,
    PreconditionDep,
    ReadDep,
    ReadModel,
    entity_tag,
)
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import created
from core.errors import NotFound
from core.policy import Policy
from core.stored import from_attributes
from db.tables import Scope
from services.access import api_keys
from services.models import registry
from services.read_models import model_details
from services.read_models.paging import Page
from services.retention import deletion

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=JsonRoute)


class ModelPut(Body):
    """Contract, description and policy of a model.

    Attributes
    ----------
    group
        Name of the one group that the model is in; empty for none.
    owner, team, tier
        Labels of its alerts, for routes: who is responsible, and how critical it is.
    tags
        Names by which models are found; at most 20.
    """

    description: str = Field(default="", max_length=2000)
    runbook_url: HttpUrl | None = None
    group: str = ""
    tags: list[str] = Field(default=[], max_length=registry.MAX_TAGS)
    owner: str = Field(default="", max_length=100)
    team: str = Field(default="", max_length=100)
    tier: str = Field(default="", max_length=100)
    contract: ContractBody
    policy: PolicyBody = Policy()


def registration_of(model: str, body: ModelPut) -> registry.Registration:
    """Return the definition of a model."""
    return from_attributes(
        registry.Registration,
        body,
        name=model,
        runbook_url=str(body.runbook_url or ""),
        tags=tuple(body.tags),
    )


@router.put("/{model}", responses=created(model_details.ModelNow))
def put_model(
    model: str,
    body: ModelPut,
    answer: Response,
    parts: PlatformDep,
    act: ActDep,
    precondition: PreconditionDep,
) -> model_details.ModelNow:
    """Register a model, or change its contract, description, policy or labels."""
    try:
        parts.directory.reach(act.caller, Scope.OPERATE, model)
    except NotFound:
        api_keys.require(act.caller, Scope.OPERATE)
    precondition.check(lambda: _locked_tag(act.session, model))
    is_new = registry.register(act.session, registration_of(model, body), act.now)
    action = "model.register" if is_new else "model.update"
    act.record(action, model, body.model_dump(mode="json"))
    parts.directory.forget(model)
    answer.status_code = 201 if is_new else 200
    kept = parts.settings.summary_retention
    return _tagged(model_details.describe(act.session, model, kept), answer)


@router.get("")
def list_models(
    who: CallerDep,
    session: ReadDep,
    parts: PlatformDep,
    paging: PagingDep,
    tag: Annotated[str | None, Query(description="Only models with this tag.")] = None,
    group: Annotated[str | None, Query(description="Only models of this group.")] = None,
) -> Page[model_details.ModelNow]:
    """List the models that this key gives access to, by name."""
    names = paging.cut(model_details.names_for(session, who, tag, group))
    kept = parts.settings.summary_retention
    items = model_details.describe_all(session, names.items, kept)
    return Page(items=items, next_cursor=names.next_cursor)


@router.get("/{model}")
def read_model(
    entry: ReadModel, session: ReadDep, parts: PlatformDep, answer: Response
) -> model_details.ModelNow:
    """Describe one model; the entity tag changes with what was put, not with its state."""
    kept = parts.settings.summary_retention
    return _tagged(model_details.describe(session, entry.name, kept), answer)


@router.delete("/{model}", status_code=204, response_class=Response)
def delete_model(
    entry: AdminModel, parts: PlatformDep, act: ActDep, precondition: PreconditionDep
) -> None:
    """Delete a model with all its rows, versions, monitors, alerts and keys.

    Alerts that fire are resolved first. A worker removes the files; 409 while a rollout
    is open.
    """
    precondition.check(lambda: _locked_tag(act.session, entry.name))
    deletion.delete_model(act.session, entry.model_id, act.now)
    act.record("model.delete", entry.name, {"id": str(entry.model_id)})
    parts.directory.forget(entry.name)


def _tagged(model: model_details.ModelNow, answer: Response) -> model_details.ModelNow:
    answer.headers["ETag"] = _tag(model)
    return model


def _tag(model: model_details.ModelNow) -> str:
    declared = model.contract.to_json(), model.policy.to_json()
    labels = model.group, model.tags, model.owner, model.team, model.tier
    return entity_tag(model.description, model.runbook_url, *labels, *declared)


def _locked_tag(session: Session, name: str) -> str:
    registry.lock(session, name)
    return _tag(model_details.describe(session, name))
