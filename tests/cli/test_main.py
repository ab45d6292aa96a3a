import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest
from sqlalchemy.orm import Session, sessionmaker

from cli.main import main
from cli.processes import platform_command
from core import __version__
from db.session import connect
from db.tables import ApiKey, Scope
from services.access.api_keys import Authenticator
from tests.streams import add_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> str:
    monkeypatch.setenv("SEQWATCH_DATABASE_URL", database_url)
    monkeypatch.setenv("SEQWATCH_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("SEQWATCH_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SEQWATCH_REPORTS", str(tmp_path / "reports"))
    return database_url


@pytest.mark.usefixtures("configured")
def test_a_key_is_printed_once_and_only_its_digest_is_kept(
    sessions: sessionmaker[Session], capsys: pytest.CaptureFixture[str]
) -> None:
    model_id = add_model(sessions)
    assert main(["key", "forecaster", "--scope", "ingest", "--model", "grid"]) == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("sw_")
    caller = Authenticator(sessions).authenticate(token)
    assert (caller.name, caller.scopes, caller.model_id) == (
        "forecaster",
        frozenset({Scope.INGEST}),
        model_id,
    )
    with sessions() as session:
        [row] = session.query(ApiKey)
        assert token not in {str(value) for value in vars(row).values()}


@pytest.mark.usefixtures("configured")
def test_a_key_for_an_unknown_model_is_refused_in_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["key", "x", "--scope", "read", "--model", "nope"]) == 1
    assert capsys.readouterr().err == "NotFound: no model 'nope'\n"


def test_an_empty_database_is_brought_to_the_newest_schema(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/new/seqwatch.sqlite"
    monkeypatch.setenv("SEQWATCH_DATABASE_URL", url)
    assert (main(["migrate"]), main(["migrate"])) == (0, 0)
    engine = connect(url)
    assert add_model(sessionmaker(engine)) is not None
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "required: COMMAND", id="no command"),
        pytest.param(["sing"], "invalid choice: 'sing'", id="an unknown command"),
        pytest.param(["key", "x", "--scope", "all"], "invalid choice: 'all'", id="a scope"),
        pytest.param(["demo", "--no-change", "--fault", "unit"], "not allowed", id="both"),
    ],
)
def test_what_cannot_be_done_is_reported(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="nothing"),
        pytest.param(["load"], id="no file"),
        pytest.param(["load", "load.csv", "-f", "files"], id="both"),
    ],
)
def test_an_export_is_either_of_rows_or_of_the_configuration(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *arguments]) == 1
    assert "give MODEL and FILE for predictions, or -f DIR alone" in capsys.readouterr().err


def test_the_version_is_the_changelogs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


@pytest.fixture
def taken_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port: int = other.getsockname()[1]
        monkeypatch.setenv("SEQWATCH_PORT", str(port))
        yield port


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_port_in_use_ends_the_command_before_it_prints_an_address_or_a_key(
    command: str, taken_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--folder", str(tmp_path / "demo")] if command == "demo" else []
    assert main([command, *folder]) == 1
    out, err = capsys.readouterr()
    assert "sw_" not in out
    assert "http://" not in out
    assert f"cannot listen on 127.0.0.1 port {taken_port}: Address already in use" in err


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.slow
@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("role", ["worker", "trainer", "api"])
def test_a_role_ends_in_order_on_a_signal(role: str) -> None:
    port = free_port()
    process = subprocess.Popen(
        platform_command(role), cwd=ROOT, env={**os.environ, "SEQWATCH_PORT": str(port)}
    )
    if role == "api":
        wait_for(f"http://127.0.0.1:{port}/ready")
    else:
        sleep(10)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    # uvicorn ends as the signal asks it to.
    assert process.wait(30) in (0, -signal.SIGTERM)


def wait_for(url: str) -> None:
    end = monotonic() + 60
    while monotonic() < end:
        try:
            httpx.get(url).raise_for_status()
            return
        except httpx.HTTPError:
            sleep(0.2)
    raise TimeoutError(url)
