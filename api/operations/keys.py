"""Keys over HTTP. A token is returned once: when it is created."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from api.server.body import LimitsBody
from api.server.dependencies import ActDep, AdminDep, PlatformDep, ReadDep
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from core.limits import AS_INSTALLED, Limits
from db.tables import Scope
from services.access import api_keys
from services.models import registry
from services.read_models.paging import Page

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=JsonRoute)


class KeyCreate(BaseModel):
    """A key to create; with a model, it gives access to that model only.

    `limits` is what it may send, where that is less than the installation allows.
    """

    name: str
    scopes: list[Scope] = Field(min_length=1)
    model: str | None = None
    limits: LimitsBody = AS_INSTALLED


class KeyMade(BaseModel):
    """A new key. Its token cannot be read again."""

    name: str
    token: str


class KeyRead(BaseModel):
    """A key, without its token."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    scopes: list[Scope]
    model_id: UUID | None
    limits: Limits
    created_at: datetime
    revoked_at: datetime | None


@router.get("")
def list_keys(_: AdminDep, session: ReadDep, paging: PagingDep) -> Page[KeyRead]:
    """List all keys, revoked ones too, by name."""
    keys = [KeyRead.model_validate(key) for key in api_keys.keys(session)]
    return paging.cut(keys, lambda key: key.name)


@router.post("", status_code=201, responses={404: {"description": "There is no such model."}})
def create_key(body: KeyCreate, _: AdminDep, parts: PlatformDep, act: ActDep) -> KeyMade:
    """Create a key."""
    registry.check_name("key", body.name)
    model_id = parts.directory.find(body.model).model_id if body.model else None
    token = api_keys.create_key(
        act.session, body.name, body.scopes, model_id, act.now, body.limits
    )
    act.record("key.create", body.name, body.model_dump(mode="json"))
    return KeyMade(name=body.name, token=token)


@router.delete("/{name}", status_code=204, response_class=Response)
def revoke_key(name: str, _: AdminDep, act: ActDep) -> None:
    """Revoke a key permanently; it may be accepted for some seconds more."""
    api_keys.revoke_key(act.session, name, act.now)
    act.record("key.revoke", name)
