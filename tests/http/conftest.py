"""A real server with short times, and sockets that send what no HTTP client would."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest
import uvicorn
from sqlalchemy.orm import Session, sessionmaker
from starlette.types import ASGIApp

from api.main import create_app
from api.server.http_protocol import Times, protocol
from core.clock import utcnow
from core.settings import Settings
from db.session import unit_of_work
from services.access.api_keys import create_key
from services.models.registry import Registration, register
from tests.ingest.conftest import CONTRACT

SHORT = Times(head=0.3, idle=0.5, discard=0.3, write=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    port: int

    def connect(self, **options: int) -> socket.socket:
        made = socket.socket()
        for name, value in options.items():
            made.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        made.settimeout(10)
        made.connect(("127.0.0.1", self.port))
        return made

    def ask(self, *pieces: bytes) -> bytes:
        """Send these, and return everything that comes until the server closes."""
        with closing(self.connect()) as connection:
            for piece in pieces:
                connection.sendall(piece)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read one response with a length: its status and its content."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = connection.recv(65536)
        assert part, got
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(headers[b"content-length"]):
        body += connection.recv(65536)
    return int(head.split(b" ")[1]), body


@contextmanager
def serving(app: ASGIApp, settings: Settings, times: Times = SHORT) -> Iterator[Server]:
    config = uvicorn.Config(
        app,
        port=0,
        log_level="error",
        loop="uvloop",
        http=protocol(settings, times),  # type: ignore[arg-type]
        ws="none",
    )
    server = uvicorn.Server(config)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    started = threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(server.serve([listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        started.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield Server(port=listener.getsockname()[1])
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(20)
        listener.close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"max_connections": 50, "max_connections_per_address": 20}
    )


@pytest.fixture
def token(sessions: sessionmaker[Session]) -> str:
    with unit_of_work(sessions) as session:
        register(session, Registration(name="grid", contract=CONTRACT), utcnow())
        return create_key(session, "sender", ["ingest", "operate", "read"], None, utcnow())


@pytest.fixture
def server(settings: Settings, sessions: sessionmaker[Session], token: str) -> Iterator[Server]:
    with serving(create_app(settings, sessions), settings) as running:
        yield running


Head = Callable[..., bytes]


@pytest.fixture
def head(token: str) -> Head:
    """Return the head of a request that shows the key."""

    def write(method: str, path: str, *lines: str) -> bytes:
        shown = f"Authorization: Bearer {token}"
        return "\r\n".join(
            [f"{method} {path} HTTP/1.1", "Host: x", shown, *lines, "", ""]
        ).encode()

    return write
