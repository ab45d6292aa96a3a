"""`seqwatch source`: thin over the public interface."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy.orm import Session, sessionmaker

from cli.main import main
from db.session import unit_of_work
from jobs.wiring import jobs
from jobs.worker import Queue, Worker
from services.access.api_keys import create_key
from tests.api.conftest import app, as_key, model, operator, stranger
from tests.plugins.source_world import MAPPING, NOW, TIED, World, append, world

__all__ = ["app", "as_key", "model", "operator", "stranger", "world"]  # fixtures


@pytest.fixture
def url(
    app: FastAPI, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Serve the interface, with a key in the environment."""
    with unit_of_work(sessions) as session:
        key = create_key(session, "shell", ["operate", "read"], None, NOW)
    monkeypatch.setenv("SEQWATCH_KEY", key)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_source_is_added_pulled_and_listed_from_the_shell(
    world: World,
    url: str,
    sessions: sessionmaker[Session],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = {"kind": "jsonl", "config": {"path": str(world.path)}, "stream": "labels"}
    file = tmp_path / "bills.json"
    file.write_text(json.dumps(body | {"mapping": MAPPING}), "utf-8")
    at = ["--url", url]
    assert main(["source", "add", "grid", "bills", str(file), *at]) == 0
    assert "labels by jsonl: 0 rows, 0 in quarantine, pulled never" in capsys.readouterr().out
    worker = Worker(world.settings, sessions, jobs(world.settings, sessions), Queue.PULL)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop, 0.1))
    thread.start()
    try:
        assert main(["source", "pull", "grid", "bills", *at]) == 1
        assert "FileNotFoundError" in capsys.readouterr().out
        append(world.path, TIED)
        assert main(["source", "pull", "grid", "bills", *at]) == 0
        assert "14 rows" in capsys.readouterr().out
    finally:
        stop.set()
        thread.join()
    assert main(["source", "list", "grid", *at]) == 0
    assert "bills  labels by jsonl: 14 rows" in capsys.readouterr().out


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_cannot_be_done_is_one_sentence(
    world: World, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bills.json"
    file.write_text('{"kind": "fax", "stream": "labels"}', "utf-8")
    for arguments, why in (
        (["add", "grid", "bills", str(tmp_path / "none")], "No such file"),
        (["add", "grid", "bills", str(file)], "422: no kind of source 'fax'"),
        (["pull", "grid", "bills"], "404: no source 'bills' of this model"),
        (["list", "other"], "404: no model 'other'"),
    ):
        assert main(["source", *arguments, "--url", url]) == 1
        assert why in capsys.readouterr().err
    assert main(["source", "list", "grid", "--url", "http://127.0.0.1:1"]) == 1
    shown = capsys.readouterr().err
    assert "no answer from http://127.0.0.1:1 (ConnectError: " in shown
    assert "is the API running there? The address is SEQWATCH_PUBLIC_URL, or --url" in shown
