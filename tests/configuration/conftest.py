"""A platform on a real port, and the real command with files in a folder."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import dedent

import pytest
import uvicorn
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from cli.main import main
from core.settings import Settings
from db.session import unit_of_work
from services.access.api_keys import create_key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOAD = """
    kind: Model
    name: load
    tags: [hourly]
    contract:
      features: [{name: load}, {name: temperature}]
      targets: [load]
      step: PT1H
      input_length: 96
      horizon: 24
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str


Seqwatch = Callable[..., Ran]
Write = Callable[..., Path]


@pytest.fixture
def url(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[str]:
    app = create_app(settings, sessions)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def as_key(
    sessions: sessionmaker[Session], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Put a key with these scopes into the environment."""

    def put(*scopes: str) -> str:
        with unit_of_work(sessions) as session:
            key = create_key(session, "-".join(scopes), scopes, None, now)
        monkeypatch.setenv("SEQWATCH_KEY", key)
        return key

    return put


@pytest.fixture
def seqwatch(
    url: str, as_key: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> Seqwatch:
    """Run one command against the platform, with an admin key."""
    as_key("admin")

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        status = main([*map(str, arguments), "--url", url])
        out, err = capsys.readouterr()
        return Ran(status=status, out=out, err=err)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of the configuration, and return its folder."""

    def put(text: str, name: str = "load.yaml", folder: str = "files") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), "utf-8")
        return tmp_path / folder

    return put
