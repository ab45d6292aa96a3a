"""`seqwatch slo`: thin over the public interface."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
import yaml
from fastapi import FastAPI
from sqlalchemy.orm import Session, sessionmaker

from cli.main import main
from db.session import unit_of_work
from services.access.api_keys import create_key
from tests.api.conftest import app, as_key, model, operator, stranger
from tests.streams import START

__all__ = ["app", "as_key", "model", "operator", "stranger"]  # fixtures
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def url(
    app: FastAPI, model: str, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Serve the interface, with a model and a key in the environment."""
    with unit_of_work(sessions) as session:
        key = create_key(session, "shell", ["operate", "read"], None, START)
    monkeypatch.setenv("SEQWATCH_KEY", key)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_slos_are_listed_shown_linted_exported_and_imported(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        assert main(["slo", *arguments, "--url", url]) == 0
        return capsys.readouterr().out

    assert "latency  latency: not evaluated, no budget yet" in run("list", "grid")
    assert json.loads(run("show", "grid", "latency"))["name"] == "latency"
    (params := tmp_path / "params.json").write_text('{"objective": 0.999}')
    assert json.loads(run("lint", "grid", str(params)))["warnings"]
    exported = run("export", "grid")
    assert exported == run("export")
    (file := tmp_path / "slos.yaml").write_text(exported.replace("name: latency", "name: fast"))
    assert "grid/availability  updated" in run("import", str(file))
    assert "fast  latency" in run("list", "grid")
    assert len(yaml.safe_load(run("rules", "grid"))["groups"]) == 9


def test_a_fault_of_a_document_is_printed(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "slos.yaml").write_text("kind: SLO\nkind: SLO")
    assert main(["slo", "import", str(file), "--url", url]) == 1
    assert "body:2: kind: is given twice" in capsys.readouterr().err
    assert main(["slo", "import", str(tmp_path / "none.yaml"), "--url", url]) == 1
    assert "none.yaml: No such file" in capsys.readouterr().err
