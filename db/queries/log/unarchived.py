"""Read-only queries of rows that are not archived yet."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from db.queries.log import inbox
from db.tables import Inbox, Stream


def freeze(session: Session) -> None:
    """Let all that is read in this transaction be of one moment; its first statement."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite does so by itself
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def archived(session: Session, model_id: UUID, kind: Kind) -> int:
    """Return the last group that the inbox has let go of."""
    query = select(Stream.archived).where(Stream.model_id == model_id, Stream.kind == kind)
    return session.scalar(query) or 0


def payloads(
    session: Session, model_id: UUID, kind: Kind, after: int, at_once: int
) -> Iterator[bytes]:
    """Yield what waits behind a group, and what has no group yet.

    Parameters
    ----------
    after
        The last group that is left out.
    at_once
        Bytes that one statement fetches; at least one entry.

    Raises
    ------
    FileNotFoundError
        If a payload was archived, and its file removed, since the first thing was read.
    """
    entries = session.execute(
        select(Inbox.id, Inbox.n_bytes)
        .where(
            Inbox.model_id == model_id,
            Inbox.kind == kind,
            or_(Inbox.group_no.is_(None), Inbox.group_no > after),
        )
        .order_by(Inbox.id)
    ).all()
    for ids in _batches([(entry.id, entry.n_bytes) for entry in entries], at_once):
        found = inbox.contents(session, ids)
        yield from (found[entry] for entry in ids)


def _batches(entries: list[tuple[int, int]], at_once: int) -> Iterator[list[int]]:
    ids, size = list[int](), 0
    for entry, n_bytes in entries:
        if ids and (size + n_bytes > at_once or len(ids) == 1000):
            yield ids
            ids, size = [], 0
        ids, size = [*ids, entry], size + n_bytes
    if ids:
        yield ids
