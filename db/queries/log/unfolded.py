"""Entries of the inbox that wait for the fold, of many streams at once, and their numbers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias, cast
from uuid import UUID

from sqlalchemy import CursorResult, Row, bindparam, select, tuple_, update
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from db import dialect
from db.queries.log.positions import MAX_ENTRIES, Batch, EntriesGone, batch_of, batched
from db.tables import Inbox, Stream

Key: TypeAlias = tuple[UUID, Kind]  # of a stream

# Built once: they are executed with every fold.
_POSITIONS = (
    select(Stream.model_id, Stream.kind, Stream.folded)
    .where(tuple_(Stream.model_id, Stream.kind).in_(bindparam("streams", expanding=True)))
    .order_by(Stream.model_id, Stream.kind)
)
_LOCKED = _POSITIONS.with_for_update()
_UNFOLDED = (
    select(
        *(Inbox.model_id, Inbox.kind, Inbox.id, Inbox.n_rows, Inbox.n_bytes),
        *(Inbox.received_at, Inbox.group_no),
    )
    .where(
        tuple_(Inbox.model_id, Inbox.kind).in_(bindparam("streams", expanding=True)),
        Inbox.group_no.is_(None),
    )
    .order_by(Inbox.model_id, Inbox.kind, Inbox.id)
    .limit(bindparam("n"))
)
_ADVANCE = (
    update(Stream)
    .where(tuple_(Stream.model_id, Stream.kind).in_(bindparam("streams", expanding=True)))
    .values(folded=Stream.folded + 1)
    .execution_options(synchronize_session=False)
)
_NUMBER = (
    update(Inbox)
    .where(Inbox.id.in_(bindparam("ids", expanding=True)))
    .values(
        group_no=select(Stream.folded)
        .where(Stream.model_id == Inbox.model_id, Stream.kind == Inbox.kind)
        .scalar_subquery()
    )
    .execution_options(synchronize_session=False)
)


def folded(session: Session, streams: Collection[Key]) -> dict[Key, int]:
    """Return the last folded group of some streams; 0 of one without any."""
    found = session.connection().execute(_POSITIONS, {"streams": [*streams]})
    return dict.fromkeys(streams, 0) | {(model_id, kind): n for model_id, kind, n in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is folded in one go.

    Attributes
    ----------
    n_bytes, n_entries
        Of the first stream.
    n_bytes_together
        Of all, where there are several.
    """

    n_bytes: int
    n_bytes_together: int
    n_entries: int = MAX_ENTRIES


def unfolded(
    session: Session, streams: Collection[Key], bounds: Bounds
) -> dict[Key, Batch | None]:
    """Return the oldest entries that no fold has taken, of as many streams as fit.

    Returns
    -------
    dict
        None where none waits. Of the first stream with any at least one entry; of the
        others what it would be of each alone. Those that do not fit are absent.
    """
    given = {"streams": [*streams], "n": bounds.n_entries}
    rows = session.connection().execute(_UNFOLDED, given).all()
    is_whole = len(rows) < bounds.n_entries
    found: dict[Key, Batch | None] = dict.fromkeys(streams) if is_whole else {}
    size = 0
    for stream, each in groupby(rows, lambda row: (row.model_id, row.kind)):
        own = [*each]
        n_bytes = sum(row.n_bytes for row in own)
        is_first, is_cut = not size, not is_whole and own[-1] is rows[-1]
        size += n_bytes
        if is_first:
            found[stream] = batch_of(_up_to(own, bounds.n_bytes))
        elif is_cut or size > bounds.n_bytes_together:
            found.pop(stream, None)
        else:
            found[stream] = batch_of(own)
    return found


def _up_to(
    rows: Sequence[Row[*tuple[Any, ...]]], max_bytes: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    size, end = 0, 0
    for row in rows:
        size += row.n_bytes
        if end and size > max_bytes:
            break
        end += 1
    return rows[:end]


def number(
    session: Session, batches: Mapping[Key, Batch], last_seen: Mapping[Key, int]
) -> set[Key]:
    """Give entries the next group number of their streams, in the transaction that counts them.

    Parameters
    ----------
    session
        Session of a writing transaction.
    batches
        The entries, by stream.
    last_seen
        The last folded group of each stream when its batch was read.

    Returns
    -------
    set
        The streams whose entries were numbered: no other fold was faster.

    Raises
    ------
    EntriesGone
        If one of them was taken out of the inbox; the transaction must not be committed.
    """
    # Events and predictions are counted in the same rows of summaries.
    others = {(s[0], Kind.PREDICTIONS): n for s, n in last_seen.items() if s[1] is Kind.EVENTS}
    locked = others | {stream: last_seen[stream] for stream in batches}
    new = [
        {"model_id": model_id, "kind": kind, "folded": 0, "archived": 0, "n_rows_archived": 0}
        for model_id, kind in sorted(locked)
        if not locked[model_id, kind]
    ]
    if new:
        session.execute(dialect.insert(session, Stream).on_conflict_do_nothing(), new)
    # In one order, as `close` does: no two transactions wait for each other.
    rows = session.connection().execute(_LOCKED, {"streams": [*locked]})
    seen = {(row.model_id, row.kind): row.folded for row in rows}
    own = {stream for stream in batches if seen.get(stream) == last_seen[stream]}
    if not own:
        return own
    session.execute(_ADVANCE, {"streams": [*own]})
    for ids in batched(tuple(entry for stream in own for entry in batches[stream].ids)):
        numbered = session.execute(_NUMBER, {"ids": ids})
        if cast(CursorResult[None], numbered).rowcount != len(ids):
            raise EntriesGone
    return own
