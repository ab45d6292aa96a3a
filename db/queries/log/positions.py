"""Positions of fold and archive in the inbox, and dirty days.

A row of the inbox waits for the fold while it has no group number, and for
the archive while it has one. Group numbers of one stream are dense and
ascending, whatever the order in which the rows became visible.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Row, delete, exists, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.schema.rows import Kind
from db.queries import models, summaries
from db.queries.log import inbox
from db.queries.upsert import upsert
from db.tables import DirtyDay, Inbox, Model, Stream
from monitors.slo.serving import SERVING

MAX_ENTRIES = 2_000  # of the inbox, at one go; also bounds the parameters of a statement


class EntriesGone(RuntimeError):
    """Entries were taken out of the inbox while they were read: nothing is changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Entries of the inbox that are taken together.

    Attributes
    ----------
    oldest
        When the first of them was received.
    last_group
        The highest group number among them; None before the fold.
    """

    ids: tuple[int, ...]
    n_rows: int
    oldest: datetime
    last_group: int | None


def waiting(session: Session, *, folded: bool) -> list[tuple[UUID, Kind]]:
    """Return the streams with entries that wait for the archive, or else for the fold."""
    stage = Inbox.group_no.is_not(None) if folded else Inbox.group_no.is_(None)
    return [
        (model_id, kind)
        for model_id, kind in session.execute(
            select(Inbox.model_id, Inbox.kind).where(stage).distinct()
        )
    ]


def is_behind(model_id: UUID | InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Return whether rows of a model wait for fold or archive, or days for a join."""
    rows = exists().where(Inbox.model_id == model_id)
    days = exists().where(DirtyDay.model_id == model_id)
    return or_(rows, days)


def position(session: Session, model_id: UUID, kind: Kind) -> tuple[int, int]:
    """Return the last folded and the last archived group of a stream."""
    stream = session.get(Stream, (model_id, kind))
    return (stream.folded, stream.archived) if stream else (0, 0)


def locked(session: Session, model_id: UUID, kind: Kind) -> tuple[int, int]:
    """Return the position, which cannot move before the transaction ends."""
    # Written, not only read: SQLite has no lock of a row, but one of all writers.
    session.execute(
        update(Stream)
        .where(Stream.model_id == model_id, Stream.kind == kind)
        .values(folded=Stream.folded)
        .execution_options(synchronize_session=False)
    )
    return position(session, model_id, kind)


def has_archived(session: Session) -> bool:
    """Return whether the rows of any stream were archived."""
    return (
        session.scalar(select(Stream.model_id).where(Stream.archived > 0).limit(1)) is not None
    )


def up_to(session: Session, model_id: UUID, kind: Kind, last_group: int) -> Batch | None:
    """Return the folded entries of the inbox up to a group."""
    return batch_of(
        session.execute(
            select(Inbox.id, Inbox.n_rows, Inbox.n_bytes, Inbox.received_at, Inbox.group_no)
            .where(Inbox.model_id == model_id, Inbox.kind == kind, Inbox.group_no <= last_group)
            .order_by(Inbox.group_no, Inbox.id)
        ).all()
    )


def batch_of(rows: Sequence[Row[*tuple[Any, ...]]]) -> Batch | None:
    """Return some entries of the inbox as one batch; None of none."""
    if not rows:
        return None
    return Batch(
        ids=tuple(row.id for row in rows),
        n_rows=sum(row.n_rows for row in rows),
        oldest=min(row.received_at for row in rows),
        last_group=rows[-1].group_no,
    )


def payloads(session: Session, *batches: Batch) -> list[bytes]:
    """Return the content of entries, in their order.

    Raises
    ------
    KeyError, FileNotFoundError
        If another archiver was faster, and theirs have been removed.
    """
    found: dict[int, bytes] = {}
    wanted = tuple(entry for batch in batches for entry in batch.ids)
    for ids in batched(wanted):
        found |= inbox.contents(session, ids)
    return [found[entry] for entry in wanted]


def entries(
    session: Session, model_id: UUID, kind: Kind, group_no: int | None
) -> Sequence[Inbox]:
    """Return the entries of one group, or those that no fold has taken, oldest first."""
    is_own = Inbox.group_no == group_no if group_no else Inbox.group_no.is_(None)
    return session.scalars(
        select(Inbox)
        .where(Inbox.model_id == model_id, Inbox.kind == kind, is_own)
        .order_by(Inbox.id)
        .limit(MAX_ENTRIES)
    ).all()


def take_out(session: Session, entry_id: int, group_no: int | None) -> None:
    """Delete an entry of the inbox that has moved no further meanwhile.

    Raises
    ------
    EntriesGone
        If it has; the transaction must not be committed.
    """
    is_there = Inbox.group_no == group_no if group_no else Inbox.group_no.is_(None)
    gone = session.execute(
        delete(Inbox)
        .where(Inbox.id == entry_id, is_there)
        .execution_options(synchronize_session=False)
    )
    if cast(CursorResult[None], gone).rowcount != 1:
        raise EntriesGone


def batched(ids: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Cut ids into lots that fit into a statement."""
    for start in range(0, len(ids), MAX_ENTRIES):
        yield ids[start : start + MAX_ENTRIES]


def served_days(session: Session, model_id: UUID) -> tuple[date, date] | None:
    """Return the first and the last event day on which a prediction was served."""
    first = summaries.first(session, SERVING, model_id)
    watermark = session.scalar(select(Model.watermark).where(Model.id == model_id))
    if first is None or watermark is None:
        return None
    return first.date(), watermark.date()


def mark_dirty(session: Session, model_id: UUID, days: Iterable[date], rev: int) -> None:
    """Ask for joins of these days to be computed again, from state `rev` of the log on.

    Given are days of UTC, as the log has them; the joins are of days of local time.
    """
    days = models.zone_of(session.get_one(Model, model_id)).overlapping(days)
    mark_days(session, {model_id: dict.fromkeys(days, rev)})


def mark_days(session: Session, states: Mapping[UUID, Mapping[date, int]]) -> None:
    """Ask for joins of local days of some models, each from a state of the model's log on."""
    upsert(
        session,
        DirtyDay,
        [
            {"model_id": model_id, "day": day, "rev": rev}
            for model_id, of_model in states.items()
            for day, rev in of_model.items()
        ],
    )


def dirty_days(session: Session, model_id: UUID | None = None) -> list[tuple[UUID, date, int]]:
    """Return what must be joined again, oldest day first: model, day and mark."""
    query = select(DirtyDay.model_id, DirtyDay.day, DirtyDay.rev).order_by(DirtyDay.day)
    if model_id is not None:
        query = query.where(DirtyDay.model_id == model_id)
    return [(model, day, rev) for model, day, rev in session.execute(query)]


def clean(session: Session, model_id: UUID, day: date, rev: int) -> bool:
    """Take the mark off a day; False when the log has moved on since it was read."""
    gone = session.execute(
        delete(DirtyDay).where(
            DirtyDay.model_id == model_id, DirtyDay.day == day, DirtyDay.rev == rev
        )
    )
    return cast(CursorResult[None], gone).rowcount == 1
