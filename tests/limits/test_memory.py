"""Many large bodies at once: memory is bounded, and small senders still get in."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.session import unit_of_work
from db.tables import Model
from services.access.api_keys import create_key
from tests.ingest.conftest import CONTRACT, as_json, prediction

MIB = 2**20
N_SENDERS = 200
BODY = 32 * MIB
PATH = "/v1/models/grid/predictions"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


@contextmanager
def server(settings: Settings, **more: object) -> Iterator[tuple[str, int, int]]:
    """Start the API as it runs in production; yield its host, port and process id."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"database_url": settings.database_url, "lake": settings.lake, "port": port, **more}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "api"],
        env={**os.environ, **{f"SEQWATCH_{k.upper()}": str(v) for k, v in given.items()}},
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + 60
        while True:
            assert process.poll() is None
            assert time.monotonic() < give_up
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as probe:
                try:
                    probe.request("GET", "/health")
                except OSError:
                    time.sleep(0.05)
                else:
                    break
        yield "127.0.0.1", port, process.pid
    finally:
        process.kill()
        process.wait()


def resident(pid: int) -> int:
    """Return how many bytes of memory a process holds now."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def tokens(sessions: sessionmaker[Session]) -> list[str]:
    with unit_of_work(sessions) as session:
        session.add(Model(name="grid", contract=CONTRACT, created_at=utcnow()))
        return [create_key(session, f"k{i}", ["ingest"], None, utcnow()) for i in range(3)]


class Large(threading.Thread):
    """Sends one body of 32 MiB in pieces; slowly, until `hurry` is set."""

    def __init__(self, host: str, port: int, token: str, hurry: threading.Event) -> None:
        super().__init__(daemon=True)
        self._place, self._token, self._hurry = (host, port), token, hurry
        self.status: int | str | None = None

    def run(self) -> None:
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {BODY}\r\n\r\n"
        )
        piece = b" " * MIB
        try:
            with socket.create_connection(self._place, timeout=120) as connection:
                connection.sendall(head.encode())
                for i in range(BODY // MIB):
                    connection.sendall(piece)
                    if i == 8:
                        self._hurry.wait(60)
                self.status = int(connection.recv(4096).split()[1])
        except (OSError, IndexError) as error:
            self.status = type(error).__name__


def small(host: str, port: int, token: str, number: int) -> tuple[int, float]:
    with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
        started = time.monotonic()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = as_json(prediction(prediction_id=f"small-{number}"))
        connection.request("POST", PATH, body=body, headers=headers)
        return connection.getresponse().status, time.monotonic() - started


def test_two_hundred_large_bodies_do_not_grow_memory_nor_lock_others_out(
    settings: Settings, tokens: list[str]
) -> None:
    with server(settings) as (host, port, pid):
        assert small(host, port, tokens[2], 0)[0] == 200
        before, hurry = resident(pid), threading.Event()
        senders = [Large(host, port, tokens[i % 2], hurry) for i in range(N_SENDERS)]
        for sender in senders:
            sender.start()
        most, answers = before, list[int]()
        give_up = time.monotonic() + 120
        while any(sender.is_alive() for sender in senders) and time.monotonic() < give_up:
            most = max(most, resident(pid))
            answers.append(small(host, port, tokens[2], len(answers) + 1)[0])
            if len(answers) == 30:
                hurry.set()
        statuses = Counter(sender.status for sender in senders)

    assert most - before < 300 * MIB, (
        f"{(most - before) / MIB:.0f} MiB"
    )  # 128 of bodies, and what is made of one at a time
    assert Counter(answers) == {200: len(answers)}
    # A body of blanks is not JSON: those that had room were read, and refused for that.
    assert statuses[400] >= 1
    # Of a refused body 1 MiB is discarded, then the connection is reset: who goes on sending
    # sees the reset, or the answer before it.
    refused = statuses[503] + statuses["ConnectionResetError"] + statuses["BrokenPipeError"]
    assert refused >= N_SENDERS // 2
    assert statuses[400] + refused == N_SENDERS


def test_a_sender_that_stalls_gives_its_room_back(
    settings: Settings, tokens: list[str]
) -> None:
    with server(settings, body_time=1) as (host, port, _):
        senders = [Large(host, port, tokens[0], threading.Event()) for _ in range(2)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(100)
        assert {sender.status for sender in senders} <= {
            408,
            "ConnectionResetError",
            "BrokenPipeError",
        }
        fast = threading.Event()
        fast.set()
        again = Large(host, port, tokens[0], fast)
        again.start()
        again.join(100)
        assert again.status == 400
