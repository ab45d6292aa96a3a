import socket
import ssl
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from threading import Thread

import pytest

from alerts.message import Type, absolute, compose
from notify.channel import Delivered, Disable, Group, Retry, Sent
from notify.kinds.webhook import KIND, WebhookConfig
from notify.sender import Sender
from notify.signing import new_secret, sign
from tests.notify.hanging import hanging
from tests.notify.receiver import Receiver, running

SECRET = new_secret()
LOOPBACK = ip_network("127.0.0.0/8")


def body(now: datetime) -> bytes:
    return compose(Type.CHANNEL_TEST, now, "/alerts", {"channel": "me"})


def post(sender: Sender, url: str, now: datetime) -> Sent:
    content = absolute(body(now), sender.public_url)
    group = Group(id="message-1", at=now, bodies=(content,))
    return KIND.send(WebhookConfig(url=url, secret=SECRET), group, sender)


def test_a_message_arrives_signed(sender: Sender, receiver: Receiver, now: datetime) -> None:
    assert post(sender, receiver.url + "?a=1", now) == Delivered(status=204)
    [one] = receiver.received
    assert one.path == "/hook?a=1"
    assert one.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert one.headers["webhook-id"] == "message-1"
    timestamp = int(one.headers["webhook-timestamp"])
    assert timestamp == now.timestamp()
    assert one.headers["webhook-signature"] == sign(SECRET, "message-1", timestamp, one.body)
    assert one.content["type"] == "channel.test"
    assert one.content["data"]["url"] == "https://watch.example/alerts"


def test_a_redirect_is_a_failure_and_not_followed(
    sender: Sender, receiver: Receiver, now: datetime
) -> None:
    receiver.statuses = [302]
    receiver.headers = {"Location": receiver.url}
    assert post(sender, receiver.url, now).error == "the receiver answered 302"
    assert len(receiver.received) == 1


def test_the_receivers_wish_to_wait_is_read(
    sender: Sender, receiver: Receiver, now: datetime
) -> None:
    receiver.statuses = [429, 429]
    receiver.headers = {"Retry-After": "30"}
    assert post(sender, receiver.url, now) == Retry(
        error="the receiver answered 429", status=429, after=timedelta(seconds=30)
    )
    receiver.headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert post(sender, receiver.url, now) == Retry(
        error="the receiver answered 429", status=429
    )


def test_gone_disables_the_channel(sender: Sender, receiver: Receiver, now: datetime) -> None:
    receiver.statuses = [410]
    expected = Disable(error="the receiver answered 410: gone", status=410)
    assert post(sender, receiver.url, now) == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0"])
def test_without_leave_this_machine_is_not_reached(
    receiver: Receiver, now: datetime, host: str
) -> None:
    sender = Sender(allow=[], timeout=timedelta(seconds=5), public_url="https://w.example")
    answer = post(sender, f"https://{host}:{receiver.port}/", now)
    assert answer.status is None
    assert answer.error is not None
    assert "is not a public address" in answer.error
    assert receiver.received == []


def test_proxies_of_the_environment_are_not_used(
    sender: Sender, receiver: Receiver, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(sender, receiver.url, now).status == 204


def test_the_address_that_was_checked_is_the_one_that_is_used(
    receiver: Receiver, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []
    resolve = socket.getaddrinfo

    def moving(host: str, *rest: object, **more: object) -> object:
        """Answer a permitted address first, another one ever after."""
        resolved.append(host)
        if host != "moving.example":
            return resolve(host, *rest, **more)  # type: ignore[arg-type]
        first = resolved.count(host) == 1
        address = ("127.0.0.1" if first else "127.0.0.2", receiver.port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    monkeypatch.setattr(socket, "getaddrinfo", moving)
    sender = Sender(
        allow=[ip_network("127.0.0.1/32")], timeout=timedelta(seconds=5), public_url="https://w"
    )
    assert post(sender, f"http://moving.example:{receiver.port}/", now).status == 204
    assert resolved.count("moving.example") == 1
    assert receiver.received[0].headers["host"] == f"moving.example:{receiver.port}"


@pytest.fixture
def dripping() -> Iterator[int]:
    """A receiver that sends one byte of a header now and then, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                for _ in range(200):
                    connection.sendall(b"x")
                    time.sleep(0.05)
            except OSError:
                return

    thread = Thread(target=drip)
    thread.start()
    yield listener.getsockname()[1]
    thread.join()
    listener.close()


def test_a_dripping_receiver_is_left_at_the_deadline(dripping: int, now: datetime) -> None:
    timeout = timedelta(seconds=0.4)
    sender = Sender(allow=[LOOPBACK], timeout=timeout, public_url="https://w")
    begun = time.monotonic()
    answer = post(sender, f"http://127.0.0.1:{dripping}/", now)
    assert answer == Retry(error="no answer within 0.4 s")
    assert time.monotonic() - begun < 2


def test_an_endless_answer_is_not_read(sender: Sender, now: datetime) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"
    with hanging(head, b"x" * 65_536) as url:
        begun = time.monotonic()
        assert post(sender, url, now) == Delivered(status=200)
        assert time.monotonic() - begun < 2


def test_an_answer_that_is_not_http_is_quoted_nowhere(sender: Sender, now: datetime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def send() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"a secret of the receiver\r\n\r\n")

        thread = Thread(target=send)
        thread.start()
        answer = post(sender, f"http://127.0.0.1:{listener.getsockname()[1]}/", now)
        thread.join()
    assert answer == Retry(error="RemoteProtocolError: the answer is not HTTP")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:1/", id="nobody listens"),
        pytest.param("https://no-such-name.invalid/", id="no such name"),
        pytest.param(f"https://{'a' * 64}.example/", id="no name at all"),
    ],
)
def test_whatever_goes_wrong_is_an_answer(sender: Sender, now: datetime, url: str) -> None:
    answer = post(sender, url, now)
    assert answer.status is None
    assert answer.error


def test_what_is_no_address_is_an_answer(sender: Sender) -> None:
    assert sender.post("gopher://127.0.0.1/", {}, b"").error is not None


@pytest.mark.parametrize(
    ("host", "arrives"),
    [
        pytest.param("localhost", True, id="the name in the certificate"),
        pytest.param("127.0.0.1", False, id="an address is not the name"),
    ],
)
def test_tls_checks_the_name_though_the_address_is_pinned(
    certificate: Path, now: datetime, host: str, arrives: bool
) -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate)
    sender = Sender(
        allow=[LOOPBACK],
        timeout=timedelta(seconds=5),
        public_url="https://w",
        ca_bundle=certificate,
    )
    with running(ours) as receiver:
        answer = post(sender, f"https://{host}:{receiver.port}/", now)
    assert (answer.status == 204) == arrives
    assert len(receiver.received) == arrives
