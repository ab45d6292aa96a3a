"""HTTP/1.1 connections with limits on size, time and number; uvicorn's protocol has none.

`httptools` copies a URL or header anew with every piece that arrives, so an endless
one costs quadratic time, and it drops the body of a request that offers an upgrade.
"""

import json
from asyncio import TimerHandle, Transport
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.server.responses import PROBLEM, name_of, problem
from core.settings import Settings

HEAD_BYTES = 32 * 2**10  # of a request line with its headers; of what is between body bytes too
DISCARDED_BYTES = 2**20  # of a refused body that are read, so that its sender sees the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Time limits of a connection, in seconds.

    Attributes
    ----------
    head
        From the first byte of a request to the end of its headers.
    idle
        Without a request.
    discard
        While the rest of a refused body is read and discarded.
    write
        Without the peer reading anything of its response.
    """

    head: float = 10.0
    idle: float = 30.0
    discard: float = 5.0
    write: float = 60.0


@dataclass(slots=True, kw_only=True)
class Connections:
    """Counts open connections, in all and by address; one event loop uses it.

    Attributes
    ----------
    most, most_per_address
        Above these a new connection is closed with 503.
    trusted
        Reverse proxies, which bring many clients: only `most` holds for them.
    """

    most: int
    most_per_address: int
    trusted: Sequence[IPv4Network | IPv6Network] = ()
    n_open: int = 0
    _by_address: Counter[str] = field(default_factory=Counter)

    def open(self, address: str) -> bool:
        """Count a connection, unless there are too many."""
        is_full = self._by_address[address] >= self.most_per_address
        if self.n_open >= self.most or (is_full and not self._is_trusted(address)):
            return False
        self.n_open += 1
        self._by_address[address] += 1
        return True

    def close(self, address: str) -> None:
        """Take a connection off the count."""
        self.n_open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def _is_trusted(self, address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in self.trusted)
        except ValueError:  # a Unix socket has no address
            return True


class BoundedProtocol(HttpToolsProtocol):
    """One connection: bounded head, bounded waits, no upgrade, no body before it is asked for.

    Parameters
    ----------
    connections
        Shared by all connections of the process.
    times
        How long each stage may take.
    """

    def __init__(
        self, *given: Any, connections: Connections, times: Times, **named: Any
    ) -> None:
        super().__init__(*given, **named)
        self.timeout_keep_alive = times.idle  # type: ignore[assignment]
        self._open = connections
        self._times = times
        self._address: str | None = None  # while it is counted
        self._n_unused = 0  # bytes since the last complete head or piece of body
        self._n_discarded = 0
        self._has_request = False  # `cycle` is set
        self._is_in_head = False
        self._is_head_new = False
        self._is_refused = False
        self._refusal: tuple[HTTPStatus, str] | None = None  # after the responses before it
        self._closes = False  # once the rest of the body is discarded
        self._timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None

    # The connection.

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Count the connection, and close it when there are too many."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if self._open.open(address):
            self._address = address
            self._wait_for_request()
        else:
            self._write_refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the connection off the count."""
        if self._address is not None:
            self._open.close(self._address)
            self._address = None
        self._stop_timer()
        self.resume_writing()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, in pieces that cannot hold more than a head may have."""
        self._unset_keepalive_if_required()
        if self._is_refused:
            self._discard(len(data))
            return
        left = memoryview(data)
        while left and not self.transport.is_closing():
            n_fed = HEAD_BYTES - self._n_unused
            piece, left = left[:n_fed], left[n_fed:]
            self._n_unused += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                left = self._without_upgrade(bytes(piece[upgrade.args[0] :]) + bytes(left))
            except httptools.HttpParserError:
                self._refuse(HTTPStatus.BAD_REQUEST, "this is not HTTP/1.1")
                return
            if self._n_unused == HEAD_BYTES:
                why = f"the request line and headers may have {HEAD_BYTES} bytes"
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, why)
                return
        if self._is_head_new:
            self._begin()
        has_begun = self._is_in_head or (self._n_unused and not self._has_open_body())
        if has_begun and self._timer is None and not self._is_refused:
            self._start_timer(self._times.head, self._give_up_head)

    def _has_open_body(self) -> bool:
        return self._has_request and self.cycle.more_body

    def _has_open_response(self) -> bool:
        return self._has_request and not self.cycle.response_complete

    def _begin(self) -> None:
        """Read no more of a request than its head, until the application asks for it."""
        self._is_head_new = False
        self._stop_timer()
        if self.cycle.more_body:
            self.cycle.transport = _HalfRead(self)  # type: ignore[assignment]
            self.flow.pause_reading()

    def _give_up_head(self) -> None:
        self._timer = None
        if self._has_open_response():  # to the request before
            self._start_timer(self._times.head, self._give_up_head)
            return
        why = f"the headers did not arrive within {self._times.head:g} s"
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, why)

    # An upgrade is ignored, as RFC 9110 allows: Java's client offers h2c by default.

    def _should_upgrade(self) -> bool:
        """Skip the head that offers an upgrade: it is parsed again without the offer."""
        return True

    def _without_upgrade(self, rest: bytes) -> memoryview:
        """Return the request as it would be without the offer, for a parser of its own."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(HTTPStatus.NOT_IMPLEMENTED, "this is no proxy")
            return memoryview(b"")
        head = [b"%s %s HTTP/1.1\r\n" % (method, self.url)]
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip().lower() for option in value.split(b",")]
                kept = [each for each in options if each in (b"close", b"keep-alive")]
                value = b", ".join(kept)
            if name != b"upgrade":
                head.append(b"%s: %s\r\n" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._n_unused = 0
        return memoryview(b"".join(head) + b"\r\n" + rest)

    # What the parser finds.

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        """Begin the request."""
        super().on_headers_complete()
        self._is_in_head = False
        if not self.parser.should_upgrade():
            self._n_unused = 0
            self._is_head_new = self._has_request = True
            self.headers = []  # trailers are no headers: they arrive after the checks

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, or discard it where the answer has been given."""
        self._n_unused = 0
        if self.cycle.response_complete:
            self._discard(len(body))
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        super().on_message_complete()
        if self.parser.should_upgrade():
            return
        self._n_unused = 0
        if self.cycle.response_complete and self.cycle.more_body:
            self.cycle.more_body = False
            self._stop_timer()
            if self._closes:
                self._close()
            else:
                self._wait_for_request()

    def on_response_complete(self) -> None:
        """Wait for the next request; first discard the rest of an unread body."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif self._refusal is not None and not self._has_open_response():
            self._refuse(*self._refusal)
        elif self.cycle.response_complete and self.cycle.more_body:
            self._unset_keepalive_if_required()
            self.cycle.body = bytearray()
            self._n_discarded = 0
            self._start_timer(self._times.discard, self._close)

    # A peer that does not read.

    def pause_writing(self) -> None:
        """Give the peer time to read."""
        super().pause_writing()
        self._abort_later()

    def resume_writing(self) -> None:
        """Continue: the peer has read."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        self._close()

    # Ends.

    def close_when_read(self) -> None:
        """Close after the rest of the body: unread bytes would reset the answer away."""
        if self.cycle.response_complete and self.cycle.more_body:
            self._closes = True
        else:
            self._close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer, and close; bytes in transit are discarded for `times.discard`."""
        self._is_refused = True
        if self._has_open_response():
            self._refusal = status, why
            return
        self._write_refusal(status, why)
        self.transport.write_eof()
        self._n_discarded = 0
        self.flow.resume_reading()
        self._start_timer(self._times.discard, self._close)

    def _write_refusal(self, status: HTTPStatus, why: str) -> None:
        body = json.dumps(problem(name_of(status), status, why)).encode()
        head = f"content-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\n".encode()
        end = b"connection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head + end + body)

    def _discard(self, n_bytes: int) -> None:
        self._n_discarded += n_bytes
        if self._n_discarded > DISCARDED_BYTES:
            self._close()

    def _close(self) -> None:
        """Close; after a time limit also if the peer does not read the response."""
        self._stop_timer()
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._abort_later()

    def _abort_later(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._times.write, self.transport.abort)

    def _wait_for_request(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self._times.idle, self.timeout_keep_alive_handler
        )

    def _start_timer(self, seconds: float, action: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _HalfRead:
    """The transport of a response that may be complete before the request's body is."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol

    def write(self, content: bytes) -> None:
        self._protocol.transport.write(content)

    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        self._protocol.close_when_read()


def protocol(settings: Settings, times: Times | None = None) -> Callable[..., BoundedProtocol]:
    """Return the factory of a connection's protocol, for uvicorn's `http`."""
    connections = Connections(
        most=settings.max_connections,
        most_per_address=settings.max_connections_per_address,
        trusted=settings.trusted_proxies,
    )
    times = times or Times(write=settings.body_time.total_seconds())
    return partial(BoundedProtocol, connections=connections, times=times)
