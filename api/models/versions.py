"""Versions of a model and their weights over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import FileResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.models.models import VersionRead
from api.server.dependencies import (
    ActDep,
    OperateModel,
    PlatformDep,
    ReadDep,
    ReadModel,
    ServingModel,
)
from api.server.json_route import JsonRoute
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.window import Window
from db.queries import models
from db.tables import Version
from retrain.artifact_header import MAX_BYTES
from services.access.request_body import at_most, read_body
from services.models import artifacts, registry

router = APIRouter(
    prefix="/v1/models/{model}/versions", tags=["versions"], route_class=JsonRoute
)

ARTIFACT_TIMES = 10  # as long as another body may an artifact take to arrive


class VersionPut(BaseModel):
    """What somebody says about a version."""

    model_config = ConfigDict(extra="forbid")

    contract: dict[str, Any] | None = None
    manifest: dict[str, Any] = {}
    reference_start: AwareDatetime | None = None
    reference_end: AwareDatetime | None = None
    objective: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def reference(self) -> Window | None:
        """Return both ends of the reference, or neither."""
        if self.reference_start is None and self.reference_end is None:
            return None
        if self.reference_start is None or self.reference_end is None:
            raise Unprocessable("reference_start and reference_end belong together")
        if self.reference_end <= self.reference_start:
            raise Unprocessable("reference_end must be after reference_start")
        return Window(self.reference_start, self.reference_end)


@router.get("", response_model=list[VersionRead])
def list_versions(entry: ReadModel, session: ReadDep) -> list[Version]:
    """List a model's versions, oldest first."""
    return models.versions(session, entry.model_id)


@router.get("/{version}", response_model=VersionRead)
def read_version(version: str, entry: ReadModel, session: ReadDep) -> Version:
    """Describe one version."""
    return models.find_version(session, entry.model_id, version)


@router.put("/{version}", response_model=VersionRead)
def put_version(
    version: str,
    body: VersionPut,
    answer: Response,
    parts: PlatformDep,
    entry: OperateModel,
    act: ActDep,
) -> Version:
    """Add a version, or change its manifest or objective."""
    plan = registry.VersionPlan(
        name=version,
        contract=None if body.contract is None else Contract.from_json(body.contract),
        manifest=body.manifest,
        reference=body.reference(),
        objective=body.objective,
    )
    is_new = registry.plan_version(act.session, entry.model_id, plan, act.now)
    action = "version.add" if is_new else "version.update"
    act.record(action, f"{entry.name}/{version}", body.model_dump(mode="json"))
    parts.directory.forget(entry.name)
    answer.status_code = 201 if is_new else 200
    return models.find_version(act.session, entry.model_id, version)


async def artifact_bytes(request: Request, parts: PlatformDep, _: OperateModel) -> bytes:
    """Read a permitted caller's body, and no more of it than an artifact may have."""
    return await read_body(
        request.headers.get("content-length"),
        request.receive,
        at_most(MAX_BYTES),
        ARTIFACT_TIMES * parts.settings.body_time,
    )


@router.put("/{version}/artifact", response_model=VersionRead)
def put_artifact(
    version: str,
    content: Annotated[bytes, Depends(artifact_bytes)],
    parts: PlatformDep,
    entry: OperateModel,
    act: ActDep,
) -> Version:
    """Store a version's weights: safetensors, and nothing else."""
    # The file comes first, and no transaction is open while it is written: should the
    # rest fail, a file that nobody names does no harm.
    stored = artifacts.store(parts.settings.artifacts, entry.name, content)
    if artifacts.attach(act.session, entry.model_id, version, stored):
        act.record("artifact.store", f"{entry.name}/{version}", {"sha256": stored.sha256})
    return models.find_version(act.session, entry.model_id, version)


@router.get("/{version}/artifact", response_class=Response)
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
