"""A load generator that costs little: raw sockets, keep-alive, bodies patched in place.

Two ways to send. `load` keeps every connection busy and measures how much is
taken. `load_at` sends at a fixed rate, whether or not answers come, and
measures each latency from the moment at which the request was due: a server
that stands still for a second is charged with all who came in that second.
"""

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import numpy as np
import uvloop

# Stands in a template body wherever the serial number of the request belongs.
_DIGITS = 12
MARKER = b"#" * _DIGITS
_BLOCKS = itertools.count(1)  # of a million serial numbers, one for each connection
_TICK = 0.001  # seconds between two polls of what is due

# Given when the request was due, its status line's three digits, and the body of the answer.
Note: TypeAlias = Callable[[float, bytes, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One kind of request.

    `bodies` differ in their values; each connection sends another one. Were they
    alike, what arrives together would compress as no real traffic does.
    """

    name: str
    path: str
    content_type: str
    bodies: tuple[bytes, ...]
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

    def note(self, latency: float, status: bytes, body: bytes) -> None:
        """Count one answer."""
        if status[:1] == b"2" and not json.loads(body).get("duplicate"):
            self.latencies.append(latency)
        else:
            self.n_refused += 1
            self.first_refusal = self.first_refusal or body[:300].decode()


def head(path: str, token: str, content_type: str, n_bytes: int) -> bytes:
    """Return the head of a request."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n"
        f"content-type: {content_type}\r\ncontent-length: {n_bytes}\r\n\r\n"
    ).encode()


class Patched:
    """Makes each request unlike any other, without building it anew."""

    def __init__(self, shape: Shape, token: str, no: int) -> None:
        body = shape.bodies[no % len(shape.bodies)]
        request = head(shape.path, token, shape.content_type, len(body)) + body
        starts = []
        at = request.find(MARKER)
        while at >= 0:
            starts.append(at)
            at = request.find(MARKER, at + len(MARKER))
        self._request = np.frombuffer(request, np.uint8).copy()
        self._places = np.add.outer(np.array(starts, dtype=np.int64), np.arange(_DIGITS))
        self._serial = next(_BLOCKS) * 1_000_000

    def next(self) -> memoryview:
        """Return the next request: its bytes stay as they are until the next is asked for."""
        digits = f"{self._serial:0{_DIGITS}d}".encode()
        self._request[self._places] = np.frombuffer(digits, np.uint8)
        self._serial += 1
        return self._request.data


class Connection(asyncio.Protocol):
    """Sends one request at a time; reports when it is free."""

    def __init__(self, on_free: Callable[["Connection"], None], note: Note) -> None:
        self._on_free = on_free
        self._note = note
        self._received = b""
        self._due = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by birth
        self._on_free(self)

    def send(self, request: bytes | memoryview, due: float) -> None:
        """Send a request that was due at a moment of the monotonic clock."""
        self._due = due
        self._transport.write(request)

    def close(self) -> None:
        """Send no more."""
        self._transport.close()

    def data_received(self, chunk: bytes) -> None:
        self._received += chunk
        start, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        name = b"content-length: "
        at = start.lower().find(name) + len(name)
        if len(body) < int(start[at:].split(b"\r\n", 1)[0]):
            return
        self._received = b""
        self._note(self._due, start[9:12], body)
        self._on_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def connect(
    port: int, n: int, on_free: Callable[[int], Callable[[Connection], None]], note: Note
) -> list[Connection]:
    """Open `n` connections; `on_free(no)` is called whenever number `no` has nothing to do."""
    loop = asyncio.get_running_loop()
    return [
        (
            await loop.create_connection(
                lambda no=no: Connection(on_free(no), note),  # type: ignore[misc]
                "127.0.0.1",
                port,
            )
        )[1]
        for no in range(n)
    ]


async def _load(
    shape: Shape, port: int, token: str, warm_up: float, seconds: float
) -> Measured:
    measured = Measured(seconds=seconds)
    start = time.monotonic() + warm_up

    def note(due: float, status: bytes, body: bytes) -> None:
        now = time.monotonic()
        measured.n_answered += 1
        if now >= start:
            measured.note(now - due, status, body)

    def on_free(no: int) -> Callable[[Connection], None]:
        requests = Patched(shape, token, no)

        def go_on(connection: Connection) -> None:
            if time.monotonic() < start + seconds:
                request = requests.next()
                connection.send(request, time.monotonic())
            else:
                connection.close()

        return go_on

    connections = await connect(port, shape.n_connections, on_free, note)
    async with asyncio.timeout(warm_up + seconds + 30):
        await asyncio.gather(*(connection.closed for connection in connections))
    return measured


class Paced:
    """Sends what is due over whichever connection is free; what finds none waits in line."""

    def __init__(self) -> None:
        self._line: deque[tuple[bytes, float]] = deque()
        self._idle: deque[Connection] = deque()  # in turn: none idles until it is closed
        self.n_sent = 0

    def on_free(self, connection: Connection) -> None:
        if self._line:
            connection.send(*self._line.popleft())
        else:
            self._idle.append(connection)

    def send(self, request: bytes, due: float) -> None:
        self.n_sent += 1
        if self._idle:
            self._idle.popleft().send(request, due)
        else:
            self._line.append((request, due))

    @property
    def n_in_line(self) -> int:
        """How many were due and are not sent: the server is behind."""
        return len(self._line)

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


async def _load_at(
    shape: Shape, port: int, token: str, rate: float, clock: tuple[float, float]
) -> Measured:
    warm_up, seconds = clock
    measured = Measured(seconds=seconds)
    requests, paced = Patched(shape, token, 0), Paced()
    began = time.monotonic() + 0.1

    def note(due: float, status: bytes, body: bytes) -> None:
        measured.n_answered += 1
        if due >= began + warm_up:
            measured.note(time.monotonic() - due, status, body)

    await connect(port, shape.n_connections, lambda _: paced.on_free, note)
    n_due = round(rate * (warm_up + seconds))
    while paced.n_sent < n_due:
        now = time.monotonic()
        while paced.n_sent < n_due and (due := began + paced.n_sent / rate) <= now:
            paced.send(bytes(requests.next()), due)  # many are under way at a time
        await asyncio.sleep(_TICK)
    async with asyncio.timeout(30):
        while measured.n_answered < n_due:
            await asyncio.sleep(_TICK)
    paced.close()
    return measured


def load(
    shape: Shape, port: int, token: str, *, warm_up: float = 1.0, seconds: float = 5.0
) -> Measured:
    """Keep all connections busy and measure what is acknowledged."""
    return uvloop.run(_load(shape, port, token, warm_up, seconds))


def load_at(
    shape: Shape,
    port: int,
    token: str,
    *,
    rate: float,
    warm_up: float = 1.0,
    seconds: float = 5.0,
) -> Measured:
    """Send `rate` requests a second and measure how long after it was due each is answered."""
    return uvloop.run(_load_at(shape, port, token, rate, (warm_up, seconds)))
