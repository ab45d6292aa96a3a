"""A large payload lies in a file beside an SQLite database, and nobody notices."""

import os
import signal
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.schema.rows import Kind
from core.settings import Settings
from db import payload_files
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import Inbox, InboxPayload
from services.aggregation.fold import fold_all
from services.ingest.persist import keep
from services.platform_faults import set_aside
from services.platform_faults.set_aside import LONGEST_DELAY
from services.read_models.lookup import snapshot
from services.retention.archive import archive, archive_all
from tests.databases import ON_SQLITE
from tests.ingest.conftest import arrow_body
from tests.ingest.test_durability import running
from tests.streams import START, add_model, prediction, table, waiting_rows

LATE = START + timedelta(hours=1)
N_LARGE = 8_000  # rows of a payload that gets a file


def rows(n: int, first: int = 0) -> pa.Table:
    return table(Kind.PREDICTIONS, [prediction(START, i) for i in range(first, first + n)])


def send(sessions: sessionmaker[Session], model_id: UUID, n: int, first: int = 0) -> None:
    with unit_of_work(sessions) as session:
        keep(session, model_id, Kind.PREDICTIONS, rows(n, first), START)


def files(sessions: sessionmaker[Session]) -> list[Path]:
    with read_only(sessions) as session:
        within = payload_files.folder(session)
    return sorted(within.iterdir()) if within is not None and within.exists() else []


def ids(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


def named(sessions: sessionmaker[Session]) -> list[str | None]:
    with read_only(sessions) as session:
        return [*session.scalars(select(Inbox.file).order_by(Inbox.id))]


def test_what_is_large_goes_beside_sqlite_and_into_any_other_database(
    sessions: sessionmaker[Session], database_url: str
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, N_LARGE)
    send(sessions, model_id, 5, N_LARGE)

    large, small = named(sessions)
    assert small is None
    is_sqlite = database_url.startswith("sqlite")
    assert [path.name for path in files(sessions)] == ([large] if is_sqlite else [])
    with read_only(sessions) as session:
        assert len(session.scalars(select(InboxPayload)).all()) == (1 if is_sqlite else 2)
    sent = [row["prediction_id"] for row in waiting_rows(sessions)]
    assert sent == rows(N_LARGE + 5)["prediction_id"].to_pylist()


def test_a_file_goes_when_its_rows_are_in_the_lake(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, N_LARGE)
    assert fold_all(sessions, LATE) == N_LARGE
    assert archive_all(sessions, settings.lake, LATE) == N_LARGE
    assert named(sessions) == []
    send(sessions, model_id, N_LARGE, N_LARGE)

    archive_all(sessions, settings.lake, LATE)

    assert [path.name for path in files(sessions)] == [one for one in named(sessions) if one]
    with snapshot.open_snapshot(sessions, settings.lake, model_id) as seen:
        assert seen.log.last_group(Kind.PREDICTIONS) == 1


@ON_SQLITE
def test_only_what_no_entry_names_is_swept(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, N_LARGE)
    [path] = files(sessions)
    orphan = path.with_name("cut-off.arrows")
    orphan.write_bytes(b"half a payl")

    assert payload_files.sweep(sessions) == 1

    assert files(sessions) == [path]
    assert payload_files.sweep(sessions) == 0


@ON_SQLITE
def test_a_transaction_that_fails_names_no_file(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    with sessions() as session:
        keep(session, model_id, Kind.PREDICTIONS, rows(N_LARGE), START)
        assert len(files(sessions)) == 1
        session.rollback()

    assert named(sessions) == []
    assert payload_files.sweep(sessions) == 1
    assert files(sessions) == []


@ON_SQLITE
def test_nothing_is_swept_while_a_file_waits_for_its_transaction(
    sessions: sessionmaker[Session],
) -> None:
    """The sweep takes the write lock: what lies there then, is named or never will be."""
    model_id = add_model(sessions)
    sweeping = threading.Thread(target=payload_files.sweep, args=(sessions,))
    with unit_of_work(sessions) as session:
        keep(session, model_id, Kind.PREDICTIONS, rows(N_LARGE), START)
        sweeping.start()
        time.sleep(0.3)
        assert sweeping.is_alive()
        assert len(files(sessions)) == 1
    sweeping.join(timeout=30)

    assert [path.name for path in files(sessions)] == named(sessions)
    assert len(waiting_rows(sessions)) == N_LARGE


@ON_SQLITE
def test_a_lookup_whose_file_has_gone_is_repeated(
    sessions: sessionmaker[Session], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, N_LARGE)
    read, moved = payload_files.read, list[bool]()

    def late(session: Session, name: str) -> bytes:
        if not moved:
            moved.append(True)
            fold_all(sessions, LATE)
            archive_all(sessions, settings.lake, LATE)
            payload_files.sweep(sessions)
        return read(session, name)

    monkeypatch.setattr(payload_files, "read", late)
    with snapshot.open_snapshot(sessions, settings.lake, model_id) as seen:
        assert seen.log.last_group(Kind.PREDICTIONS) == 1
    assert moved


@ON_SQLITE
def test_an_archive_that_was_overtaken_leaves_it_to_the_other(
    sessions: sessionmaker[Session], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, N_LARGE)
    fold_all(sessions, LATE)
    read, moved = payload_files.read, list[bool]()

    def late(session: Session, name: str) -> bytes:
        if not moved:
            moved.append(True)
            archive_all(sessions, settings.lake, LATE)
            payload_files.sweep(sessions)
        return read(session, name)

    monkeypatch.setattr(payload_files, "read", late)
    assert archive(sessions, settings.lake, model_id, Kind.PREDICTIONS) == 0
    assert moved
    with snapshot.open_snapshot(sessions, settings.lake, model_id) as seen:
        assert seen.log.last_group(Kind.PREDICTIONS) == 1


def reasons(sessions: sessionmaker[Session], model_id: UUID) -> list[str]:
    """Return the stages at which the stream is set aside because its file is not there."""
    with read_only(sessions) as session:
        aside = set_aside.of_model(session, model_id)
    assert all(row.error.startswith("PayloadGone: payload file") for row in aside)
    return [row.stage.value for row in aside]


@ON_SQLITE
def test_a_file_that_is_lost_sets_the_stream_aside_until_it_is_back(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, N_LARGE)
    [path] = files(sessions)
    content = path.read_bytes()
    path.unlink()
    assert fold_all(sessions, LATE) == 0
    assert reasons(sessions, model_id) == ["fold"]
    path.write_bytes(content)
    assert fold_all(sessions, LATE + LONGEST_DELAY) == N_LARGE
    assert reasons(sessions, model_id) == []
    path.unlink()
    assert archive_all(sessions, settings.lake, LATE) == 0
    assert reasons(sessions, model_id) == ["archive"]


@ON_SQLITE
def test_a_broken_disk_is_a_refusal_that_states_when_to_retry(
    settings: Settings,
    sessions: sessionmaker[Session],
    model: str,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from api.main import create_app

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    body = arrow_body(rows_of_the_contract(N_LARGE))
    roomy = settings.model_copy(update={"max_body_bytes": 2**24, "max_rows": 20_000})
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/vnd.apache.arrow.stream",
    }
    with TestClient(create_app(roomy, sessions), headers=headers) as client:
        with monkeypatch.context() as broken:
            broken.setattr(payload_files, "_flush", full)
            answer = client.post(f"/v1/models/{model}/predictions", content=body)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) >= 1
        assert waiting_rows(sessions) == []
        again = client.post(f"/v1/models/{model}/predictions", content=body)
        assert again.json()["accepted"] == N_LARGE
        assert not again.json()["duplicate"]
    assert [path.name for path in files(sessions)] == named(sessions)
    assert len(waiting_rows(sessions)) == N_LARGE


def rows_of_the_contract(n: int, name: str = "p") -> pa.Table:
    number = [[0.5, 1.5]] * n
    return pa.table(
        {
            "prediction_id": [f"{name}-{i}" for i in range(n)],
            "version": ["v1"] * n,
            "at": pa.array([START] * n, pa.timestamp("us", tz="UTC")),
            "features.load": [[1.0]] * n,
            "features.wind é.1": [[1.0]] * n,
            "output.load": number,
            "output.price": number,
        }
    )


@pytest.mark.slow
@ON_SQLITE
@pytest.mark.usefixtures("model")
def test_killed_while_files_are_written_every_acknowledged_row_is_there_once(
    settings: Settings, sessions: sessionmaker[Session], token: str
) -> None:
    settings = settings.model_copy(update={"max_rows": 20_000})
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/vnd.apache.arrow.stream",
    }
    acknowledged: list[str] = []

    def go_on(address: str, no: int) -> None:
        with httpx.Client(headers=headers, timeout=10) as client:
            for i in range(1_000):
                name = f"{no}-{i}-{os.getpid()}-{round_no}"
                body = arrow_body(rows_of_the_contract(N_LARGE, name))
                try:
                    answer = client.post(f"{address}/v1/models/grid/predictions", content=body)
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                acknowledged.append(name)

    for round_no in range(5):
        before = len(acknowledged)
        with running(settings) as (address, process):
            senders = [threading.Thread(target=go_on, args=(address, no)) for no in range(4)]
            for sender in senders:
                sender.start()
            while len(acknowledged) < before + 5 + 3 * round_no:
                assert process.poll() is None
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            for sender in senders:
                sender.join()

    payload_files.sweep(sessions)
    assert len(files(sessions)) >= len(acknowledged) / 4
    assert {path.name for path in files(sessions)} == {*named(sessions)}
    kept = Counter(row["prediction_id"] for row in waiting_rows(sessions))
    assert set(kept.values()) == {1}
    assert {f"{name}-{i}" for name in acknowledged for i in range(N_LARGE)} <= kept.keys()
    with read_only(sessions) as session:
        assert positions.waiting(session, folded=False)
