"""Dispatcher: notifies groups of alerts that are due. The outbox sends what it writes.

A flush is one transaction: it takes the group, decides by `alerts.dispatch`, and writes the
deliveries with what each channel was notified of. Replicas may all dispatch: the number of a
flush is taken once, and a delivery is unique by channel, group and flush.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid5

from sqlalchemy import CursorResult, Select, delete, exists, or_, select, update
from sqlalchemy.orm import Session, sessionmaker

from alerts import route
from alerts.dispatch import Flush, Known, Member, Notice, Target, flush
from alerts.message import MOST_ALERTS, Type, compose_group
from alerts.route import VERSION
from db.queries import publication
from db.queries.queue import deliveries
from db.session import read_only, unit_of_work
from db.tables import (
    AlertGroup,
    Channel,
    FlipRow,
    GroupMember,
    Incident,
    NotifiedIncident,
    Silence,
)
from services.alerting import contents, routes, silences

SKEW = timedelta(minutes=1)


def flush_all(sessions: sessionmaker[Session], now: datetime) -> int:
    """Flush the groups that are due, each in its transaction; return how many were."""
    with read_only(sessions) as session:
        due = [*session.execute(_due(session, now))]
    n_flushed = 0
    for group_id, number in due:
        with unit_of_work(sessions) as session:
            n_flushed += flush_group(session, group_id, number, now)
    return n_flushed


def flush_due(session: Session, now: datetime) -> None:
    """Flush the groups that are due, in a transaction that is open."""
    session.flush()
    for group_id, number in [*session.execute(_due(session, now))]:
        flush_group(session, group_id, number, now)


def _due(session: Session, now: datetime) -> Select[UUID, int]:
    at = AlertGroup.next_flush_at
    timers = [one.timers for one in route.receivers(routes.every(session)).values()]
    longest = max(max(one.group_wait, one.group_interval) for one in timers)
    return (
        select(AlertGroup.id, AlertGroup.flush_no)
        # One further ahead was written before the clock was set back.
        .where(or_(at <= now, at > now + longest + SKEW))
        .order_by(at)
    )


def flush_group(session: Session, group_id: UUID, number: int, now: datetime) -> bool:
    """Notify of a group; False when another replica has made this flush."""
    # load
    taken = session.execute(
        update(AlertGroup)
        .where(AlertGroup.id == group_id, AlertGroup.flush_no == number)
        .values(flush_no=number + 1, flushed_at=now)
        .execution_options(synchronize_session=False)
    )
    if cast(CursorResult[None], taken).rowcount != 1:
        return False
    loaded = _load(session, group_id, now)

    # decide
    decided = flush(
        loaded.members,
        loaded.known,
        loaded.receiver,
        [
            Target(name=name, severities=frozenset(channel.severities))
            for name, channel in loaded.channels.items()
        ],
        now,
    )

    # save
    for notice in decided.notices:
        _notify(session, loaded, notice, now)
    _finish(session, loaded, decided, now)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A group as a flush finds it.

    Its incidents by id, in the order they began; channels and what they know, by name.
    """

    group: AlertGroup
    incidents: dict[UUID, Incident]
    members: list[Member]
    known: dict[str, Known]
    receiver: route.Receiver
    channels: dict[str, Channel]


def _load(session: Session, group_id: UUID, now: datetime) -> _Loaded:
    group = session.get_one(AlertGroup, group_id, populate_existing=True)
    found = session.execute(
        select(Incident, FlipRow.at)
        .join(GroupMember, GroupMember.incident_id == Incident.id)
        .outerjoin(FlipRow, FlipRow.id == Incident.fired_id)
        .where(GroupMember.group_id == group_id)
        .order_by(FlipRow.at, Incident.detected_at)
        .execution_options(populate_existing=True)
    )
    incidents = {incident.id: incident for incident, _ in found}
    ended = [one.resolved_at for one in incidents.values() if one.resolved_at is not None]
    muting = silences.since(session, min([now, *ended]))
    enabled = select(Channel).where(Channel.enabled).order_by(Channel.name)
    channels = {channel.name: channel for channel in session.scalars(enabled)}
    receivers = route.receivers(routes.every(session))
    return _Loaded(
        group=group,
        incidents=incidents,
        members=[
            _member(incident, number, muting, now)
            for number, incident in enumerate(incidents.values())
        ],
        known=_known(session, group_id, incidents, channels),
        receiver=receivers.get(group.route, route.ROOT),
        channels=channels,
    )


def _member(
    incident: Incident, number: int, muting: Sequence[Silence], now: datetime
) -> Member:
    at = now if incident.resolved_at is None else incident.resolved_at
    ends = [one.definition.mutes_until(incident.labels, at) for one in muting]
    until = max((end for end in ends if end is not None), default=None)
    if until is None and incident.inhibited_by is not None:
        until = at
    return Member(
        id=incident.id,
        number=number,
        severity=incident.severity,
        is_firing=incident.resolved_at is None,
        muted_until=until,
        is_acknowledged=incident.acknowledged_at is not None,
        notified_at=incident.notified_at,
    )


def _known(
    session: Session,
    group_id: UUID,
    incident_ids: Iterable[UUID],
    channels: dict[str, Channel],
) -> dict[str, Known]:
    names = {channel.id: name for name, channel in channels.items()}
    rows = defaultdict[str, list[NotifiedIncident]](list)
    for row in session.scalars(
        select(NotifiedIncident)
        .where(NotifiedIncident.incident_id.in_([*incident_ids]))
        .execution_options(populate_existing=True)
    ):
        if row.channel_id in names:
            rows[names[row.channel_id]].append(row)
    found = {}
    for name, known in rows.items():
        ours = [row for row in known if row.group_id == group_id]
        found[name] = Known(
            firing=frozenset(row.incident_id for row in ours if row.resolved_at is None),
            resolved=frozenset(row.incident_id for row in ours if row.resolved_at is not None),
            elsewhere=frozenset(row.incident_id for row in known if row.group_id != group_id),
            at=max((row.last_at for row in ours), default=None),
        )
    return found


def _notify(session: Session, loaded: _Loaded, notice: Notice, now: datetime) -> None:
    """Write the deliveries of a notice, and what the channel knows from now on."""
    channel, group = loaded.channels[notice.channel], loaded.group
    chosen = {*notice.resolved, *notice.firing}
    ids = [one for one in loaded.incidents if one in chosen]
    labels = {name: value for name, value in group.labels.items() if name != VERSION}
    for part in range(0, len(ids), MOST_ALERTS):
        some = [loaded.incidents[one] for one in ids[part : part + MOST_ALERTS]]
        shown = contents.of(session, some)
        body = compose_group(
            group.key, notice.why.value, now, shown, is_firing=notice.is_firing
        )
        message = deliveries.GroupMessage(
            channel=channel,
            cause_id=uuid5(group.id, f"{group.flush_no}.{part}"),
            subject=f"group:{sorted(labels.items())}",
            flip_id=some[0].ended_id or some[0].fired_id,
            type=Type.ALERT_FIRING if notice.is_firing else Type.ALERT_RESOLVED,
            body=body,
        )
        deliveries.add_for_group(session, message, now)
    for one in ids:
        _remember(session, channel, loaded.incidents[one], group, now)
    session.execute(
        update(NotifiedIncident)
        .where(NotifiedIncident.channel_id == channel.id, NotifiedIncident.group_id == group.id)
        .values(last_at=now)
        .execution_options(synchronize_session=False)
    )


def _remember(
    session: Session, channel: Channel, incident: Incident, group: AlertGroup, now: datetime
) -> None:
    row = session.get(NotifiedIncident, (channel.id, incident.id))
    if row is None:
        row = NotifiedIncident(
            channel_id=channel.id,
            incident_id=incident.id,
            group_id=group.id,
            firing_at=now,
            last_at=now,
        )
        session.add(row)
    if incident.resolved_at is not None:
        row.resolved_at = now
    session.flush()
    if incident.notified_at is None:
        incident.notified_at = now
        _note(session, incident.fired_id, now)
    if incident.resolved_at is not None:
        _note(session, incident.ended_id, now)


def _note(session: Session, flip_id: UUID | None, now: datetime) -> None:
    flip = None if flip_id is None else session.get(FlipRow, flip_id)
    if flip is not None and flip.notified_at is None:
        flip.inhibited, flip.notified_at = False, now
        publication.wait(flip)


def _finish(session: Session, loaded: _Loaded, decided: Flush, now: datetime) -> None:
    """Leave out the incidents that are done with, and the group when none is left."""
    session.flush()
    done = [*decided.done]
    group_id = loaded.group.id
    if done:
        session.execute(
            delete(GroupMember)
            .where(GroupMember.group_id == group_id, GroupMember.incident_id.in_(done))
            .execution_options(synchronize_session=False)
        )
        session.execute(
            delete(NotifiedIncident)
            .where(
                NotifiedIncident.incident_id.in_(done),
                ~exists().where(GroupMember.incident_id == NotifiedIncident.incident_id),
            )
            .execution_options(synchronize_session=False)
        )
    if decided.next_at is None:
        session.expunge(loaded.group)
        session.execute(
            delete(AlertGroup)
            .where(AlertGroup.id == group_id)
            .execution_options(synchronize_session=False)
        )
    else:
        loaded.group.next_flush_at = decided.next_at
