"""A load generator that costs little: raw sockets, keep-alive, bodies patched in place."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import uvloop

# Stands in a template body wherever the serial number of the request belongs.
MARKER = b"########"
_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one kind of request looks like."""

    name: str
    path: str
    content_type: str
    body: bytes
    n_rows: int
    n_connections: int


@dataclass(slots=True, kw_only=True)
class Measured:
    """What was acknowledged within the measured time."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    n_answered: int = 0  # the warm-up included
    n_refused: int = 0
    first_refusal: str = ""

    def percentile(self, percent: float) -> float:
        return float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")


class Patched:
    """Makes each request unlike any other, without building it anew."""

    def __init__(self, shape: Shape, token: str, first: int) -> None:
        head = (
            f"POST {shape.path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n"
            f"content-type: {shape.content_type}\r\ncontent-length: {len(shape.body)}\r\n\r\n"
        ).encode()
        request = head + shape.body
        starts = []
        at = request.find(MARKER)
        while at >= 0:
            starts.append(at)
            at = request.find(MARKER, at + len(MARKER))
        self._request = np.frombuffer(request, np.uint8).copy()
        self._places = np.add.outer(np.array(starts), np.arange(_DIGITS))
        self._serial = first

    def next(self) -> bytes:
        digits = f"{self._serial:0{_DIGITS}d}".encode()
        self._request[self._places] = np.frombuffer(digits, np.uint8)
        self._serial += 1
        return self._request.tobytes()


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is complete."""

    def __init__(self, requests: Patched, measured: Measured, clock: Sequence[float]) -> None:
        self._requests = requests
        self._measured = measured
        self._from, self._until = clock
        self._received = b""
        self._sent_at = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by birth
        self._send()

    def _send(self) -> None:
        request = self._requests.next()
        self._sent_at = time.monotonic()
        self._transport.write(request)

    def data_received(self, chunk: bytes) -> None:
        self._received += chunk
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        name = b"content-length: "
        at = head.lower().find(name) + len(name)
        if len(body) < int(head[at:].split(b"\r\n", 1)[0]):
            return
        now = time.monotonic()
        self._received = b""
        self._measured.n_answered += 1
        if now >= self._from:
            self._note(now, head[9:12], body)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def _note(self, now: float, status: bytes, body: bytes) -> None:
        if status == b"200" and not json.loads(body)["duplicate"]:
            self._measured.latencies.append(now - self._sent_at)
        else:
            self._measured.n_refused += 1
            self._measured.first_refusal = self._measured.first_refusal or body[:300].decode()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def _load(
    shape: Shape, port: int, token: str, warm_up: float, seconds: float
) -> Measured:
    loop = asyncio.get_running_loop()
    measured = Measured(seconds=seconds)
    start = time.monotonic() + warm_up
    clock = (start, start + seconds)
    connections = []
    for no in range(shape.n_connections):
        requests = Patched(shape, token, no * 100_000)
        _, connection = await loop.create_connection(
            lambda requests=requests: Connection(requests, measured, clock),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        connections.append(connection)
    async with asyncio.timeout(warm_up + seconds + 30):
        await asyncio.gather(*(connection.closed for connection in connections))
    return measured


def load(
    shape: Shape, port: int, token: str, *, warm_up: float = 1.0, seconds: float = 5.0
) -> Measured:
    """Keep all connections busy and measure what is acknowledged."""
    return uvloop.run(_load(shape, port, token, warm_up, seconds))
