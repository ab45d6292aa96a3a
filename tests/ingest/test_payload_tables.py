"""Payloads lie in two tables of PostgreSQL in turn, and an emptied one gives its space back."""

from concurrent.futures import ThreadPoolExecutor, wait

import pyarrow as pa
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker

from core.schema.rows import Kind
from core.settings import Settings
from db import payload_tables
from db.payload_files import PayloadGone
from db.payload_tables import TURN, truncate_emptied
from db.queries.log import inbox, unarchived
from db.session import read_only, unit_of_work
from db.tables import Inbox, Model
from services.aggregation.fold import fold_all
from services.ingest.persist import keep
from services.retention.archive import archive_all
from tests.databases import ON_POSTGRES
from tests.streams import START, add_model, prediction, table, waiting_rows

pytestmark = ON_POSTGRES

FIRST, SECOND = START, START + TURN  # midnight is the first table's turn


@pytest.fixture(autouse=True)
def small_tables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table with a page of rows is worth its truncation; an empty one has two of indexes."""
    monkeypatch.setattr(payload_tables, "WORTHWHILE", 20_000)
    monkeypatch.setattr(payload_tables, "N_TRIES", 2)


def rows(first: int) -> pa.Table:
    return table(Kind.PREDICTIONS, [prediction(START, i) for i in range(first, first + 100)])


def filled(sessions: sessionmaker[Session]) -> None:
    """Keep rows in the turn of each table."""
    model_id = add_model(sessions)
    for i, now in enumerate((FIRST, SECOND)):
        with unit_of_work(sessions) as session:
            keep(session, model_id, Kind.PREDICTIONS, rows(100 * i), now)


def size(sessions: sessionmaker[Session], name: str) -> int:
    with read_only(sessions) as session:
        return session.scalar(text(f"SELECT pg_relation_size('{name}')")) or 0


def test_an_emptied_table_gives_its_space_back_while_the_other_takes_batches(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    filled(sessions)
    with read_only(sessions) as session:
        assert session.scalars(select(Inbox.in_second).order_by(Inbox.id)).all() == [
            False,
            True,
        ]
    assert waiting_rows(sessions) == [*rows(0).to_pylist(), *rows(100).to_pylist()]
    assert truncate_emptied(sessions) == []

    fold_all(sessions, SECOND)
    archive_all(sessions, settings.lake, SECOND)
    with unit_of_work(sessions) as session:
        [model_id] = session.scalars(select(Model.id))
        keep(session, model_id, Kind.PREDICTIONS, rows(200), SECOND)
    assert size(sessions, "inbox_payload") > 0

    assert truncate_emptied(sessions) == ["inbox_payload"]

    assert size(sessions, "inbox_payload") == 0
    assert waiting_rows(sessions) == rows(200).to_pylist()


def test_a_table_in_use_is_left_alone_and_not_waited_for(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    filled(sessions)
    fold_all(sessions, SECOND)
    archive_all(sessions, settings.lake, SECOND)
    with unit_of_work(sessions) as session:
        session.execute(text("SELECT FROM inbox_payload"))
        assert truncate_emptied(sessions) == ["inbox_payload_second"]
    assert truncate_emptied(sessions) == ["inbox_payload"]


def test_a_vacuum_of_large_values_is_not_waited_for_with_the_table_locked(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    filled(sessions)
    fold_all(sessions, SECOND)
    archive_all(sessions, settings.lake, SECOND)
    with ThreadPoolExecutor(1) as pool, unit_of_work(sessions) as session:
        query = "SELECT reltoastrelid::regclass FROM pg_class WHERE relname = 'inbox_payload'"
        session.execute(text(f"SELECT FROM {session.scalar(text(query))}"))
        trying = pool.submit(truncate_emptied, sessions)
        done, _ = wait([trying], timeout=5)
        session.rollback()
    assert done == {trying}
    assert trying.result() == ["inbox_payload_second"]


def test_who_reads_an_older_state_of_a_truncated_table_must_read_again(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    filled(sessions)
    with unit_of_work(sessions) as session:
        unarchived.freeze(session)
        ids = [*session.scalars(select(Inbox.id))]
        fold_all(sessions, SECOND)
        archive_all(sessions, settings.lake, SECOND)
        assert truncate_emptied(sessions) == [*payload_tables.TABLES]
        with pytest.raises(PayloadGone):
            inbox.contents(session, ids)


def test_payloads_are_stored_as_they_are(sessions: sessionmaker[Session]) -> None:
    """They are compressed already: PostgreSQL's own compression took 40 ms for 3 MB."""
    query = "SELECT attstorage FROM pg_attribute WHERE attname = 'content' AND attrelid = "
    with read_only(sessions) as session:
        for name in payload_tables.TABLES:
            assert session.scalar(text(f"{query} '{name}'::regclass")) == "e"
