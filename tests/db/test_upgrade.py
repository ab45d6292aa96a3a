"""Migrations keep what a filled installation holds, and what is sent while they run."""

import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import Engine, MetaData, event, select
from sqlalchemy.orm import sessionmaker

from db import migrate
from db.session import connect
from services.aggregation.fold import fold_all
from services.retention.archive import archive_all
from tests.databases import Databases, plain
from tests.db.fill import (
    FILLED,
    MODEL,
    N_SERVED,
    NOW,
    app_of,
    head,
    n_items,
    restore,
    served,
    settings_of,
)
from tests.templates import SQLITE
from web import findings, lookup, pages

Rows: TypeAlias = dict[Any, dict[str, Any]]

ORIGIN = "http://seqwatch.example"
REVISIONS = sorted(path.name.partition(".")[0] for path in FILLED.glob("*.tar.xz"))
# One more migration than there are: so the test itself is tested while there is one.
ADDED = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9999", "{head}"


def upgrade() -> None:
    column = sa.Column("added_by_a_test", sa.String(), nullable=False, server_default="-")
    with op.batch_alter_table("model") as batch_op:
        batch_op.add_column(column)
"""
# Nothing of the filled installation is there.
NONE_STORED = ("/report", "/sources/none", "/silences/none", "/routes/none")
# Columns that rows which are sent change, and those that a migration changes on purpose.
CHANGED = {"model.last_received_at", "model.last_arrival_at"}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / SQLITE}"
        return
    databases: Databases = request.getfixturevalue("databases")
    with databases.lent() as url:
        with psycopg.connect(plain(url), autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        yield url


@pytest.fixture
def engines(empty: str) -> Iterator[list[Engine]]:
    """Of the API, and of the process that upgrades."""
    both = [connect(empty), connect(empty)]
    yield both
    for engine in both:
        engine.dispose()


@pytest.fixture
def one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `upgrade` run a copy of the migrations, with one more at their end."""
    scripts, config = tmp_path / "migrations", tmp_path / "alembic.ini"
    shutil.copytree(migrate.CONFIG.parent / "db" / "migrations", scripts)
    (scripts / "versions" / "9999_added.py").write_text(ADDED.format(head=head()), "utf-8")
    config.write_text(f"[alembic]\nscript_location = {scripts}\npath_separator = os\n", "utf-8")
    monkeypatch.setattr(migrate, "CONFIG", config)


@dataclass(slots=True, kw_only=True)
class Stream:
    """A service that sends a row, and then the next, until it is stopped."""

    client: TestClient
    acknowledged: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    posting: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.wait(0.02):
            row = served(24 * N_SERVED + 1 + len(self.acknowledged))
            self.posting.set()
            answer = self.client.post(f"{MODEL}/predictions", json={"rows": [row]})
            self.posting.clear()
            self.statuses.add(answer.status_code)
            if answer.status_code == 200:
                self.acknowledged.append(row["prediction_id"])


@contextmanager
def ingesting(client: TestClient, upgrading: Engine) -> Iterator[Stream]:
    """Send rows meanwhile; the last migration does not end before one is on its way."""
    stream = Stream(client=client)

    @event.listens_for(upgrading, "after_cursor_execute")
    def wait(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "added_by_a_test" in statement:
            assert stream.posting.wait(10)

    thread = threading.Thread(target=stream.run)
    thread.start()
    try:
        yield stream
    finally:
        n_before = len(stream.acknowledged)
        while thread.is_alive() and len(stream.acknowledged) == n_before:
            thread.join(0.01)
        stream.stop.set()
        thread.join()


def contents(engine: Engine) -> dict[str, Rows]:
    """Return the rows of each table by primary key."""
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        found = {
            table.name: {
                tuple(row[column.name] for column in table.primary_key): dict(row)
                for row in connection.execute(select(table)).mappings()
            }
            for table in metadata.sorted_tables
            if table.name != "alembic_version"
        }
    found["summary"] = by_names(found["summary"], found.get("summary_series", {}))
    return found


def by_names(rows: Rows, series: Rows) -> Rows:
    """Return summaries with what their series names, and by that, as they were before 0150."""
    found: Rows = {}
    for row in rows.values():
        of = series[(row["series_id"],)] if "series_id" in row else row
        start = row["start"]
        if isinstance(start, int):
            start = datetime.fromtimestamp(start // 1_000_000, UTC)
        named = {name: of[name] for name in ("model_id", "stream", "version")}
        full = {**row, **named, "start": start.replace(tzinfo=UTC)}
        found[*named.values(), full["start"]] = full
    return found


def lost(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield the rows and the values that are not there any more."""
    for table, rows in before.items():
        for key, row in rows.items():
            found = after[table].get(key)
            if found is None:
                yield f"{table} {key}"
                continue
            for column, value in row.items():
                if f"{table}.{column}" not in CHANGED and found.get(column) != value:
                    yield f"{table}.{column} of {key}: {value!r} became {found.get(column)!r}"


def copy_rows(source: Path, url: str) -> None:
    """Copy the rows of an SQLite database into one of PostgreSQL of its schema."""
    metadata, engine = MetaData(), connect(url)
    metadata.reflect(engine)
    engine.dispose()
    with closing(sqlite3.connect(source)) as given, psycopg.connect(plain(url)) as connection:
        connection.execute("SET timezone TO 'UTC'")
        for table in metadata.sorted_tables:
            if table.name == "alembic_version":
                continue
            names = [column.name for column in table.columns]
            columns = ", ".join(f'"{name}"' for name in names)
            with connection.cursor().copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
                for row in given.execute(f"SELECT {columns} FROM {table.name}"):
                    copy.write_row(row)
        for (sequence,) in connection.execute("SELECT sequencename FROM pg_sequences"):
            connection.execute("SELECT setval(%s, 1000000)", (sequence,))


def schema(path: Path) -> set[tuple[str, str]]:
    """Return the statements that make the tables and indexes of an SQLite database."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        return {*connection.execute(query)}


def made_by_migrations(url: str, revision: str) -> None:
    engine = connect(url)
    migrate.upgrade(engine, revision)
    engine.dispose()


def what_to_do(revision: str) -> str:
    if revision == head():
        return "the tables or stored forms changed: run `python -m tests.db.fill`"
    return f"{revision} is released: its filled installation must work after an upgrade"


def addresses(client: TestClient) -> Iterator[str]:
    """Yield the address of every page, and of everything that the API reads."""
    ids = {
        f"{noun}_id": client.get(path).json()["items"][0]["id"]
        for noun, path in {
            "alert": "/v1/alerts",
            "finding": f"{MODEL}/findings",
            "flip": "/v1/flips",
            "incident": "/v1/incidents",
            "rollout": "/v1/rollouts",
            "backtest": f"{MODEL}/backtests?state=done",
        }.items()
    }
    names = {"monitors": "accuracy", "channels": "hook", "trainers": "ours", "models": "load"}
    names["slos"] = "availability"
    given = ids | {
        "silence_id": "none",
        "model": "load",
        "version": "v1",
        "prediction_id": "p0",
        "session_id": "s0",
    }
    document = client.get("/openapi.json").json()["paths"]
    paths = [path for path, verbs in document.items() if "get" in verbs]
    for part in (pages, findings, lookup):
        paths += [
            r.path
            for r in part.router.routes
            if isinstance(r, APIRoute) and "GET" in (r.methods or ())
        ]
    for path in paths:
        filled = re.sub(r"{(\w+)_id:path}", r"{\1_id}", path)
        filled = re.sub(r"(\w+)/{name}", lambda m: f"{m[1]}/{names.get(m[1], 'none')}", filled)
        yield re.sub(r"{(\w+)}", lambda m: given[m[1]], filled)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_filled_installation_is_upgraded_while_rows_arrive(
    empty: str, engines: list[Engine], revision: str, one_more: None, tmp_path: Path
) -> None:
    hint = what_to_do(revision)
    manifest = restore(FILLED / f"{revision}.tar.xz", tmp_path / "filled")
    stored, fresh = tmp_path / "filled" / SQLITE, tmp_path / "fresh.sqlite"
    made_by_migrations(f"sqlite:///{fresh}", revision)
    assert schema(stored) == schema(fresh), hint
    if empty.startswith("sqlite"):
        shutil.copy(stored, tmp_path / SQLITE)
    else:
        made_by_migrations(empty, revision)
        copy_rows(stored, empty)
    engine, upgrading = engines
    sessions = sessionmaker(engine, expire_on_commit=False)
    settings = settings_of(tmp_path / "filled", empty)
    before = contents(engine)
    headers = {"Authorization": f"Bearer {manifest.key}", "Origin": ORIGIN}
    app = app_of(settings, sessions)
    with TestClient(app, ORIGIN, headers=headers, raise_server_exceptions=False) as client:
        with ingesting(client, upgrading) as stream:
            migrate.upgrade(upgrading)
        after = contents(engine)
        assert "added_by_a_test" in next(iter(after["model"].values()))
        assert [*lost(before, after)] == [], hint
        if revision == head():
            assert stream.statuses == {200}
        fold_all(sessions, NOW)
        archive_all(sessions, settings.lake, NOW)
        found = n_items(client)
        expected = {**manifest.n_items}
        expected[f"{MODEL}/predictions"] += len(stream.acknowledged)
        # Later versions have more lists.
        items = {path: n for path, n in found.items() if path in expected}
        assert items == expected, hint
        assert client.post("/login", data={"key": manifest.key}).is_success
        found = {path: client.get(path).status_code for path in addresses(client)}
        refused = {path: status for path, status in found.items() if status != 200}
        assert [path for path in refused if not path.endswith(NONE_STORED)] == [], hint
