"""Sizes, times, numbers and upgrades that uvicorn leaves open, over real sockets."""

import json
import socket
import threading
from contextlib import ExitStack, closing

import pytest
from starlette.types import Receive, Scope, Send

from api.server.http_protocol import DISCARDED_BYTES, HEAD_BYTES, Connections
from core.settings import Settings
from tests.http.conftest import Head, Server, read_all, read_answer, serving
from tests.ingest.conftest import as_json, prediction

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

LIVE = b"GET /health HTTP/1.1\r\nHost: x\r\n"
LONG = b"a" * 2**16


def is_alive(server: Server) -> bool:
    return b" 200 " in server.ask(LIVE + b"Connection: close\r\n\r\n")


def flood(server: Server, start: bytes, piece: bytes, most: int) -> int:
    """Send without end; return how much the server let us send."""
    n_sent = 0
    with closing(server.connect()) as connection:
        connection.sendall(start)
        try:
            while n_sent < most:
                connection.sendall(piece)
                n_sent += len(piece)
        except OSError:
            pass
    return n_sent


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"GET /", LONG, id="an endless URL"),
        pytest.param(LIVE + b"a: ", LONG, id="an endless header"),
        pytest.param(LIVE + LONG[:100], LONG, id="an endless name of a header"),
        pytest.param(LIVE, b"a: b\r\n" * 10_000, id="endlessly many headers"),
        pytest.param(b"", b"\r\n" * 30_000, id="endless empty lines"),
        pytest.param(
            b"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            LONG,
            id="an endless extension of a chunk",
        ),
        pytest.param(
            b"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: ",
            LONG,
            id="an endless trailer",
        ),
        pytest.param(
            b"POST /login HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            LONG,
            id="an endless body of a sign-in",
        ),
        pytest.param(
            b"PUT /v1/models/x HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            LONG,
            id="an endless body without a key",
        ),
    ],
)
def test_what_has_no_end_is_cut_off(server: Server, start: bytes, piece: bytes) -> None:
    assert (
        flood(server, start, piece, 100 * 2**20) < 20 * 2**20
    )  # the kernel's buffers included
    assert is_alive(server)


@pytest.mark.parametrize("size", [HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1])
@pytest.mark.parametrize("step", [1000, 10**6], ids=["in pieces", "at once"])
def test_a_head_has_at_most_32_kib(server: Server, size: int, step: int) -> None:
    start = LIVE + b"Connection: close\r\na: "
    whole = start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"
    answer = server.ask(*(whole[i : i + step] for i in range(0, size, step)))
    assert answer.split(b" ")[1] == (b"200" if size <= HEAD_BYTES else b"431")


def test_the_next_head_is_bounded_too(server: Server) -> None:
    answer = server.ask(LIVE + b"\r\n" + LIVE + b"\r\n" + LIVE + b"a: " + LONG * 2)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"HTTP/1.1 431") == 1


def test_a_trailer_is_no_header(server: Server, head: Head) -> None:
    lines = (
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
        "Connection: close",
    )
    body = as_json(prediction())
    sent = b"%x\r\n%s\r\n0\r\nIdempotency-Key: %s\r\n\r\n" % (len(body), body, b"x" * 300)
    path = "/v1/models/grid/predictions"
    assert b" 200 " in server.ask(head("POST", path, *lines), sent)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"", None, id="an idle connection"),
        pytest.param(b"GET / HT", 408, id="half a request line"),
        pytest.param(LIVE + b"a: b\r\n", 408, id="half a head"),
        pytest.param(LIVE + b"\r\n", 200, id="no second request"),
        pytest.param(LIVE + b"\r\nGET /", 408, id="half of the second head"),
        pytest.param(LIVE + b"Content-Length: 5\r\n\r\n", 200, id="a body that nobody reads"),
        pytest.param(
            b"PUT /v1/models/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
            401,
            id="a stalled body without a key",
        ),
        pytest.param(
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501, id="a request to a proxy"
        ),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2 at once"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", 400, id="TLS"),
    ],
)
def test_who_does_not_go_on_is_cut_off(server: Server, sent: bytes, status: int | None) -> None:
    answers = server.ask(sent).split(b"HTTP/1.1 ")
    assert (int(answers[-1][:3]) if answers[-1] else None) == status


def test_a_drip_does_not_prolong_a_head(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.settimeout(0.05)
        for _ in range(40):  # two seconds, against 0.3
            try:
                connection.sendall(b"G" if _ == 0 else b"E")
                if got := connection.recv(1000):
                    assert b" 408 " in got or b" 400 " in got
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        raise AssertionError("the head was never given up")


# The bytes of java.net.http.HttpClient 17 with its default version; the body comes apart.
JAVA = (
    b"POST /v1/models/grid/predictions HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"%s\r\nHost: 127.0.0.1:8765\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.13\r\nAuthorization: Bearer %s\r\n"
    b"Content-Type: application/json\r\n\r\n"
)
BODY = as_json(prediction())
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize("is_apart", [True, False], ids=["body apart", "body with the head"])
@pytest.mark.parametrize(
    ("length", "body"),
    [
        pytest.param(b"Content-Length: %d" % len(BODY), BODY, id="with a length"),
        pytest.param(b"Transfer-encoding: chunked", CHUNKED, id="in chunks"),
    ],
)
def test_an_offer_of_http_2_is_ignored(
    server: Server, token: str, length: bytes, body: bytes, is_apart: bool
) -> None:
    start = JAVA % (length, token.encode())
    with closing(server.connect()) as connection:
        for n_before in range(3):  # the client keeps the connection, and offers it again
            for piece in (start, body) if is_apart else (start + body,):
                connection.sendall(piece)
            status, content = read_answer(connection)
            assert status == 200
            assert json.loads(content)["accepted"] == 1
            assert json.loads(content)["duplicate"] is (n_before > 0)


def test_an_offer_whose_head_comes_byte_by_byte_is_ignored(server: Server, token: str) -> None:
    whole = JAVA % (b"Content-Length: %d" % len(BODY), token.encode()) + BODY
    with closing(server.connect()) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(whole), 7):
            connection.sendall(whole[i : i + 7])
        assert read_answer(connection)[0] == 200


def test_a_web_socket_is_answered_as_any_request(server: Server) -> None:
    offer = (
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\n"
        b"Upgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    answer = server.ask(offer)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"ok\n")


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_a_refusal_reaches_whoever_is_still_sending(server: Server, connection: bytes) -> None:
    start = (
        b"PUT /v1/models/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n"
        % (DISCARDED_BYTES, connection)
    )
    for _ in range(20):
        with closing(server.connect()) as sender:
            sender.sendall(start)
            sender.sendall(bytes(DISCARDED_BYTES))
            assert read_answer(sender)[0] == 401
            if connection == b"keep-alive":  # whose connection is good for another request
                sender.sendall(LIVE + b"\r\n")
                assert read_answer(sender)[0] == 200
            else:
                assert sender.recv(1) == b""


def test_a_body_is_asked_for_only_from_whoever_has_a_key(server: Server, head: Head) -> None:
    expects = ("Expect: 100-continue", "Content-Length: 2", "Content-Type: application/json")
    with closing(server.connect()) as connection:
        lines = "\r\n".join(expects)
        connection.sendall(f"PUT /v1/models/x HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n".encode())
        assert read_answer(connection)[0] == 401
    with closing(server.connect()) as connection:
        connection.sendall(head("PUT", "/v1/models/x", *expects))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert read_answer(connection)[0] == 422


class Long:
    """An application that answers with much."""

    def __init__(self) -> None:
        self.has_ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": LONG, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.has_ended.set()


def test_who_does_not_read_is_cut_off(settings: Settings) -> None:
    app = Long()
    with serving(app, settings) as server, closing(server.connect(SO_RCVBUF=4096)) as peer:
        peer.sendall(LIVE + b"\r\n")
        assert app.has_ended.wait(10)
        assert len(read_all(peer)) < 1000 * len(LONG)


def test_who_reads_gets_all_of_it(settings: Settings) -> None:
    with serving(Long(), settings) as server:
        assert len(server.ask(LIVE + b"Connection: close\r\n\r\n")) > 1000 * len(LONG)


def test_connections_are_counted_by_address_and_in_all(settings: Settings) -> None:
    few = Connections(most=5, most_per_address=3)
    assert [few.open("a") for _ in range(4)] == [True, True, True, False]
    assert [few.open("b") for _ in range(3)] == [True, True, False]
    few.close("a")
    assert few.open("b")


def test_a_trusted_proxy_brings_as_many_as_there_are(settings: Settings) -> None:
    proxies = Settings(trusted_proxies="10.0.0.0/8").trusted_proxies
    some = Connections(most=5, most_per_address=1, trusted=proxies)
    assert [some.open("10.1.2.3") for _ in range(6)] == [True] * 5 + [False]


def test_too_many_connections_are_refused_until_some_close(server: Server) -> None:
    with ExitStack() as held:
        for _ in range(20):
            held.enter_context(closing(server.connect()))
        assert b" 503 " in server.ask()
    assert is_alive(server)


def test_everything_read_is_answered_in_order(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.sendall((LIVE + b"\r\n") * 200)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).count(b"HTTP/1.1 200") > 0
