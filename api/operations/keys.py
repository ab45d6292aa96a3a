"""Keys over HTTP. A token is shown once: when it is made."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from api.server.dependencies import ActDep, AdminDep, PlatformDep, ReadDep
from api.server.json_route import JsonRoute
from core.limits import AS_INSTALLED, Limits
from db.tables import ApiKey, Scope
from services.access import api_keys
from services.models import registry

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=JsonRoute)


class KeyLimits(BaseModel):
    """What a key may send; see docs/limits.md."""

    model_config = ConfigDict(extra="forbid", strict=True)

    body_bytes: int | None = None
    rows: int | None = None
    rows_per_second: int | None = None
    burst_rows: int | None = None
    waiting_bytes: int | None = None


class KeyCreate(BaseModel):
    """A key to make; with a model, it reaches that one only.

    `limits` is what it may send, where that is less than the installation takes.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    scopes: list[Scope] = Field(min_length=1)
    model: str | None = None
    limits: KeyLimits | None = None


class KeyMade(BaseModel):
    """A fresh key. Its token cannot be read again."""

    name: str
    token: str


class KeyRead(BaseModel):
    """A key, without its token."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    scopes: list[Scope]
    model_id: UUID | None
    limits: dict[str, Any]
    created_at: datetime
    revoked_at: datetime | None


@router.get("", response_model=list[KeyRead])
def list_keys(_: AdminDep, session: ReadDep) -> list[ApiKey]:
    """List all keys, revoked ones too."""
    return api_keys.keys(session)


@router.post("", status_code=201)
def create_key(body: KeyCreate, _: AdminDep, parts: PlatformDep, act: ActDep) -> KeyMade:
    """Make a key."""
    registry.check_name("key", body.name)
    model_id = parts.directory.find(body.model).model_id if body.model else None
    limits = Limits(**body.limits.model_dump()) if body.limits else AS_INSTALLED
    token = api_keys.create_key(act.session, body.name, body.scopes, model_id, act.now, limits)
    act.record("key.create", body.name, body.model_dump(mode="json"))
    return KeyMade(name=body.name, token=token)


@router.delete("/{name}", status_code=204, response_class=Response)
def revoke_key(name: str, _: AdminDep, act: ActDep) -> None:
    """Close a key for good; doors notice within seconds."""
    api_keys.revoke_key(act.session, name, act.now)
    act.record("key.revoke", name)
