"""What one flush of a group of alerts sends to its channels, and when the next one is due."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from alerts.route import Receiver, Timers


class Notified(StrEnum):
    """Why a group is notified to a channel."""

    FIRST = "first"
    NEW_ALERTS = "new_alerts"
    NEW_RESOLVED = "new_resolved"
    ALL_RESOLVED = "all_resolved"
    ENDED = "ended"  # alerts fired and were resolved since the flush before
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An incident of a group: one alert, from when it fires until it is resolved.

    Attributes
    ----------
    number
        Order in which the incidents began.
    muted_until
        Until when it is silenced, or now where it is inhibited. Of one that is resolved: it
        was when it ended. None: it is not muted.
    notified_at
        When the first channel was notified of it.
    """

    id: UUID
    number: int
    severity: str
    is_firing: bool = True
    muted_until: datetime | None = None
    is_acknowledged: bool = False
    notified_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What one channel was notified of in one group.

    Attributes
    ----------
    firing
        Incidents of which it was notified that they fire, and of no resolution.
    resolved
        Those of whose resolution it was notified.
    elsewhere
        Those of which it is notified in another group.
    at
        When it was notified last.
    """

    firing: frozenset[UUID] = frozenset()
    resolved: frozenset[UUID] = frozenset()
    elsewhere: frozenset[UUID] = frozenset()
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A channel, with the severities that it accepts."""

    name: str
    severities: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notification of a group to one channel: its incidents, in the order they began.

    Attributes
    ----------
    is_firing
        Whether any alert of which the channel knows still fires.
    """

    channel: str
    why: Notified
    is_firing: bool
    firing: tuple[UUID, ...]
    resolved: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """What a flush sends, which incidents are done with, and when the next flush is due.

    Attributes
    ----------
    done
        They are resolved, and every channel that was notified that they fire is notified of it.
    next_at
        None where nothing fires.
    """

    notices: tuple[Notice, ...]
    done: frozenset[UUID]
    next_at: datetime | None


def flush(
    members: Sequence[Member],
    known: Mapping[str, Known],
    receiver: Receiver,
    targets: Iterable[Target],
    now: datetime,
) -> Flush:
    """Decide what a group sends now.

    Firing implies resolved: a channel that was notified that an alert fires is notified of
    its resolution, whatever mutes it by then and wherever its route leads.

    Parameters
    ----------
    members
        The incidents of the group.
    known
        By name of the channel: what it was notified of.
    receiver
        Of the route of the group.
    targets
        The channels that are enabled.
    now
        Wall time.
    """
    notices = []
    for target in targets:
        before = known.get(target.name, Known())
        due = [one for one in members if _concerns(one, before, receiver, target, now)]
        notice = _notice(target.name, due, before, receiver.timers.repeat_interval, now)
        notices += [notice] if notice is not None else []
    firing = [one for one in members if one.is_firing]
    return Flush(
        notices=tuple(notices),
        done=frozenset(one.id for one in members if not one.is_firing),
        next_at=min(_next(firing, receiver, now), default=None),
    )


def decide(
    known: Known,
    firing: frozenset[UUID],
    resolved: frozenset[UUID],
    ended: frozenset[UUID],
    repeat_after: datetime,
) -> Notified | None:
    """Decide why a channel is notified of a group, in the order of Alertmanager.

    Parameters
    ----------
    known
        What it was notified of.
    firing, resolved
        The incidents that it may know of, as they are.
    ended
        Incidents that began and ended before anyone was notified. Alertmanager drops them.
    repeat_after
        A notification before that is repeated.

    Examples
    --------
    >>> from datetime import UTC
    >>> from uuid import uuid4
    >>> a, none, noon = frozenset([uuid4()]), frozenset(), datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> str(decide(Known(), a, none, none, noon)), decide(Known(), none, a, none, noon)
    ('first', None)
    >>> str(decide(Known(firing=a, at=noon), none, a, none, noon))
    'all_resolved'
    """
    if known.at is None:
        if firing:
            return Notified.FIRST
    elif not firing <= known.firing:
        return Notified.NEW_ALERTS if known.firing else Notified.FIRST
    elif not firing and known.firing:
        return Notified.ALL_RESOLVED
    elif not resolved <= known.resolved:
        return Notified.NEW_RESOLVED
    if ended:
        return Notified.ENDED
    is_old = known.at is not None and known.at < repeat_after
    return Notified.REPEAT if is_old and firing else None


def next_flush(
    due: datetime | None, flushed: datetime | None, timers: Timers, now: datetime, *, page: bool
) -> datetime:
    """Return when a group is flushed after an alert of it has changed.

    Parameters
    ----------
    due
        When it is, so far.
    flushed
        When it was flushed last; None of a new group.
    timers
        Of its route.
    now
        Wall time.
    page
        A page fires: it is never delayed by more than `group_wait`.
    """
    at = now + timers.group_wait
    if flushed is not None and not page:
        at = max(at, flushed + timers.group_interval)
    return at if due is None else min(at, due)


def _concerns(
    member: Member, known: Known, receiver: Receiver, target: Target, now: datetime
) -> bool:
    """Return whether a channel is, or was, to be notified of an incident."""
    if member.id in known.firing or member.id in known.resolved:
        return True
    if member.id in known.elsewhere or member.severity not in target.severities:
        return False
    if receiver.channels is None or target.name in receiver.channels:
        return True
    at = _escalates_at(member, receiver)
    return target.name in receiver.escalate_to and at is not None and at <= now


def _escalates_at(member: Member, receiver: Receiver) -> datetime | None:
    """Return when further channels are notified of an alert that nobody acknowledges."""
    is_open = member.is_firing and not member.is_acknowledged and member.muted_until is None
    if receiver.escalate_after is None or member.notified_at is None or not is_open:
        return None
    return member.notified_at + receiver.escalate_after


def _notice(
    channel: str, members: Sequence[Member], known: Known, repeat: timedelta, now: datetime
) -> Notice | None:
    notified = known.firing | known.resolved
    # A mute neither resolves an alert that was notified nor notifies another one.
    firing = [
        one
        for one in members
        if one.is_firing and (one.muted_until is None or one.id in notified)
    ]
    resolved = [one for one in members if not one.is_firing and one.id in notified]
    ended = [
        one
        for one in members
        if not one.is_firing and one.muted_until is None and one.notified_at is None
    ]
    audible = [one for one in firing if one.muted_until is None]
    why = decide(
        known,
        frozenset(one.id for one in firing),
        frozenset(one.id for one in resolved),
        frozenset(one.id for one in ended),
        now - repeat,
    )
    if why is None:
        return None
    if why is Notified.REPEAT and all(one.is_acknowledged for one in audible):
        return None
    new = [one for one in resolved if one.id not in known.resolved]
    return Notice(
        channel=channel,
        why=why,
        is_firing=bool(firing),
        firing=_in_order(audible),
        resolved=_in_order([*new, *ended]),
    )


def _in_order(members: Iterable[Member]) -> tuple[UUID, ...]:
    return tuple(one.id for one in sorted(members, key=lambda one: one.number))


def _next(firing: Sequence[Member], receiver: Receiver, now: datetime) -> Iterable[datetime]:
    for member in firing:
        yield now + receiver.timers.group_interval
        if member.muted_until is not None and member.muted_until > now:
            yield member.muted_until
        # Of one that is notified by this very flush, `notified_at` is now.
        since = member.notified_at if member.notified_at is not None else now
        if receiver.escalate_after is not None and not member.is_acknowledged:
            at = since + receiver.escalate_after
            if at > now:
                yield at
