"""Channels: create, disable, test."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.message import Type, compose
from core.errors import NotFound, Unprocessable
from db.queries.queue import deliveries
from db.queries.unique import insert_unique
from db.session import read_only
from db.tables import Channel
from notify.address import parse
from notify.signing import check_secret, new_secret
from notify.webhook import Answer, Sender

SEVERITIES = ("page", "ticket")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """Definition of a channel; without a secret it keeps or gets its own."""

    name: str
    url: str
    secret: str | None
    severities: tuple[str, ...]


def put(session: Session, plan: ChannelPlan, now: datetime) -> tuple[Channel, bool]:
    """Make the channel be as stated, and open; True when it is new.

    Raises
    ------
    Unprocessable
        If the URL, the secret or a severity is not one, naming it.
    """
    parse(plan.url)
    if plan.secret is not None:
        check_secret(plan.secret)
    unknown = sorted({*plan.severities} - {*SEVERITIES})
    if unknown:
        raise Unprocessable(f"severities: {', '.join(unknown)}; known: {', '.join(SEVERITIES)}")
    channel = session.scalar(select(Channel).where(Channel.name == plan.name))
    is_new = channel is None
    if channel is None:
        channel = Channel(name=plan.name, secret=new_secret(), created_at=now)
    channel.url = plan.url
    channel.secret = plan.secret or channel.secret
    channel.severities = sorted({*plan.severities})
    channel.enabled = True
    if is_new:
        insert_unique(session, channel, f"concurrent creation of channel {plan.name}; retry")
    return channel, is_new


def find(session: Session, name: str) -> Channel:
    """Return the channel of that name, or raise NotFound."""
    channel = session.scalar(select(Channel).where(Channel.name == name))
    if channel is None:
        raise NotFound(f"no channel {name!r}")
    return channel


def every(session: Session) -> list[Channel]:
    """Return all channels, closed ones too, by name."""
    return [*session.scalars(select(Channel).order_by(Channel.name))]


def close(session: Session, name: str, now: datetime) -> None:
    """Send nothing more to a channel; what was sent stays on record."""
    channel = find(session, name)
    channel.enabled = False
    deliveries.drop_open(session, channel.id, "the channel was closed", now)


def attempt(
    sessions: sessionmaker[Session], sender: Sender, name: str, now: datetime
) -> tuple[UUID, Answer]:
    """Send a test message at once, and return its id and what came of it."""
    with read_only(sessions) as session:
        channel = find(session, name)
        url, secret = channel.url, channel.secret
    message_id = uuid4()
    body = compose(Type.CHANNEL_TEST, now, "/alerts", {"channel": name})
    return message_id, sender.send(url, secret, str(message_id), body, now)
