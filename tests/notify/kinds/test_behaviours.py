"""What receivers do, for each kind over HTTP: one result for each behaviour."""

import socket
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from notify import channel
from notify.channel import CHANNELS, Delivered, Disable, Retry, Sent
from notify.sender import Sender
from tests.notify.hanging import hanging
from tests.notify.kinds.bodies import group
from tests.notify.receiver import Receiver

SECRET = "0451secret"
SECRETS = {
    "alertmanager": {"token": SECRET},
    "jira_service_management": {"api_key": SECRET},
    "pagerduty": {"routing_key": SECRET},
}
OVER_HTTP = sorted({*CHANNELS.names()} - {"email", "apprise"})
RETRIED = 301, 302, 307, 401, 403, 404, 408, 429, 500, 502, 503, 504


def send(name: str, url: str, sender: Sender) -> Sent:
    config: dict[str, Any] = {"url": url, **SECRETS.get(name, {})}
    return channel.send(name, config, group(), sender)


pytestmark = pytest.mark.parametrize("name", OVER_HTTP)


def test_success(name: str, sender: Sender, receiver: Receiver) -> None:
    sent = send(name, f"http://127.0.0.1:{receiver.port}", sender)
    assert isinstance(sent, Delivered)
    assert sent.status == 204
    assert len(receiver.received) == 1


def test_410_disables_the_channel(name: str, sender: Sender, receiver: Receiver) -> None:
    receiver.statuses = [410]
    assert isinstance(send(name, f"http://127.0.0.1:{receiver.port}", sender), Disable)


def test_what_may_pass_is_retried_as_late_as_it_asks(
    name: str, sender: Sender, receiver: Receiver
) -> None:
    receiver.statuses, receiver.headers = [*RETRIED], {"Retry-After": "7"}
    for status in RETRIED:
        assert send(name, f"http://127.0.0.1:{receiver.port}", sender) == Retry(
            error=f"the receiver answered {status}", status=status, after=timedelta(seconds=7)
        )


def test_a_redirect_to_this_machine_is_not_followed(
    name: str, sender: Sender, receiver: Receiver
) -> None:
    receiver.statuses = [307]
    receiver.headers = {"Location": f"http://127.0.0.1:{receiver.port}/admin"}
    assert isinstance(send(name, f"http://127.0.0.1:{receiver.port}", sender), Retry)
    assert len(receiver.received) == 1


def test_a_receiver_that_hangs_is_left_at_the_deadline(name: str) -> None:
    sender = Sender(
        allow=[ip_network("127.0.0.0/8")],
        timeout=timedelta(seconds=0.3),
        public_url="https://w",
    )
    with hanging(b"HTTP/1.1 200 OK\r\nX: ", b"x") as url:
        assert send(name, url, sender) == Retry(error="no answer within 0.3 s")


def test_a_private_address_is_not_reached(name: str, receiver: Receiver) -> None:
    sender = Sender(allow=[], timeout=timedelta(seconds=5), public_url="https://w")
    sent = send(name, f"https://localhost:{receiver.port}", sender)
    assert "is not a public address" in str(sent.error)
    assert receiver.received == []


def test_a_name_that_moves_to_a_private_address_after_the_check_is_not_followed(
    name: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first lookup gives the permitted address, every later one that of the receiver."""
    lookups, resolve = iter([("127.0.0.2", receiver.port)]), socket.getaddrinfo

    def moving(host: str, *rest: object, **more: object) -> object:
        if host != "moving.example":
            return resolve(host, *rest, **more)  # type: ignore[arg-type]
        address = next(lookups, ("127.0.0.1", receiver.port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    sender = Sender(
        allow=[ip_network("127.0.0.2/32")], timeout=timedelta(seconds=5), public_url="https://w"
    )
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", moving)
        sent = send(name, f"http://moving.example:{receiver.port}", sender)
        assert isinstance(sent, Retry)  # nobody listens at 127.0.0.2
        again = send(name, f"http://moving.example:{receiver.port}", sender)
    assert again == Retry(error="127.0.0.1 is not a public address")
    assert receiver.received == []


def test_no_error_holds_a_secret(
    name: str, sender: Sender, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500]
    url = f"http://127.0.0.1:{receiver.port}/{SECRET}"
    with caplog.at_level("DEBUG"):
        sent = send(name, url, sender)
        away = send(name, f"http://127.0.0.1:1/{SECRET}", sender)
    assert SECRET not in f"{sent} {away} {caplog.text}"
