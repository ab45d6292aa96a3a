"""A platform on a real port, as `make run` starts it, for the pages to talk to."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest
import uvicorn
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.settings import Settings
from db.session import unit_of_work
from services.access.api_keys import create_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where it answers, and a key that opens everything."""

    url: str
    key: str


@pytest.fixture
def platform(
    settings: Settings, sessions: sessionmaker[Session], now: datetime
) -> Iterator[Address]:
    with unit_of_work(sessions) as session:
        key = create_key(session, "admin", ["admin"], None, now)
    app = create_app(settings, sessions)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Address(url=f"http://127.0.0.1:{port}", key=key)
    server.should_exit = True
    thread.join()
