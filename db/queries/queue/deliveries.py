"""Outbox: a notification is stored with its cause, and delivered later."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, and_, exists, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from alerts.message import Type, compose, moment
from alerts.state import Flip
from db.queries.queue import leases, repeated
from db.queries.queue.leases import is_due
from db.tables import (
    Channel,
    Delivery,
    FlipRow,
    Model,
    PlatformAlert,
    Rollout,
    RolloutEvent,
    Version,
)

# What happens to a rollout is for people in working hours: nothing has to be done at once.
ROLLOUT_SEVERITY = "ticket"
# Of faults of the platform: nothing is monitored while they last.
PLATFORM_SEVERITY = "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Longest:
    """The longest delays there are: what is further ahead was written by another clock.

    Attributes
    ----------
    lease
        Of one attempt.
    delays
        After the first failed attempt, after the second, and so on.
    """

    lease: timedelta
    delays: Sequence[timedelta]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claimed delivery, valid until the lease ends, with its channel."""

    seq: int
    fence: int
    attempts: int
    message_id: UUID
    body: bytes
    channel_id: UUID
    channel: str
    kind: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMessage:
    """A notification of a group of alerts.

    Attributes
    ----------
    channel
        Who is notified.
    cause_id
        Of one flush of the group: a channel is notified of it once.
    subject
        Messages about it leave in order.
    flip_id
        Of its first alert.
    """

    channel: Channel
    cause_id: UUID
    subject: str
    flip_id: UUID | None
    type: Type
    body: bytes


def add_for_group(session: Session, message: GroupMessage, now: datetime) -> None:
    """Add the notification of a group to the outbox, in the transaction of its flush."""
    session.add(
        Delivery(
            channel_id=message.channel.id,
            cause_id=message.cause_id,
            flip_id=message.flip_id,
            subject=message.subject,
            type=message.type.value,
            body=message.body,
            created_at=now,
            not_before=now,
        )
    )


def add_for_rollout_event(session: Session, event: RolloutEvent, now: datetime) -> None:
    """Add the notifications of an event of a rollout, in the transaction of the event."""
    rollout = session.get_one(Rollout, event.rollout_id)
    model = session.get_one(Model, rollout.model_id)
    is_step = event.event == "step_up"
    kind = Type.ROLLOUT_STEPPED_UP if is_step else Type(f"rollout.{event.phase.value}")
    content = {
        "model": model.name,
        "rollout": str(rollout.id),
        "phase": event.phase.value,
        "event": event.event,
        "severity": ROLLOUT_SEVERITY,
        "cause": event.cause,
        "reason": rollout.reason,
        "champion": _version_name(session, rollout.base_id),
        "challenger": _version_name(session, rollout.challenger_id),
        "since": moment(event.at),
        "runbook_url": model.runbook_url or None,
    }
    body = compose(kind, event.recorded_at, f"/rollouts/{rollout.id}", content)
    message = _Message(kind, f"rollout:{rollout.id}", event.id, body)
    _add(session, wanting(session, ROLLOUT_SEVERITY), message, now)


def add_for_platform_alert(session: Session, alert: PlatformAlert, now: datetime) -> None:
    """Notify of a fault of the platform; of its end, those who were notified of the fault."""
    model = session.get(Model, alert.model_id) if alert.model_id else None
    content = {
        "kind": alert.kind.value,
        "subject": alert.subject,
        "model": model and model.name,
        "severity": PLATFORM_SEVERITY,
        "cause": alert.cause,
        "since": moment(alert.since),
        "runbook_url": (model and model.runbook_url) or None,
    }
    if alert.resolved_at is None:
        kind, cause_id, channels = (
            Type.PLATFORM_FIRING,
            alert.id,
            wanting(session, PLATFORM_SEVERITY),
        )
    else:
        kind, cause_id = Type.PLATFORM_RESOLVED, alert.resolution_id
        channels = _notified_of(session, alert.id)
    body = compose(kind, now, f"/models/{model.name}" if model else "/alerts", content)
    _add(session, channels, _Message(kind, f"platform:{alert.id}", cause_id, body), now)


def disable(
    session: Session, channel_id: UUID, cause_id: UUID, reason: str, now: datetime
) -> None:
    """Disable a channel whose receiver wants nothing more, and notify the others."""
    channel = session.get_one(Channel, channel_id)
    channel.enabled = False
    drop_open(session, channel_id, reason, now)
    content = {"channel": channel.name, "severity": ROLLOUT_SEVERITY, "cause": reason}
    body = compose(Type.CHANNEL_DISABLED, now, "/alerts", content)
    message = _Message(Type.CHANNEL_DISABLED, f"channel:{channel_id}", cause_id, body)
    others = [one for one in wanting(session, ROLLOUT_SEVERITY) if one.id != channel_id]
    _add(session, others, message, now)


def drop_open(session: Session, channel_id: UUID, reason: str, now: datetime) -> None:
    """Finish what has not left for a channel, undelivered."""
    session.execute(
        update(Delivery)
        .where(Delivery.channel_id == channel_id, Delivery.finished_at.is_(None))
        .values(finished_at=now, lease_until=None, last_error=reason, fence=Delivery.fence + 1)
    )


def wanting(session: Session, severity: str) -> list[Channel]:
    """Return the enabled channels that want messages of this severity, by name."""
    enabled = session.scalars(select(Channel).where(Channel.enabled).order_by(Channel.name))
    return [channel for channel in enabled if severity in channel.severities]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery that may be attempted; `place` counts from 1, the channel's oldest first."""

    seq: int
    channel_id: UUID
    place: int


def due(
    session: Session,
    longest: Longest,
    now: datetime,
    per_channel: int,
    skip: Collection[UUID] = (),
) -> list[Due]:
    """Return the deliveries that may be attempted now, so many of each channel.

    Parameters
    ----------
    session
        The open transaction.
    longest
        No lease and no delay lies further ahead: the clock was set back.
    now
        Wall time.
    per_channel
        How many of each channel, the oldest first; at most one per subject.
    skip
        Channels that are left out.
    """
    place = func.row_number().over(partition_by=Delivery.channel_id, order_by=Delivery.seq)
    ranked = (
        select(Delivery.seq, Delivery.channel_id, place.label("place"))
        .where(_is_due(longest, now), Delivery.channel_id.not_in(skip))
        .subquery()
    )
    rows = session.execute(select(ranked).where(ranked.c.place <= per_channel))
    return [Due(seq=seq, channel_id=channel, place=n) for seq, channel, n in rows]


def claim(session: Session, seq: int, longest: Longest, now: datetime) -> Claim | None:
    """Take one delivery for a while; None when another worker was faster.

    The lease of a worker that died ends and the delivery is taken again. Hence
    at-least-once, and hence a message id that stays the same.
    """
    row = (Delivery.seq == seq) & _is_due(longest, now)
    if not leases.take(session, Delivery, row, now + longest.lease):
        return None
    delivery, channel = session.execute(
        select(Delivery, Channel)
        .join(Channel, Channel.id == Delivery.channel_id)
        .where(Delivery.seq == seq)
    ).one()
    return Claim(
        seq=seq,
        fence=delivery.fence,
        attempts=delivery.attempts,
        message_id=delivery.id,
        body=delivery.body,
        channel_id=channel.id,
        channel=channel.name,
        kind=channel.kind,
        config=channel.config,
    )


def settle(session: Session, claim: Claim, values: Mapping[str, Any]) -> bool:
    """Store the result of an attempt; False when the claim is no longer ours."""
    row = Delivery.seq == claim.seq
    return leases.write(session, Delivery, row, claim.fence, lease_until=None, **values)


def bring_forward(session: Session, channel_id: UUID, now: datetime) -> None:
    """Make one delivery of the channel due that waits after a failure: of the fewest attempts.

    A message that a receiver always refuses has the most attempts and holds no other back.
    """
    waiting = (
        select(Delivery.seq)
        .where(
            Delivery.channel_id == channel_id,
            Delivery.finished_at.is_(None),
            Delivery.lease_until.is_(None),
            Delivery.attempts > 0,
            Delivery.not_before > now,
        )
        .order_by(Delivery.attempts, Delivery.seq)
        .limit(1)
        .scalar_subquery()
    )
    session.execute(
        update(Delivery)
        .where(Delivery.seq == waiting, Delivery.lease_until.is_(None))
        .values(not_before=now)
        .execution_options(synchronize_session=False)
    )


def _is_due(longest: Longest, now: datetime) -> ColumnElement[bool]:
    earlier, newer = aliased(Delivery), aliased(Delivery)
    is_under_way = earlier.lease_until.is_not(None) & ~is_due(
        earlier.lease_until, now, longest.lease
    )
    return and_(
        Delivery.finished_at.is_(None),
        # One that is repeated ends with the next about its subject.
        or_(
            Delivery.delivered.is_(False),
            ~exists().where(repeated.follows(newer), newer.finished_at.is_(None)),
        ),
        # The first attempt is due at once; each further one has its own longest delay.
        or_(
            (Delivery.attempts == 0) & Delivery.delivered.is_(False),
            (Delivery.attempts == 0) & is_due(Delivery.not_before, now, repeated.LONGEST),
            Delivery.not_before <= now,
            *(
                and_(Delivery.attempts == n, is_due(Delivery.not_before, now, delay))
                for n, delay in enumerate(longest.delays, start=1)
            ),
        ),
        is_due(Delivery.lease_until, now, longest.lease),
        # A resolution never overtakes its alert.
        ~exists().where(
            earlier.channel_id == Delivery.channel_id,
            earlier.subject == Delivery.subject,
            earlier.finished_at.is_(None),
            or_(earlier.delivered.is_(False), is_under_way),
            earlier.seq < Delivery.seq,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Message:
    kind: Type
    subject: str
    cause_id: UUID
    body: bytes


def _add(
    session: Session, channels: Iterable[Channel], message: _Message, now: datetime
) -> None:
    for channel in channels:
        session.add(
            Delivery(
                channel_id=channel.id,
                cause_id=message.cause_id,
                subject=message.subject,
                type=message.kind.value,
                body=message.body,
                created_at=now,
                not_before=now,
            )
        )


def last_fired(session: Session, alert_id: UUID) -> FlipRow | None:
    """Return when an alert fired last, in event time: the wall clock may have been set back."""
    return session.scalar(select(FlipRow).where(FlipRow.id == newest_fired(alert_id)))


def newest_fired(alert_id: UUID | InstrumentedAttribute[UUID]) -> ScalarSelect[UUID]:
    """Select the id of that flip, of an alert or of each alert of an outer statement."""
    flip = aliased(FlipRow)
    return (
        select(flip.id)
        .where(flip.alert_id == alert_id, flip.flip == Flip.FIRED)
        .order_by(flip.at.desc())
        .limit(1)
        .scalar_subquery()
    )


def _notified_of(session: Session, cause_id: UUID) -> list[Channel]:
    return [
        *session.scalars(
            select(Channel)
            .join(Delivery, Delivery.channel_id == Channel.id)
            .where(Delivery.cause_id == cause_id, Channel.enabled)
            .order_by(Channel.name)
        )
    ]


def _version_name(session: Session, version_id: UUID | None) -> str | None:
    return None if version_id is None else session.get_one(Version, version_id).name
