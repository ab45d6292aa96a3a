"""Extension point for channels: what a kind declares, and its arguments.

A kind is one module that ends in `KIND = ChannelKind(...)`, registered in the entry point
group `seqwatch.channels` under its name. `notify/webhook.py` is the built-in one.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from core.errors import Unprocessable
from core.plugins import SECRET as SECRET  # as plug-ins import it
from core.plugins import C, Configured, Registry
from notify.sender import Sender

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Notifications that are sent together; at present one.

    Attributes
    ----------
    id
        The same for every attempt, so that a receiver may drop a repeated one.
    at
        The time of this attempt.
    bodies
        JSON, as described in docs/events.md.
    """

    id: str
    at: datetime
    bodies: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The receiver has the notifications; `status` is that of HTTP, if any."""

    status: int | None = None
    error: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The attempt failed: try again by the schedule of `notify.retry`.

    Attributes
    ----------
    error
        Why, for the operator. Never a part of the receiver's response.
    status
        That of HTTP; None when there was no response.
    after
        What the receiver asked for.
    """

    error: str
    status: int | None = None
    after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable:
    """The receiver accepts neither this notification nor any other."""

    error: str
    status: int | None = None


Sent: TypeAlias = Delivered | Retry | Disable


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelKind(Configured[C]):
    """One kind of channel. A secret called `secret` that a default made is shown once.

    Attributes
    ----------
    send
        Makes one attempt, within the sender's time-out. Requests go through the sender, which
        checks addresses; what is raised is recorded, and tried again.
    """

    send: Callable[[C, Group, Sender], Sent]


CHANNELS = Registry[ChannelKind[Any]]("seqwatch.channels", "kind of channel", ChannelKind)


def send(name: str, config: Mapping[str, object], group: Group, sender: Sender) -> Sent:
    """Make one attempt through a channel of the kind `name`.

    Every failure is a result, none is raised: a kind that is unavailable,
    an exception of a plug-in, and a result of another type.
    """
    try:
        kind = CHANNELS.find(name)
        return _checked(kind.send(kind.parsed(config), group, sender))
    except Unprocessable as error:
        return Retry(error=str(error))
    except Exception as error:  # an unexpected error of one channel must not stop the others
        log.exception("delivery %s failed", group.id)
        return Retry(error=f"{type(error).__name__}: {error}")


def _checked(sent: object) -> Sent:
    """Return a result whose fields have the types that are declared: it is stored."""
    if not isinstance(sent, Sent):
        raise TypeError(f"{sent!r} is neither Delivered nor Retry nor Disable")
    return msgspec.convert(msgspec.to_builtins(sent), type(sent))
