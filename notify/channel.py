"""Extension point for channels: what a kind declares, and its arguments.

A kind is one module that ends in `KIND = ChannelKind(...)`, registered in the entry point
group `seqwatch.channels` under its name. Those of `notify/kinds` are built in.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from core.errors import Unprocessable
from core.plugins import SECRET as SECRET  # as plug-ins import it
from core.plugins import C, Configured, Registry
from notify.notification import Notification, read
from notify.sender import Answer, Sender

GONE = 410

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

    @property
    def notifications(self) -> tuple[Notification, ...]:
        """The bodies, parsed."""
        return tuple(map(read, self.bodies))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The receiver has the notifications.

    Attributes
    ----------
    status
        That of HTTP, if any.
    again
        Send them again after this time, until there is a newer notification about the
        same alert: for a receiver that forgets an alert which is not repeated.
    """

    status: int | None = None
    again: timedelta | None = None
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
class Reject:
    """The receiver will never accept this notification; it may accept others."""

    error: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable:
    """The receiver accepts neither this notification nor any other."""

    error: str
    status: int | None = None


Sent: TypeAlias = Delivered | Retry | Reject | Disable


def sent(answer: Answer, *, rejected: Collection[int] = ()) -> Sent:
    """Return what the answer to a request over HTTP means for the delivery.

    2xx is success, 410 disables the channel, `rejected` are those with which the receiver
    refuses what was sent. Everything else is tried again: a receiver that is being rolled
    out answers 401 or 404 for a while, and the page must not be lost for that.
    """
    if answer.error is None:
        return Delivered(status=answer.status)
    if answer.status == GONE:
        return Disable(error=f"{answer.error}: gone", status=GONE)
    if answer.status in rejected:
        return Reject(error=answer.error, status=answer.status)
    return Retry(error=answer.error, status=answer.status, after=answer.retry_after)


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
    an exception of a plug-in, and a result of another type. No error holds a secret.
    """
    try:
        kind = CHANNELS.find(name)
        parsed = kind.parsed(config)
    except Unprocessable as error:
        return Retry(error=str(error))
    try:
        return _checked(kind.send(parsed, group, sender), kind, parsed)
    except Unprocessable as error:
        text = kind.redacted(str(error), parsed)
    except Exception as error:  # noqa: BLE001 - one channel must not stop the others
        text = kind.redacted(f"{type(error).__name__}: {error}", parsed)
        log.error("delivery %s failed: %s", group.id, text)  # noqa: TRY400 - the trace has secrets
    return Retry(error=text)


def _checked(found: object, kind: ChannelKind[Any], config: object) -> Sent:
    """Return a result whose fields have the types that are declared, without secrets.

    It is stored and shown.
    """
    if not isinstance(found, Sent):
        raise TypeError(f"{found!r} is neither Delivered nor Retry nor Reject nor Disable")
    fields: dict[str, Any] = msgspec.to_builtins(found)
    if fields["error"] is not None:
        fields["error"] = kind.redacted(str(fields["error"]), config)
    return msgspec.convert(fields, type(found))
