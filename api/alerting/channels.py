"""Channels over HTTP. A secret is returned once: when it is created."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, SecretStr
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


Config: TypeAlias = dict[str, str | int | float | bool | list[str] | None]


class ChannelPut(Body):
    """Kind, configuration and severities of a channel.

    Attributes
    ----------
    kind
        As `webhook` or `pagerduty`, or that of a plug-in.
    config
        As the kind declares it. A secret that is left out is kept, or generated.
    url, secret
        Of a webhook: short for `config`.
    """

    kind: str = "webhook"
    config: Config = Field(default_factory=dict)
    url: str | None = None
    secret: SecretStr | None = None
    severities: list[str] = Field(default=["page", "ticket"], min_length=1)


def plan_of(name: str, body: ChannelPut) -> channels.ChannelPlan:
    """Return the definition of a channel."""
    short = {"url": body.url, "secret": body.secret and body.secret.get_secret_value()}
    config = {**body.config, **{key: one for key, one in short.items() if one is not None}}
    return channels.ChannelPlan(
        name=name, kind=body.kind, config=config, severities=tuple(body.severities)
    )


class ChannelRead(BaseModel):
    """A channel, without its secret.

    Attributes
    ----------
    config
        Without secrets; empty while the plug-in of the kind is unavailable.
    url
        Of a webhook.
    """

    name: str
    kind: str
    config: Config
    url: str | None
    severities: list[str]
    enabled: bool
    created_at: datetime


class ChannelMade(ChannelRead):
    """A channel, with the secret with which receivers verify its messages."""

    secret: str | None = None


class AttemptRead(BaseModel):
    """Result of a test message."""

    message_id: UUID
    status: int | None
    error: str | None


@router.get("")
def list_channels(_: AdminDep, session: ReadDep, paging: PagingDep) -> Page[ChannelRead]:
    """List all channels, closed ones too, by name."""
    known = [*map(_read, channels.every(session))]
    return paging.cut(known, lambda channel: channel.name)


@router.get("/{name}")
def read_channel(name: str, _: AdminDep, session: ReadDep, answer: Response) -> ChannelRead:
    """Describe one channel."""
    channel = channels.find(session, name)
    answer.headers["ETag"] = _tag(channel)
    return _read(channel)


@router.put("/{name}", responses=created(ChannelMade))
def put_channel(
    name: str,
    body: ChannelPut,
    answer: Response,
    _: AdminDep,
    act: ActDep,
    precondition: PreconditionDep,
) -> ChannelMade:
    """Add, change or reopen a channel; a secret is generated when none is given."""
    registry.check_name("channel", name)
    precondition.check(lambda: _locked_tag(act.session, name))
    put = channels.put(act.session, plan_of(name, body), act.now)
    act.record(
        "channel.add" if put.is_new else "channel.update", name, {"severities": body.severities}
    )
    answer.status_code = 201 if put.is_new else 200
    answer.headers["ETag"] = _tag(put.channel)
    return ChannelMade(**_read(put.channel).model_dump(), secret=put.secret)


@router.delete("/{name}", status_code=204, response_class=Response)
def close_channel(name: str, _: AdminDep, act: ActDep, precondition: PreconditionDep) -> None:
    """Close a channel: no further notification is sent to it."""
    precondition.check(lambda: _locked_tag(act.session, name))
    channels.close(act.session, name, act.now)
    act.record("channel.close", name)


def _read(channel: Channel) -> ChannelRead:
    config = channels.public_config(channel)
    return ChannelRead(
        name=channel.name,
        kind=channel.kind,
        config=config,
        url=config.get("url") if channel.kind == "webhook" else None,
        severities=channel.severities,
        enabled=channel.enabled,
        created_at=channel.created_at,
    )


def _tag(channel: Channel) -> str:
    return entity_tag(channel.kind, channel.config, channel.severities, channel.enabled)


def _locked_tag(session: Session, name: str) -> str:
    channel = channels.find(session, name)
    session.refresh(channel, with_for_update=True)
    return _tag(channel)


@router.post("/{name}/test")
def try_channel(name: str, _: AdminDep, parts: PlatformDep, now: NowDep) -> AttemptRead:
    """Send a test message at once."""
    message_id, sent = channels.attempt(parts.sessions, parts.sender, name, now)
    return AttemptRead(message_id=message_id, status=sent.status, error=sent.error)
