"""PostgreSQL databases that are lent to one test after another."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.engine import make_url

import db.tables  # noqa: F401 - the metadata know the tables that were imported
from db.base import Base
from db.migrate import upgrade
from db.session import connect

# Of a test that runs on one database only.
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

# A table comes after those to which it refers.
TABLES = [table.name for table in Base.metadata.sorted_tables]

# Ends what a test has left open, and waits for its end.
TERMINATE = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
AND backend_type = 'client backend'
"""
SCHEMA = """
SELECT md5(string_agg(concat(attrelid, attname, attisdropped), ' ' ORDER BY attrelid, attnum)),
  (SELECT count(*) FROM pg_trigger)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace
"""
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The rows of the tables that have any, in the binary format, and the sequences."""

    rows: dict[str, bytes]
    sequences: dict[str, int]


def plain(url: str) -> str:
    """Return the URL without the driver, as libpq reads it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def contents(url: str) -> Contents:
    """Read everything in a database."""
    with psycopg.connect(plain(url)) as connection, connection.cursor() as cursor:
        rows = dict[str, bytes]()
        for table in TABLES:
            if cursor.execute(f"SELECT EXISTS (TABLE {table})").fetchone() == (True,):
                with cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)") as copy:
                    rows[table] = b"".join(copy)
        return Contents(rows=rows, sequences=dict(cursor.execute(SEQUENCES).fetchall()))


def fill(url: str, given: Contents) -> None:
    """Put contents into an empty database."""
    with psycopg.connect(plain(url)) as connection, connection.cursor() as cursor:
        for table, rows in given.rows.items():
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
                copy.write(rows)
        for sequence, last in given.sequences.items():
            cursor.execute("SELECT setval(%s, %s)", (sequence, last))


class Databases:
    """Migrated databases of a server, each emptied before the next test gets it.

    To create a database and to drop it takes 0.2 s of CPU, to empty it 0.01 s.
    """

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._idle: list[tuple[str, psycopg.Connection]] = []

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Lend an empty database: its URL."""
        url, connection = self._idle.pop() if self._idle else self._created()
        schema = connection.execute(SCHEMA).fetchone()
        try:
            yield url
        finally:
            connection.execute(TERMINATE)
            if connection.execute(SCHEMA).fetchone() == schema:
                _empty(connection)
                self._idle.append((url, connection))
            else:
                self._drop(url, connection)

    def drop(self) -> None:
        """Drop all of them."""
        for url, connection in self._idle:
            self._drop(url, connection)

    def _created(self) -> tuple[str, psycopg.Connection]:
        name = f"seqwatch_{uuid4().hex}"
        self._on_server(f"CREATE DATABASE {name} TEMPLATE template0")
        url = make_url(self._server_url).set(database=name)
        text = url.render_as_string(hide_password=False)
        engine = connect(text)
        upgrade(engine)
        engine.dispose()
        return text, psycopg.connect(plain(text), autocommit=True)

    def _drop(self, url: str, connection: psycopg.Connection) -> None:
        connection.close()
        self._on_server(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _on_server(self, statement: str) -> None:
        with psycopg.connect(plain(self._server_url), autocommit=True) as connection:
            connection.execute(statement)


def _empty(connection: psycopg.Connection) -> None:
    deleted = "; ".join(f"DELETE FROM {table}" for table in reversed(TABLES))
    connection.execute(deleted)
    for (sequence,) in connection.execute("SELECT sequencename FROM pg_sequences").fetchall():
        connection.execute("SELECT setval(%s, 1, false)", (sequence,))
