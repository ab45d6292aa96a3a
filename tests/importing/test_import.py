"""An import ends with every row once, however often it was killed, and reports what it did."""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import uvicorn
from deltalake import write_deltalake
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from cli.importing.arguments import add_import
from cli.importing.command import run
from core.durations import HOUR
from core.errors import AppError, Unprocessable
from core.schema.rows import Kind
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import Inbox, Model, Quarantine, Receipt, Scope
from services.access.api_keys import create_key
from services.aggregation.fold import fold_all
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from tests.streams import START, add_model

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Place:
    """A platform that listens, and a folder with files."""

    def __init__(self, url: str, key: str, folder: Path, settings: Settings) -> None:
        self.url, self.key, self.folder, self.settings = url, key, folder, settings

    def arguments(self, *given: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_import(parser)
        where = ["--url", self.url, "--key-file", str(self.folder / "key")]
        state = ["--state", str(self.folder / "state"), "--version", "v1", "--no-backtest"]
        return parser.parse_args(["grid", *given, *where, *state])

    def bring(self, *given: str) -> int:
        return run(self.settings, self.arguments(*given))


@pytest.fixture
def place(
    settings: Settings, sessions: sessionmaker[Session], tmp_path: Path
) -> Iterator[Place]:
    add_model(sessions)
    with unit_of_work(sessions) as session:
        scopes = {Scope.INGEST, Scope.OPERATE, Scope.READ}
        key = create_key(session, "importer", scopes, None, START)
    (tmp_path / "key").write_text(key)
    app = create_app(settings, sessions)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Place(f"http://127.0.0.1:{port}", key, tmp_path, settings)
    server.should_exit = True
    thread.join()


def past(n: int, **columns: list[Any]) -> pa.Table:
    values = np.round(np.sin(np.arange(n)) * 64) / 64
    plain = {
        "when": [(START + i * HOUR).strftime("%Y-%m-%d %H:%M:%S") for i in range(n)],
        "load": values,
        "wind": values,
        "h1": values,
        "h2": values,
        "h3": values,
        "seen": values,
    }
    return pa.table(plain | columns)


MAP = ["--map", "at=when", "--map", "output.load=h1,h2,h3", "--timezone", "UTC"]


def csv(place: Place, table: pa.Table) -> str:
    path = place.folder / "past.csv"
    pa.csv.write_csv(table, path)
    return str(path)


def parquet(place: Place, table: pa.Table) -> str:
    path = place.folder / "past.parquet"
    pq.write_table(table, path, row_group_size=700)
    return str(path)


def delta(place: Place, table: pa.Table) -> str:
    path = place.folder / "past"
    for start in range(0, len(table), 800):
        write_deltalake(str(path), table.slice(start, 800), mode="append")
    return str(path)


def kept(sessions: sessionmaker[Session], kind: Kind) -> int:
    with read_only(sessions) as session:
        total = func.coalesce(func.sum(Inbox.n_rows), 0)
        return int(session.scalar(select(total).where(Inbox.kind == kind)) or 0)


@pytest.mark.parametrize("write", [csv, parquet, delta])
def test_every_row_of_a_file_is_kept_once_also_when_it_is_imported_again(
    place: Place,
    sessions: sessionmaker[Session],
    write: Callable[[Place, pa.Table], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(place, past(2000))
    more = ["--map", "actual.load=seen", "--batch-rows", "300"]
    assert place.bring(path, *MAP, *more) == 0
    assert (kept(sessions, Kind.PREDICTIONS), kept(sessions, Kind.LABELS)) == (2000, 2000)
    with read_only(sessions) as session:
        assert session.scalars(select(Model.history_until)).one() == START + 1999 * HOUR
    for file in (place.folder / "state").rglob("*.jsonl"):
        assert place.bring(path, *MAP, *more) == 0  # nothing is sent
        file.unlink()
    assert place.bring(path, *MAP, *more) == 0  # all of it is, in vain
    assert (kept(sessions, Kind.PREDICTIONS), kept(sessions, Kind.LABELS)) == (2000, 2000)
    assert "predictions: 0 accepted, 2,000 were here before, 0" in capsys.readouterr().out


def test_bad_rows_are_named_by_their_place_in_the_file(
    place: Place, sessions: sessionmaker[Session], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = past(500).to_pylist()
    for row in (7, 333):
        wrong[row]["h2"] = None
    path = parquet(place, pa.Table.from_pylist(wrong))
    assert place.bring(path, *MAP, "--check", "--batch-rows", "100") == 1
    checked = capsys.readouterr().out
    assert kept(sessions, Kind.PREDICTIONS) == 0
    assert "2 rows would be refused; nothing was sent" in checked

    assert place.bring(path, *MAP, "--batch-rows", "100") == 1
    printed = capsys.readouterr().out
    assert kept(sessions, Kind.PREDICTIONS) == 498
    assert "498 accepted, 2 in quarantine" in printed
    for text in (checked, printed):
        assert "row 7, output.load" in text
        assert "row 333, output.load" in text
    with read_only(sessions) as session:
        assert len(session.scalars(select(Quarantine)).all()) == 2


def test_past_input_has_no_version_and_makes_no_history(
    place: Place, sessions: sessionmaker[Session]
) -> None:
    assert (
        place.bring(
            csv(place, past(50)), "--map", "at=when", "--timezone", "UTC", "--reference"
        )
        == 0
    )
    assert kept(sessions, Kind.PREDICTIONS) == 50
    with read_only(sessions) as session:
        assert session.scalars(select(Model.history_until)).one() is None


def test_what_is_wrong_is_reported_in_one_sentence(place: Place) -> None:
    path = csv(place, past(5))
    with pytest.raises(Unprocessable, match="state it as timezone"):
        place.bring(path, "--map", "at=when", "--map", "output.load=h1,h2,h3")
    with pytest.raises(Unprocessable, match="no file"):
        place.bring(str(place.folder / "nothing.csv"), *MAP)
    given = place.arguments(path, *MAP)
    given.model = "nobody"
    with pytest.raises(AppError, match="404 NotFound"):
        run(place.settings, given)


@pytest.mark.slow
def test_an_import_that_is_killed_again_and_again_ends_with_every_row_once(
    place: Place, sessions: sessionmaker[Session], settings: Settings
) -> None:
    when = [(START - hours * HOUR).strftime("%Y-%m-%d %H:%M:%S") for hours in range(20_000)]
    path = parquet(place, past(20_000, when=when))
    command = [
        *(sys.executable, "-m", "cli.main", "import", "grid", path, *MAP),
        *("--map", "actual.load=seen", "--batch-rows", "100", "--version", "v1"),
        *("--url", place.url, "--key-file", str(place.folder / "key"), "--no-backtest"),
        *("--state", str(place.folder / "state")),
    ]
    chance, n_killed = np.random.default_rng(1), 0
    while True:
        with (place.folder / "output").open("ab") as output:
            process = subprocess.Popen(command, stderr=output, stdout=output)
        n_done = _n_receipts(sessions)
        until = n_done + int(chance.integers(5, 60))
        while process.poll() is None and _n_receipts(sessions) < until:
            threading.Event().wait(0.005)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        n_killed += 1
    assert process.returncode == 0, (place.folder / "output").read_text("utf-8")[-2000:]
    assert n_killed >= 5
    assert (kept(sessions, Kind.PREDICTIONS), kept(sessions, Kind.LABELS)) == (20_000, 20_000)
    now = START + timedelta(days=1000)
    fold_all(sessions, now)
    archive_all(sessions, settings.lake, now)
    join_all(sessions, settings.lake, now)


def _n_receipts(sessions: sessionmaker[Session]) -> int:
    with read_only(sessions) as session:
        return int(session.scalar(select(func.count()).select_from(Receipt)) or 0)
