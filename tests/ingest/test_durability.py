"""What was acknowledged is there, once, after the process is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.settings import Settings
from tests.ingest.conftest import PREDICTIONS, Stored, as_json, prediction
from tests.ingest.test_events import EVENTS, event

N_SENDERS = 8
N_ACKNOWLEDGED = 400  # then the process is killed


@contextmanager
def running(
    settings: Settings, log: Path | None = None
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        f"SEQWATCH_{name.upper()}": str(getattr(settings, name))
        for name in ("database_url", "lake", "artifacts", "reports", "max_rows")
    }
    with Path(log or os.devnull).open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "api"],
            env={**os.environ, **given, "SEQWATCH_PORT": str(port)},
            stdout=written if log else None,
            stderr=written,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        give_up = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{address}/health", timeout=5)
                break
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.05)
        yield address, process
    finally:
        process.kill()
        process.wait()


def row_of(url: str, name: str, *, is_good: bool) -> dict[str, Any]:
    if url.endswith("events"):
        return event(event_id=name, type="load" if is_good else "unheard_of")
    return prediction(prediction_id=name, status="ok" if is_good else "unheard of")


class Sender(threading.Thread):
    """Sends good and bad rows until the server is gone; keeps the answers."""

    def __init__(self, no: int, url: str, token: str) -> None:
        super().__init__()
        self.no = no
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.unanswered = b""

    def run(self) -> None:
        with httpx.Client(headers=self.headers, timeout=10) as client:
            for i in range(1_000_000):
                name = f"{self.no}-{i}"
                self.unanswered = as_json(row_of(self.url, name, is_good=bool(i % 5)))
                try:
                    answer = client.post(self.url, content=self.unanswered)
                except httpx.TransportError:
                    return
                (self.acknowledged if answer.status_code == 200 else self.refused).append(name)


@pytest.mark.slow
@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("path", "id_name"), [(PREDICTIONS, "prediction_id"), (EVENTS, "event_id")]
)
def test_a_killed_server_has_every_acknowledged_row_once(
    settings: Settings, token: str, stored: Stored, path: str, id_name: str
) -> None:
    with running(settings) as (address, process):
        senders = [Sender(no, address + path, token) for no in range(N_SENDERS)]
        for sender in senders:
            sender.start()
        while sum(len(sender.acknowledged) for sender in senders) < N_ACKNOWLEDGED:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        for sender in senders:
            sender.join()

    kept = Counter(row[id_name] for row in stored())
    acknowledged = {name for sender in senders for name in sender.acknowledged}
    refused = {name for sender in senders for name in sender.refused}
    assert acknowledged <= kept.keys()
    assert set(kept.values()) == {1}
    assert refused
    assert not refused & kept.keys()
    unsure = kept.keys() - acknowledged
    assert unsure <= {json.loads(sender.unanswered)[id_name] for sender in senders}

    # What got no answer is sent again, whole, and is then there once.
    with running(settings) as (address, _):
        for sender in senders:
            httpx.post(
                address + path,
                content=sender.unanswered,
                headers=sender.headers,
            )
    assert set(Counter(row[id_name] for row in stored()).values()) == {1}
    assert len(stored()) >= len(acknowledged)
