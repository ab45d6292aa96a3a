"""Queries of the inbox: receipts, payloads, quarantined rows, backlog."""

from collections.abc import Iterable, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, Update, bindparam, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.schema.rows import Kind, Stage
from db import payload_files, payload_tables
from db.base import Base
from db.tables import Inbox, InboxPayload, Receipt, SecondInboxPayload, SetAside

# A model's last sign of life is for people: no need to write it with each commit,
# and to wait for the fold, which holds the same row.
SIGN_OF_LIFE_EVERY = timedelta(seconds=1)

# SQLite takes 32,766 parameters in one statement.
MAX_KEYS = 1000


# Tables, not mapped classes: nothing of these rows is kept in the session, and
# this is the path of each request.
_RECEIPT = Base.metadata.tables["receipt"]
_ADD_RECEIPTS = {
    dialect: insert_into(_RECEIPT)
    .on_conflict_do_nothing()
    .returning(_RECEIPT.c.model_id, _RECEIPT.c.kind, _RECEIPT.c.batch_id)
    for dialect, insert_into in (("postgresql", postgresql.insert), ("sqlite", sqlite.insert))
}
_MODEL = Base.metadata.tables["model"]


def _moved_to_now(column: Column[datetime]) -> Update:
    """Return the statement; a time that is ahead was noted before the clock was set back."""
    is_due = or_(column.is_(None), column < bindparam("late"), column > bindparam("seen"))
    return (
        update(_MODEL)
        .where(_MODEL.c.id == bindparam("whose"), is_due)
        .values({column: bindparam("seen")})
    )


_SIGN_OF_LIFE = _moved_to_now(_MODEL.c.last_received_at)
_ARRIVAL = _moved_to_now(_MODEL.c.last_arrival_at)
_INBOX = Base.metadata.tables["inbox"]
_ADD_ENTRY = insert(_INBOX).returning(_INBOX.c.id)
# By `in_second`.
_PAYLOADS: dict[bool, type[InboxPayload] | type[SecondInboxPayload]] = {
    False: InboxPayload,
    True: SecondInboxPayload,
}
_ENTRIES = select(Inbox.id, Inbox.file, Inbox.in_second).where(
    Inbox.id.in_(bindparam("ids", expanding=True))
)
_CONTENT = {
    in_second: select(table.entry_id, table.content).where(
        table.entry_id.in_(bindparam("ids", expanding=True))
    )
    for in_second, table in _PAYLOADS.items()
}
_ADD_PAYLOAD = {
    in_second: insert(Base.metadata.tables[table.__tablename__])
    for in_second, table in _PAYLOADS.items()
}
_ADD_QUARANTINED = insert(Base.metadata.tables["quarantine"])


class Key(NamedTuple):
    """Primary key of a batch."""

    model_id: UUID
    kind: Kind
    batch_id: str


def add_receipts(session: Session, receipts: Sequence[dict[str, Any]]) -> set[Key]:
    """Insert receipts and return the keys of those that were not there before."""
    statement = _ADD_RECEIPTS[session.get_bind().dialect.name]
    return {Key(*row) for row in session.connection().execute(statement, receipts)}


def correct_receipt(session: Session, key: Key, n_accepted: int) -> None:
    """Note how many rows of a batch were kept."""
    at = {
        Receipt.model_id: key.model_id,
        Receipt.kind: key.kind,
        Receipt.batch_id: key.batch_id,
    }
    session.execute(
        update(Receipt)
        .where(*(column == value for column, value in at.items()))
        .values(n_accepted=n_accepted)
        .execution_options(synchronize_session=False)
    )


def receipts(session: Session, keys: Iterable[Key]) -> dict[Key, Receipt]:
    """Return the receipts of batches that were here before."""
    wanted, found = [*keys], {}
    columns = tuple_(Receipt.model_id, Receipt.kind, Receipt.batch_id)
    for start in range(0, len(wanted), MAX_KEYS):
        some = wanted[start : start + MAX_KEYS]
        for receipt in session.scalars(select(Receipt).where(columns.in_(some))):
            found[Key(receipt.model_id, receipt.kind, receipt.batch_id)] = receipt
    return found


def add_entry(session: Session, entry: dict[str, Any], content: bytes | None) -> None:
    """Insert a row of the inbox with its payload; None for one that lies in its file."""
    connection = session.connection()
    in_second = payload_tables.is_turn_of_second(session, entry["received_at"])
    entry_id = connection.execute(_ADD_ENTRY, {**entry, "in_second": in_second}).scalar_one()
    if content is not None:
        given = {"entry_id": entry_id, "content": content}
        connection.execute(_ADD_PAYLOAD[in_second], given)


def contents(session: Session, ids: Sequence[int]) -> dict[int, bytes]:
    """Return the payloads of some entries, at most `MAX_KEYS`.

    Raises
    ------
    PayloadGone
        If the archive has let go of one since the caller saw it.
    """
    connection = session.connection()
    rows = connection.execute(_ENTRIES, {"ids": [*ids]}).all()
    found = {
        row.id: payload_files.read(session, row.file) for row in rows if row.file is not None
    }
    # Only a table that holds one of them: the other may be truncated meanwhile.
    for in_second, content in _CONTENT.items():
        held = [row.id for row in rows if row.file is None and row.in_second == in_second]
        if held:
            found |= {row[0]: row[1] for row in connection.execute(content, {"ids": held})}
    if len(found) < len(rows):  # a truncated table is empty for old states, too
        raise payload_files.PayloadGone("payloads of the inbox were archived")
    return found


def add_quarantined(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that broke the contract."""
    session.connection().execute(_ADD_QUARANTINED, rows)


def sign_of_life(
    session: Session, model_ids: Iterable[UUID], arrived: Set[UUID], now: datetime
) -> None:
    """Note when models were last heard of, and when predictions of some last arrived."""
    connection, late = session.connection(), now - SIGN_OF_LIFE_EVERY
    for model_id in sorted(model_ids):  # in one order, so that no two replicas lock crosswise
        given = {"whose": model_id, "late": late, "seen": now}
        connection.execute(_SIGN_OF_LIFE, given)
        if model_id in arrived:
            connection.execute(_ARRIVAL, given)


class Backlog(NamedTuple):
    """Backlog: rows accepted and not yet in the lake; streams set aside apart.

    Attributes
    ----------
    n_bytes, oldest
        Of the streams that go on.
    aside
        Bytes by stream, of those that are set aside.
    """

    n_bytes: int
    oldest: datetime | None
    aside: dict[tuple[UUID, Kind], int]


def backlog(session: Session) -> Backlog:
    """Return how much is accepted and not yet in the lake, and since when."""
    waiting = session.execute(
        select(
            Inbox.model_id,
            Inbox.kind,
            func.sum(Inbox.n_bytes).label("n_bytes"),
            func.min(Inbox.received_at).label("oldest"),
        ).group_by(Inbox.model_id, Inbox.kind)
    ).all()
    held = SetAside.stage.in_((Stage.FOLD, Stage.ARCHIVE))
    stuck = {
        (row.model_id, row.kind)
        for row in session.execute(select(SetAside.model_id, SetAside.kind).where(held))
    }
    going = [row for row in waiting if (row.model_id, row.kind) not in stuck]
    return Backlog(
        n_bytes=sum(int(row.n_bytes) for row in going),
        oldest=min((row.oldest for row in going), default=None),
        aside={
            (row.model_id, row.kind): int(row.n_bytes)
            for row in waiting
            if (row.model_id, row.kind) in stuck
        },
    )
