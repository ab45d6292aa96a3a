"""Payloads lie in two tables of PostgreSQL in turn, so that their disk space is given back.

What is archived is deleted. PostgreSQL keeps the space of deleted rows for later ones, and
gives back only what is free at the end of a table, where a steady stream always has rows. So
new payloads go into one table for a while, then into the other; meanwhile the first empties,
and is truncated (docs/decisions/0018). Which table a payload lies in is kept with its entry:
replicas need not agree on the time. SQLite uses the first table only, and `db.payload_files`.
"""

import time
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from db.session import unit_of_work

TABLES = ("inbox_payload", "inbox_payload_second")
TURN = timedelta(minutes=4)  # several archives: a table is empty before its next turn
WORTHWHILE = 16 * 2**20  # bytes; a smaller table is left as it is
N_TRIES, PAUSE_SECONDS = 20, 0.02  # for a moment in which no transaction uses a table
LONGEST_WAIT_MS = 20  # for a vacuum, while others wait for us
LOCK_NOT_AVAILABLE = "55P03"


def is_turn_of_second(session: Session, now: datetime) -> bool:
    """Return whether payloads go into the second table now; never on SQLite."""
    turn = int(now.timestamp() // TURN.total_seconds())
    return bool(turn % 2) and session.get_bind().dialect.name == "postgresql"


def is_to_be_emptied(session: Session, now: datetime) -> bool:
    """Return whether the table that is not in turn has grown: it is truncated once empty."""
    if session.get_bind().dialect.name != "postgresql":
        return False
    return _size(session, TABLES[not is_turn_of_second(session, now)]) >= WORTHWHILE


def _size(session: Session, table: str) -> int:
    size = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
    return int(session.scalar(size, {"name": table}) or 0)


def truncate_emptied(sessions: sessionmaker[Session]) -> list[str]:
    """Give back the space of tables that have grown and hold nothing; their names.

    It takes its locks within milliseconds or not at all, so that nobody waits for it; the next
    archive tries again.
    """
    with sessions() as session:
        if session.get_bind().dialect.name != "postgresql":
            return []
    return [table for table in TABLES if _truncate(sessions, table)]


def _truncate(sessions: sessionmaker[Session], table: str) -> bool:
    for _ in range(N_TRIES):
        try:
            with unit_of_work(sessions) as session:
                return _truncate_now(session, table)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
        time.sleep(PAUSE_SECONDS)
    return False


def _truncate_now(session: Session, table: str) -> bool:
    if _size(session, table) < WORTHWHILE:
        return False
    holds_rows = text(f"SELECT EXISTS (SELECT FROM {table})")  # noqa: S608 - one of ours
    if session.scalar(holds_rows):
        return False
    session.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT"))
    if session.scalar(holds_rows):
        return False
    # TRUNCATE also locks where large values lie, which a vacuum may hold for minutes.
    session.execute(text(f"SET LOCAL lock_timeout = {LONGEST_WAIT_MS}"))
    session.execute(text(f"TRUNCATE {table}"))
    return True
