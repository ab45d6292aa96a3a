"""What writes while an erasure runs: no row is lost, and none comes back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.schema.rows import Kind
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import Erasure
from lake import tables
from services.labels.label_join import join_all
from services.retention.erasure import erase
from tests.archive.crashing import LATER
from tests.databases import ON_SQLITE
from tests.erasure.rows import GONE, STAYS, finish, names, number, predictions, send, want
from tests.erasure.traces import traces
from tests.streams import CONTRACT, START, add_model, keep, prediction, table


@ON_SQLITE
def test_a_writer_that_had_begun_appends_nothing_and_begins_again(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 5)
    finish(sessions, lake)
    begun = tables.open_table(lake, model_id, Kind.PREDICTIONS)
    assert begun is not None
    want(sessions, model_id)
    erase(sessions, lake, model_id, LATER)

    late = table(Kind.PREDICTIONS, [prediction(START, 99, session_id=STAYS)])
    with pytest.raises(tables.LakeMoved):
        tables.append(begun, tables.stamped(Kind.PREDICTIONS, CONTRACT, late), 2)
    keep(sessions, model_id, Kind.PREDICTIONS, late)
    finish(sessions, lake)

    assert len(predictions(lake, model_id)) == 11


@ON_SQLITE
def test_files_of_a_writer_that_died_are_removed(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 5)
    finish(sessions, lake)
    [one, *_] = sorted(lake.rglob("predictions/day=*/*.parquet"))
    orphan = one.with_name("part-00000-never-committed.parquet")
    orphan.write_bytes(one.read_bytes())
    want(sessions, model_id)
    erase(sessions, lake, model_id, LATER)
    assert not orphan.exists()
    assert traces(lake, GONE) == []


def test_a_join_that_had_read_the_rows_is_void(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 5)
    finish(sessions, lake)
    with read_only(sessions) as session:
        [(_, day, seen)] = positions.dirty_days(session, model_id)
    want(sessions, model_id)
    erase(sessions, lake, model_id, LATER)
    with unit_of_work(sessions) as session:
        assert not positions.clean(session, model_id, day, seen)
    assert join_all(sessions, lake, LATER) == 1


@ON_SQLITE
@pytest.mark.usefixtures("kept_where")
def test_while_others_write_fold_and_archive_no_other_row_is_lost(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 50)
    finish(sessions, lake)
    n_sent, stop = 50, threading.Event()

    def archive() -> None:
        while not stop.is_set():
            finish(sessions, lake)

    erasures = []
    with ThreadPoolExecutor(2) as pool:
        archivers = [pool.submit(archive) for _ in range(2)]
        try:
            for _ in range(2):
                send(sessions, model_id, n_sent, 10)
                n_sent += 10
                erasures.append(want(sessions, model_id))
                assert erase(sessions, lake, model_id, LATER) == 1
        finally:
            stop.set()
        for archiver in archivers:
            archiver.result()
    finish(sessions, lake)

    left = predictions(lake, model_id)
    assert sorted(number(row) for row in left) == sorted(2 * [*range(n_sent)])
    assert not any(names(row) for row in left)
    assert traces(lake, GONE) == []
    with read_only(sessions) as session:
        counts = [session.get_one(Erasure, each).n_lake for each in erasures]
    assert counts == [3 * 60, 30]
