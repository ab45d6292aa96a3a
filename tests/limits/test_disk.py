"""A disk that fills up: nothing acknowledged is lost, nothing is a 500, and it mends."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.settings import Settings
from db.session import connect, unit_of_work
from db.tables import Inbox, Model, Scope
from services.access.api_keys import create_key
from services.access.capacity import Backlog, BacklogLimit, Disks, reached
from tests.ingest.conftest import CONTRACT, as_json, prediction
from tests.streams import waiting_rows

MIB = 2**20
PATH = "/v1/models/grid/predictions"
LITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Disk:
    """A disk whose free space a test sets."""

    def __init__(self, free: int) -> None:
        self.free, self.at = free, 0.0

    def read_free(self, _: Path) -> int:
        return self.free

    def clock(self) -> float:
        self.at += 1.0
        return self.at


def test_a_disk_is_low_until_a_quarter_more_is_free() -> None:
    disk = Disk(1000)
    disks = Disks(Settings(min_free_bytes=100), disk.read_free, disk.clock)
    are_low = []
    for free in (101, 99, 110, 124, 125, 101, 99):
        disk.free = free
        are_low.append(disks.low() is not None)
    assert are_low == [False, True, True, True, False, False, True]


def test_the_disk_is_not_read_when_no_space_is_required() -> None:
    disk = Disk(0)
    assert Disks(Settings(min_free_bytes=0), disk.read_free, disk.clock).low() is None


def test_only_disks_that_can_be_seen_from_here_are_watched() -> None:
    disk = Disk(7)
    far = Settings(database_url="postgresql+psycopg://u@h/d")
    assert Disks(far, disk.read_free, disk.clock).free() == {"lake": 7}
    assert set(Disks(Settings(), disk.read_free, disk.clock).free()) == {"database", "lake"}


@pytest.mark.parametrize(
    ("waiting", "begins"),
    [
        pytest.param(Backlog(n_bytes=0, age=timedelta(0)), [], id="nothing waits"),
        pytest.param(
            Backlog(n_bytes=2**21, age=timedelta(0)), ["2097152 bytes wait"], id="too much"
        ),
        pytest.param(
            Backlog(n_bytes=1, age=timedelta(minutes=2)), ["rows have waited 120 s"], id="old"
        ),
    ],
)
def test_what_is_short_is_reported_in_words(waiting: Backlog, begins: list[str]) -> None:
    settings = Settings(
        max_backlog_bytes=2**20,
        max_backlog_age=timedelta(minutes=1),
        archive_after=timedelta(seconds=20),
    )
    disk = Disk(2**40)
    disks = Disks(settings, disk.read_free, disk.clock)
    found = reached(settings, disks, BacklogLimit(settings.max_backlog_bytes), waiting)
    texts = found.values()
    assert [each[: len(begin)] for each, begin in zip(texts, begins, strict=True)] == begins


def test_a_backlog_is_full_until_it_is_well_below() -> None:
    limit = BacklogLimit(100)
    assert [limit.note(n) for n in (101, 91, 90)] == [True, True, False]


@pytest.fixture
def token(sessions: sessionmaker[Session]) -> str:
    with unit_of_work(sessions) as session:
        session.add(Model(name="grid", contract=CONTRACT, created_at=utcnow()))
        return create_key(session, "k", [Scope.INGEST, Scope.READ], None, utcnow())


@LITE
def test_while_a_disk_is_low_batches_are_refused_before_they_are_read(
    settings: Settings, sessions: sessionmaker[Session], token: str, tmp_path: Path
) -> None:
    greedy = settings.model_copy(update={"min_free_bytes": 2**60})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with TestClient(create_app(greedy, sessions), headers=headers) as client:
        answer = client.post(PATH, content=as_json(prediction()))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert ready.text.startswith("not ready: the disk of the database is nearly full")
        assert str(tmp_path) not in ready.text
        scraped = client.get("/metrics").text
        assert "\nseqwatch_ready 0.0\n" in scraped
        assert '\nseqwatch_limit_reached{limit="min_free_bytes"} 1.0\n' in scraped


@LITE
def test_a_backlog_that_is_too_old_turns_readiness_red_and_takes_more_all_the_same(
    settings: Settings, sessions: sessionmaker[Session], token: str, now: datetime
) -> None:
    hasty = settings.model_copy(update={"max_backlog_age": timedelta(seconds=30)})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    app = create_app(hasty, sessions)
    with TestClient(app, headers=headers) as client:
        assert client.post(PATH, content=as_json(prediction())).status_code == 200
        assert client.get("/ready").status_code == 200
        with unit_of_work(sessions) as session:
            for entry in session.scalars(select(Inbox)):
                entry.received_at -= timedelta(minutes=1)
        assert client.get("/ready").text.startswith("not ready: rows have waited 6")
        again = as_json(prediction(prediction_id="p-2"))
        assert client.post(PATH, content=again).status_code == 200


@contextmanager
def small_disk(place: Path, n_bytes: int) -> Iterator[None]:
    """Mount a disk of this size. Needs root: a test of a full disk is never left out."""
    assert os.geteuid() == 0, "this test mounts a small disk: run it as root"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(place)]
    subprocess.run(mount, check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True, timeout=30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_rows", "n_bytes"),
    [pytest.param(60, 12 * MIB, id="database"), pytest.param(7_000, 64 * MIB, id="files")],
)
def test_a_full_disk_refuses_loses_nothing_and_mends_by_itself(
    migrated_file: Path, tmp_path: Path, n_rows: int, n_bytes: int
) -> None:
    place = tmp_path / "disk"
    with small_disk(place, n_bytes):
        shutil.copy(migrated_file, place / "seqwatch.sqlite")
        settings = Settings(
            database_url=f"sqlite:///{place}/seqwatch.sqlite",
            lake=place / "lake",
            min_free_bytes=0,  # so that it really fills
        )
        engine = connect(settings.database_url)
        sessions = sessionmaker(engine, expire_on_commit=False)
        with unit_of_work(sessions) as session:
            session.add(Model(name="grid", contract=CONTRACT, created_at=utcnow()))
            token = create_key(session, "k", [Scope.ADMIN], None, utcnow())
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        kept, refused = [], []
        app = create_app(settings, sessions)
        with TestClient(app, headers=headers, raise_server_exceptions=False) as client:

            def send(number: int) -> None:
                names = [f"p-{number}-{i}-{os.urandom(24).hex()}" for i in range(n_rows)]
                body = as_json({"rows": [prediction(prediction_id=name) for name in names]})
                answer = client.post(PATH, content=body)
                assert answer.status_code in (200, 503), answer.text
                if answer.status_code == 200:
                    kept.extend(names)
                else:
                    assert int(answer.headers["retry-after"]) >= 1
                    refused.extend(names)

            ballast = place / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(place).free - n_bytes // 6))
            for number in range(1500):
                send(number)
                if len(refused) >= 10 * n_rows:
                    break
            assert refused, "the disk never filled"
            assert kept
            # Everything else that writes is refused in the same way, and reading goes on.
            put = client.post("/v1/keys", json={"name": "x", "scopes": ["read"]})
            # What is small may still find room where a file did not.
            assert put.status_code in ((503,) if n_rows == 60 else (201, 503))
            assert client.get("/v1/models").status_code == 200
            ballast.unlink()
            n_before = len(kept)
            send(5000)
            assert len(kept) > n_before
        stored = [row["prediction_id"] for row in waiting_rows(sessions)]
        assert sorted(stored) == sorted(kept)
        engine.dispose()
