"""Channels over HTTP. A secret is shown once: when it is made."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.orm import Session

from api.server.body import Body
from api.server.dependencies import (
    ActDep,
    AdminDep,
    NowDep,
    PlatformDep,
    PreconditionDep,
    ReadDep,
    entity_tag,
)
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import created
from db.tables import Channel
from services.alerting import channels
from services.models import registry
from services.read_models.paging import Page

router = APIRouter(prefix="/v1/channels", tags=["channels"], route_class=JsonRoute)


class ChannelPut(Body):
    """Address, severities and secret of a channel."""

    url: str
    secret: SecretStr | None = None
    severities: list[str] = Field(default=["page", "ticket"], min_length=1)


class ChannelRead(BaseModel):
    """A channel, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    url: str
    severities: list[str]
    enabled: bool
    created_at: datetime


class ChannelMade(ChannelRead):
    """A channel, with the secret that receivers check its messages by."""

    secret: str | None = None


class AttemptRead(BaseModel):
    """What came of a test message."""

    message_id: UUID
    status: int | None
    error: str | None


@router.get("")
def list_channels(_: AdminDep, session: ReadDep, paging: PagingDep) -> Page[ChannelRead]:
    """List all channels, closed ones too, by name."""
    known = [ChannelRead.model_validate(channel) for channel in channels.every(session)]
    return paging.cut(known, lambda channel: channel.name)


@router.get("/{name}", response_model=ChannelRead)
def read_channel(name: str, _: AdminDep, session: ReadDep, answer: Response) -> Channel:
    """Describe one channel."""
    channel = channels.find(session, name)
    answer.headers["ETag"] = _tag(channel)
    return channel


@router.put("/{name}", responses=created(ChannelMade))
def put_channel(
    name: str,
    body: ChannelPut,
    answer: Response,
    _: AdminDep,
    act: ActDep,
    precondition: PreconditionDep,
) -> ChannelMade:
    """Add a channel, change it, or open it again; a secret is made when none is given."""
    registry.check_name("channel", name)
    precondition.check(lambda: _locked_tag(act.session, name))
    plan = channels.ChannelPlan(
        name=name,
        url=body.url,
        secret=body.secret.get_secret_value() if body.secret else None,
        severities=tuple(body.severities),
    )
    channel, is_new = channels.put(act.session, plan, act.now)
    act.record(
        "channel.add" if is_new else "channel.update", name, {"severities": body.severities}
    )
    answer.status_code = 201 if is_new else 200
    answer.headers["ETag"] = _tag(channel)
    made = ChannelMade.model_validate(ChannelRead.model_validate(channel).model_dump())
    made.secret = channel.secret if is_new and body.secret is None else None
    return made


@router.delete("/{name}", status_code=204, response_class=Response)
def close_channel(name: str, _: AdminDep, act: ActDep, precondition: PreconditionDep) -> None:
    """Send nothing more there."""
    precondition.check(lambda: _locked_tag(act.session, name))
    channels.close(act.session, name, act.now)
    act.record("channel.close", name)


def _tag(channel: Channel) -> str:
    return entity_tag(channel.url, channel.secret, channel.severities, channel.enabled)


def _locked_tag(session: Session, name: str) -> str:
    channel = channels.find(session, name)
    session.refresh(channel, with_for_update=True)
    return _tag(channel)


@router.post("/{name}/test")
def try_channel(name: str, _: AdminDep, parts: PlatformDep, now: NowDep) -> AttemptRead:
    """Send a test message at once."""
    message_id, answer = channels.attempt(parts.sessions, parts.sender, name, now)
    return AttemptRead(message_id=message_id, status=answer.status, error=answer.error)
