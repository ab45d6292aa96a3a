"""Folded groups that wait for the archive, of many streams at once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from db.base import Base
from db.queries.log.positions import MAX_ENTRIES, Batch, batch_of, batched
from db.queries.log.unfolded import Key
from db.tables import Inbox, Stream

# Built once: they are executed with every archive.
_KEY = Inbox.model_id, Inbox.kind
_WAITING = (
    select(*_KEY, func.sum(Inbox.n_bytes))
    .where(Inbox.group_no.is_not(None))
    .group_by(*_KEY)
    .having(
        or_(
            func.min(Inbox.received_at) <= bindparam("since"),
            func.max(Inbox.received_at) > bindparam("now"),
            func.sum(Inbox.n_bytes) >= bindparam("enough"),
        )
    )
)
_GROUPS = (
    select(*_KEY, Inbox.id, Inbox.n_rows, Inbox.n_bytes, Inbox.received_at, Inbox.group_no)
    .where(tuple_(*_KEY).in_(bindparam("streams", expanding=True)), Inbox.group_no.is_not(None))
    .order_by(*_KEY, Inbox.group_no, Inbox.id)
    .limit(MAX_ENTRIES + 1)  # more than a group has: the first one is whole
)
_POSITIONS = (
    select(Stream.model_id, Stream.kind, Stream.folded, Stream.archived)
    .where(Stream.model_id.in_(bindparam("model_ids", expanding=True)))
    .order_by(Stream.model_id, Stream.kind)
)
_LOCKED = _POSITIONS.with_for_update()
_STREAM = Base.metadata.tables["stream"]
_CLOSE = (
    update(_STREAM)
    .where(_STREAM.c.model_id == bindparam("model"), _STREAM.c.kind == bindparam("stream"))
    .values(
        archived=bindparam("last"),
        n_rows_archived=_STREAM.c.n_rows_archived + bindparam("n"),
    )
)
_FORGET = (
    delete(Inbox)
    .where(Inbox.id.in_(bindparam("ids", expanding=True)))
    .execution_options(synchronize_session=False)
)


@dataclass(frozen=True, slots=True)
class Reached:
    """The last folded, and the last archived group of a stream; 0 before the first."""

    folded: int = 0
    archived: int = 0


def waiting(session: Session, since: datetime, now: datetime, enough: int) -> list[Key]:
    """Return the streams that are due for the archive.

    Parameters
    ----------
    session
        The open transaction.
    since
        What was received until then is due, however little it is.
    now
        Wall time: what was received later came before the clock was set back, and is due.
    enough
        Bytes that are due, however young they are.
    """
    found = session.execute(_WAITING, {"since": since, "now": now, "enough": enough})
    return [(model_id, kind) for model_id, kind, _ in found]


def reached(session: Session, streams: Collection[Key]) -> dict[Key, Reached]:
    """Return how far some streams are folded and archived."""
    rows = session.execute(_POSITIONS, {"model_ids": [*{model_id for model_id, _ in streams}]})
    found = {(row.model_id, row.kind): Reached(row.folded, row.archived) for row in rows}
    return {stream: found.get(stream, Reached()) for stream in streams}


def groups(
    session: Session, streams: Collection[Key], max_bytes: int, max_bytes_together: int
) -> dict[Key, Batch | None]:
    """Return the first folded groups in the inbox, whole, of as many streams as fit.

    Parameters
    ----------
    session
        The open transaction.
    streams
        Which.
    max_bytes, max_bytes_together
        Of one stream, and of all; of the first one at least a group is returned.

    Returns
    -------
    dict
        None where none waits. Streams that do not fit are absent; at least one is there.
    """
    rows = session.execute(_GROUPS, {"streams": [*streams]}).all()
    is_whole = len(rows) <= MAX_ENTRIES
    if not is_whole:  # the last group may not be
        end = rows[-1].model_id, rows[-1].kind, rows[-1].group_no
        rows = [row for row in rows if (row.model_id, row.kind, row.group_no) != end]
    found: dict[Key, Batch | None] = dict.fromkeys(streams) if is_whole else {}
    room = max_bytes_together
    for stream, each in groupby(rows, lambda row: (row.model_id, row.kind)):
        is_first = room == max_bytes_together
        own = _up_to([*each], max_bytes)
        room -= sum(row.n_bytes for row in own)
        if is_first or room >= 0:
            found[stream] = batch_of(own)
        else:
            found.pop(stream, None)
    return found


def _up_to(
    rows: Sequence[Row[*tuple[Any, ...]]], max_bytes: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the first whole groups up to a size; at least one."""
    size, end = 0, 0
    for _, each in groupby(rows, lambda row: row.group_no):
        n_bytes = [row.n_bytes for row in each]
        size += sum(n_bytes)
        if end and size > max_bytes:
            break
        end += len(n_bytes)
    return rows[:end]


def close(
    session: Session, batches: Mapping[Key, Batch], last_seen: Mapping[Key, int]
) -> dict[Key, int]:
    """Let go of entries that are in the lake.

    Parameters
    ----------
    session
        Session of a writing transaction.
    batches
        The entries, by stream.
    last_seen
        The last archived group of each stream when its batch was read.

    Returns
    -------
    dict
        How many groups of the model are archived, of both kinds: it rises with each close,
        so it also numbers the states of the model's log. Streams with which another archiver
        was faster are absent.
    """
    # Both streams of each model, in one order: their sum never shows the same value twice.
    rows = session.execute(_LOCKED, {"model_ids": [*{model_id for model_id, _ in batches}]})
    archived = {(row.model_id, row.kind): row.archived for row in rows}
    own = {s: of for s, of in batches.items() if archived[s] == last_seen[s]}
    if not own:
        return {}
    session.connection().execute(
        _CLOSE,
        [
            {"model": s[0], "stream": s[1], "last": of.last_group, "n": of.n_rows}
            for s, of in own.items()
        ],
    )
    for ids in batched(tuple(entry for of in own.values() for entry in of.ids)):
        session.execute(_FORGET, {"ids": ids})
    archived |= {s: of.last_group or 0 for s, of in own.items()}
    return {s: sum(archived.get((s[0], kind), 0) for kind in Kind) for s in own}
