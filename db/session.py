"""One unit of work is one transaction."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from db.encrypted import use_keys

# Errors of SQLite when the disk is full or broken, or another holds the file for long.
_SQLITE_OUTAGES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)

READ_ONLY = "25006"  # PostgreSQL: a standby that is not the primary (yet)

# Seconds: a server whose machine or network is gone closes no connection, and libpq waits for
# it for two hours by default. Options of the URL take precedence.
_POSTGRES_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # milliseconds
}


def connect(url: str, credentials_keys: Sequence[str] = ()) -> Engine:
    """Return an engine, set up for its database.

    With keys, configurations of channels are encrypted (`db.encrypted`).

    SQLite: write-ahead log; `synchronous=FULL`, because an acknowledged batch
    must survive a power cut; transactions begin as writers, so that two of
    them wait for each other instead of failing half-way.
    """
    # Without parameters: an error that is logged must not carry the values of a row.
    if not url.startswith("sqlite"):
        reached = make_url(url)
        reached = reached.update_query_dict({**_POSTGRES_PATIENCE, **reached.query})
        engine = create_engine(reached, pool_pre_ping=True, hide_parameters=True)
        use_keys(engine, credentials_keys)
        return engine
    path = make_url(url).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 30}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    use_keys(engine, credentials_keys)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # BEGIN is sent explicitly
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
        "journal_size_limit=67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    if connection.get_execution_options().get("read_only"):
        connection.exec_driver_sql("BEGIN")
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_outage(error: DBAPIError | sqlite3.Error) -> bool:
    """Distinguish an outage of the database from a wrong statement."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return code & 0xFF in _SQLITE_OUTAGES  # the low byte; the others hold the exact reason
    if isinstance(error, OperationalError | InterfaceError):
        return True  # of another database these are raised for nothing else
    return getattr(cause, "sqlstate", None) == READ_ONLY


@contextmanager
def unit_of_work(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """Open a session, commit on success, roll back on any exception.

    Nothing else in the repository commits; a test reads the code to be sure.
    """
    with sessions.begin() as session:
        yield session


@contextmanager
def read_only(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """Open a session that reads one consistent state and waits for no writer."""
    with sessions() as session:
        session.connection(execution_options={"read_only": True})
        yield session
        session.rollback()


def leave_no_trace(sessions: sessionmaker[Session]) -> None:
    """Rewrite the places in which a database keeps what was deleted.

    SQLite leaves deleted bytes in free pages and in its log: the file is written
    anew, and the log cut to nothing. PostgreSQL is asked to clean the tables that
    held rows; its own log and its backups are beyond us.

    Raises
    ------
    TimeoutError
        If somebody reads an old state of an SQLite file for too long.
    """
    engine: Engine = sessions.kw["bind"]
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        if engine.dialect.name != "sqlite":
            tables = (
                "inbox",
                "inbox_payload",
                "inbox_payload_second",
                "quarantine",
                "pending_event",
                "segment",
                "entity_state",
                "finding",
                "flip",
                "alert",
                "session_score",
                "unusable_answer",
            )
            connection.exec_driver_sql(f"VACUUM {', '.join(tables)}")
            return
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        if driver.in_transaction:  # SQLAlchemy has begun one; VACUUM wants none
            driver.rollback()
        driver.execute("VACUUM")
        is_busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise TimeoutError("a reader holds an old state of the database; retry later")
