"""Channels: create, disable, test."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.attributes import flag_modified

from alerts.message import Type, absolute, compose
from core.errors import NotFound, Unprocessable
from db.queries.queue import deliveries
from db.queries.unique import insert_unique
from db.session import read_only
from db.tables import Channel
from notify.channel import CHANNELS, Group, Sent
from notify.sender import Sender
from services.alerting import credentials

SEVERITIES = ("page", "ticket")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """Definition of a channel; a secret that `config` lacks is kept, or made by the kind."""

    name: str
    kind: str
    config: Mapping[str, object]
    severities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutChannel:
    """A channel, whether it is new, and the secret that its kind made; None where it is old."""

    channel: Channel
    is_new: bool
    secret: str | None


def put(session: Session, plan: ChannelPlan, now: datetime) -> PutChannel:
    """Make the channel be as stated, and open.

    Raises
    ------
    Unprocessable
        If there is no such kind, or the configuration or a severity is not one, naming it.
    """
    channel = session.scalar(select(Channel).where(Channel.name == plan.name))
    config = checked_config(plan, channel)
    is_new = channel is None
    if channel is None:
        channel = Channel(name=plan.name, kind=plan.kind, config={}, created_at=now)
    before = channel.config if channel.kind == plan.kind else {}
    channel.config = config
    channel.kind = plan.kind
    channel.severities = sorted({*plan.severities})
    channel.enabled = True
    flag_modified(channel, "config")  # one that was stored without a key is encrypted now
    if is_new:
        insert_unique(session, channel, f"concurrent creation of channel {plan.name}; retry")
    is_known = "secret" in {**before, **plan.config}
    secret = None if is_known else channel.config.get("secret")
    return PutChannel(channel=channel, is_new=is_new, secret=secret)


def checked_config(plan: ChannelPlan, channel: Channel | None) -> dict[str, Any]:
    """Return the configuration of a channel as it is to be stored.

    Parameters
    ----------
    plan
        The definition.
    channel
        The channel of that name, whose secrets are kept; None where there is none.

    Raises
    ------
    Unprocessable
        As `put`.
    """
    kind = CHANNELS.find(plan.kind)
    unknown = sorted({*plan.severities} - {*SEVERITIES})
    if unknown:
        raise Unprocessable(f"severities: {', '.join(unknown)}; known: {', '.join(SEVERITIES)}")
    before = channel.config if channel is not None and channel.kind == plan.kind else {}
    return kind.stored(plan.config, before)


def public_config(channel: Channel) -> dict[str, Any]:
    """Return the configuration without secrets; nothing of a kind that is unavailable."""
    kind = CHANNELS.get(channel.kind)
    return {} if kind is None else kind.public(channel.config)


def find(session: Session, name: str) -> Channel:
    """Return the channel of that name, or raise NotFound."""
    channel = session.scalar(select(Channel).where(Channel.name == name))
    if channel is None:
        raise NotFound(f"no channel {name!r}")
    return channel


def every(session: Session) -> list[Channel]:
    """Return all channels, closed ones too, by name."""
    return [*session.scalars(select(Channel).order_by(Channel.name))]


def locked(session: Session, names: Collection[str]) -> list[Channel]:
    """Return the channels that are named, which nobody else changes in this transaction."""
    named = select(Channel).where(Channel.name.in_(names)).order_by(Channel.name)
    return [*session.scalars(named.with_for_update(key_share=True))]


def close(session: Session, name: str, now: datetime) -> None:
    """Send nothing more to a channel; what was sent stays on record."""
    channel = find(session, name)
    channel.enabled = False
    deliveries.drop_open(session, channel.id, "the channel was closed", now)


def attempt(
    sessions: sessionmaker[Session], sender: Sender, name: str, now: datetime
) -> tuple[UUID, Sent]:
    """Send a test message at once, and return its id and what came of it."""
    with read_only(sessions) as session:
        channel = find(session, name)
        kind, config = channel.kind, channel.config
    message_id = uuid4()
    body = compose(Type.CHANNEL_TEST, now, "/alerts", {"channel": name})
    group = Group(id=str(message_id), at=now, bodies=(absolute(body, sender.public_url),))
    return message_id, credentials.send(kind, config, group, sender)
