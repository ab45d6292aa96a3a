"""Silences and maintenance windows: put, expire, list."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts import silence
from alerts.labels import Labels
from alerts.silence import SilenceState
from core.errors import NotFound, Unprocessable
from db.tables import Silence
from services.alerting import routes


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceNow:
    """A silence and its state.

    Attributes
    ----------
    name
        In the configuration; null of one that was made otherwise.
    """

    id: UUID
    name: str | None
    state: SilenceState
    silence: silence.Silence
    updated_at: datetime


def every(session: Session, now: datetime) -> list[SilenceNow]:
    """Return all silences, expired ones too: the newest first."""
    rows = session.scalars(select(Silence).order_by(Silence.ends_at.desc(), Silence.id))
    return [described(row, now) for row in rows]


def described(row: Silence, now: datetime) -> SilenceNow:
    """Return a silence as it is shown."""
    return SilenceNow(
        id=row.id,
        name=row.name,
        state=row.definition.state(now),
        silence=row.definition,
        updated_at=row.updated_at,
    )


def named(session: Session, names: Collection[str] | None = None) -> list[Silence]:
    """Return the silences of the configuration, or those that are named, which are locked."""
    query = select(Silence).where(Silence.name.is_not(None)).order_by(Silence.name)
    if names is not None:
        query = query.where(Silence.name.in_(names)).with_for_update()
    return [*session.scalars(query)]


def since(session: Session, moment: datetime) -> list[Silence]:
    """Return the silences that were not over at a moment."""
    return [*session.scalars(select(Silence).where(Silence.ends_at > moment))]


def find(session: Session, silence_id: UUID) -> Silence:
    """Return one silence, or raise NotFound."""
    found = session.get(Silence, silence_id)
    if found is None:
        raise NotFound(f"no silence {silence_id}")
    return found


def put(
    session: Session,
    definition: silence.Silence,
    now: datetime,
    before: Silence | None = None,
    name: str | None = None,
) -> Silence:
    """Add a silence, or change one.

    One that cannot be changed in place expires, and a new one takes its place.

    Parameters
    ----------
    session
        The open transaction.
    definition
        What it is.
    now
        Wall time.
    before
        The one that is changed.
    name
        In the configuration.

    Raises
    ------
    Unprocessable
        If its end is in the past.
    """
    if definition.ends_at < now:
        raise Unprocessable("ends_at is in the past")
    changed = None if before is None else silence.updated(before.definition, definition, now)
    if before is None or changed is None:
        if before is not None:
            before.name = None
            expire(session, before, now)
            session.flush()
        row = Silence(name=name, definition=definition)
        session.add(row)
    else:
        row = before
        row.definition = changed
    row.ends_at, row.updated_at = definition.ends_at, now
    session.flush()
    routes.flush_soon(session, now)
    return row


def expire(session: Session, row: Silence, now: datetime) -> None:
    """End a silence now: what it muted and still fires is notified."""
    row.definition = silence.expired(row.definition, now)
    row.ends_at, row.updated_at = row.definition.ends_at, now
    routes.flush_soon(session, now)


def expire_with(session: Session, incident_id: UUID, now: datetime) -> None:
    """End the silences that last until an incident is resolved."""
    for row in session.scalars(
        select(Silence).where(Silence.incident_id == incident_id, Silence.ends_at > now)
    ):
        expire(session, row, now)


def muting(rows: Collection[Silence], labels: Labels, at: datetime) -> list[Silence]:
    """Return the silences that mute an alert at a moment."""
    return [row for row in rows if row.definition.mutes_until(labels, at) is not None]
