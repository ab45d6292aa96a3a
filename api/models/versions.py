"""Versions of a model and their weights over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from api.server.body import Body, ContractBody, Stretch, as_stretches
from api.server.dependencies import (
    ActDep,
    OperateModel,
    PlatformDep,
    PreconditionDep,
    ReadDep,
    ReadModel,
    ServingModel,
    entity_tag,
)
from api.server.json_route import JsonRoute, artifact_of
from api.server.paging import PagingDep
from api.server.responses import NOT_MODIFIED, WEIGHTS, created
from core.stored import from_attributes
from services.models import artifacts, registry
from services.read_models.model_details import VersionNow, version_of, versions_of
from services.read_models.paging import Page
from services.retention import deletion

router = APIRouter(
    prefix="/v1/models/{model}/versions", tags=["versions"], route_class=JsonRoute
)


class VersionPut(Body):
    """Manifest, objective and reference of a version."""

    contract: ContractBody | None = None
    manifest: dict[str, Any] = Field(
        default_factory=dict, description="How it was made; `scaler.std`: the unit of errors."
    )
    reference: list[Stretch] = Field(
        default_factory=list, description="What it was trained on, in one or more stretches."
    )
    objective: float | None = Field(default=None, gt=0, allow_inf_nan=False)


@router.get("")
def list_versions(entry: ReadModel, session: ReadDep, paging: PagingDep) -> Page[VersionNow]:
    """List a model's versions, oldest first."""
    return paging.cut(versions_of(session, entry.model_id), lambda version: version.name)


@router.get("/{version}")
def read_version(
    version: str, entry: ReadModel, session: ReadDep, answer: Response
) -> VersionNow:
    """Describe one version; the entity tag changes with what was put, not with its weights."""
    return _tagged(version_of(session, entry.model_id, version), answer)


def as_read(
    version: str, entry: OperateModel, act: ActDep, precondition: PreconditionDep
) -> None:
    """Refuse to change a version that has changed since the caller read it."""

    def tag() -> str:
        registry.lock(act.session, entry.name)
        return _tag(version_of(act.session, entry.model_id, version))

    precondition.check(tag)


@router.put("/{version}", responses=created(VersionNow), dependencies=[Depends(as_read)])
def put_version(
    version: str,
    body: VersionPut,
    answer: Response,
    parts: PlatformDep,
    entry: OperateModel,
    act: ActDep,
) -> VersionNow:
    """Add a version, or change its manifest or objective."""
    plan = from_attributes(
        registry.VersionPlan, body, name=version, reference=as_stretches(body.reference)
    )
    is_new = registry.plan_version(act.session, entry.model_id, plan, act.now)
    action = "version.add" if is_new else "version.update"
    act.record(action, f"{entry.name}/{version}", body.model_dump(mode="json"))
    parts.directory.forget(entry.name)
    answer.status_code = 201 if is_new else 200
    return _tagged(version_of(act.session, entry.model_id, version), answer)


@router.delete(
    "/{version}", status_code=204, response_class=Response, dependencies=[Depends(as_read)]
)
def delete_version(version: str, entry: OperateModel, parts: PlatformDep, act: ActDep) -> None:
    """Delete a version and its weights; its predictions stay in the log.

    409 where it is the champion, takes part in an open rollout, or serves.
    """
    deletion.delete_version(act.session, entry.model_id, version, act.now)
    act.record("version.delete", f"{entry.name}/{version}")
    parts.directory.forget(entry.name)


def _tagged(version: VersionNow, answer: Response) -> VersionNow:
    answer.headers["ETag"] = _tag(version)
    return version


def _tag(version: VersionNow) -> str:
    stretches = [(one.start, one.end) for one in version.reference]
    return entity_tag(
        version.contract.to_json(), version.manifest, version.objective, stretches
    )


async def artifact_bytes(request: Request, parts: PlatformDep, _: OperateModel) -> bytes:
    """Read the body of an authorized caller, up to the largest size of an artifact."""
    return await artifact_of(request, parts.settings.body_time)


@router.put("/{version}/artifact", openapi_extra=WEIGHTS)
def put_artifact(
    version: str,
    content: Annotated[bytes, Depends(artifact_bytes)],
    parts: PlatformDep,
    entry: OperateModel,
    act: ActDep,
) -> VersionNow:
    """Store a version's weights: safetensors, and nothing else."""
    # The file is written first, without an open transaction: if the rest fails, the file
    # is referenced by no row.
    stored = artifacts.store(parts.settings.artifacts, entry.name, content)
    if artifacts.attach(act.session, entry.model_id, version, stored):
        act.record("artifact.store", f"{entry.name}/{version}", {"sha256": stored.sha256})
    return version_of(act.session, entry.model_id, version)


@router.get(
    "/{version}/artifact",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, **NOT_MODIFIED},
)
def read_artifact(
    version: str,
    parts: PlatformDep,
    entry: ServingModel,
    session: ReadDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Send a version's weights; the entity tag is their SHA-256."""
    root = parts.settings.artifacts
    stored = artifacts.locate(session, entry.model_id, entry.name, version, root)
    headers = {"ETag": f'"{stored.sha256}"', "Cache-Control": "private, no-cache"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(stored.path, media_type="application/octet-stream", headers=headers)
