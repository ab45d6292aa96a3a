import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from core.errors import Unprocessable
from notify.channel import Delivered, Retry, Sent
from notify.kinds.email import KIND
from notify.sender import Sender
from tests.notify.hanging import hanging
from tests.notify.kinds.bodies import CAUSE, group
from tests.notify.mail_server import PASSWORD, USER, MailServer, mail_server

WHO = {"sender": "seqwatch@example.com", "to": ["on-call@example.com", "team@example.com"]}
LOOPBACK = ip_network("127.0.0.0/8")


def send(sender: Sender, port: int, kind: str = "alert.firing", **more: Any) -> Sent:
    config = {"host": "localhost", "port": port, "security": "none", **WHO, **more}
    return KIND.send(KIND.parsed(config), group(kind), sender)


@pytest.fixture
def trusting(certificate: Path) -> Sender:
    return Sender(
        allow=[LOOPBACK],
        timeout=timedelta(seconds=5),
        public_url="https://w",
        ca_bundle=certificate,
    )


@pytest.fixture
def plain() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def test_an_alert_and_its_end_are_two_mails_of_one_thread(
    sender: Sender, plain: MailServer
) -> None:
    for kind in ("alert.firing", "alert.resolved"):
        assert send(sender, plain.port, kind) == Delivered()
    (to, fired), (_, resolved) = plain.received
    assert to == WHO["to"]
    assert (fired["Subject"], resolved["Subject"]) == (
        "[FIRING] load: input_fault",
        "[RESOLVED] load: input_fault",
    )
    assert fired["References"] == resolved["References"]
    assert (
        fired["Message-ID"] == "<0e9c1b4e@example.com>"
    )  # of the delivery: equal when repeated
    assert fired["Auto-Submitted"] == "auto-generated"
    text = fired.get_content()
    assert text.startswith(CAUSE)
    assert "Severity: page" in text
    assert "Runbook: https://wiki.example/load" in text


def test_a_line_break_in_a_name_adds_no_header(sender: Sender, plain: MailServer) -> None:
    config = {"host": "localhost", "port": plain.port, "security": "none", **WHO}
    KIND.send(KIND.parsed(config), group(monitor="x\r\nBcc: all@example.com"), sender)
    [(_, mail)] = plain.received
    assert mail["Bcc"] is None


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_mail_is_sent_over_tls_after_a_login(
    trusting: Sender, certificate: Path, security: str
) -> None:
    with mail_server(certificate, starttls=security == "starttls") as server:
        login = {"username": USER, "password": PASSWORD, "security": security}
        assert send(trusting, server.port, **login) == Delivered()
        wrong = send(trusting, server.port, **login | {"password": "0451-wrong"})
        assert wrong == Retry(error="the mail server answered 535")
    assert len(server.received) == 1
    assert server.logins[0]


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_that_is_not_trusted_gets_no_password(
    sender: Sender, certificate: Path, security: str
) -> None:
    with mail_server(certificate, starttls=security == "starttls") as server:
        login = {"username": USER, "password": PASSWORD, "security": security}
        sent = send(sender, server.port, **login)
    assert isinstance(sent, Retry)
    assert "CERTIFICATE_VERIFY_FAILED" in sent.error
    assert server.logins == []


def test_a_server_without_starttls_gets_no_mail(sender: Sender, plain: MailServer) -> None:
    sent = send(sender, plain.port, security="starttls")
    assert sent == Retry(error="SMTPNotSupportedError: the mail server did not take the mail")
    assert plain.received == []


def test_a_refusal_is_retried_and_quotes_no_text_of_the_server(
    sender: Sender, plain: MailServer
) -> None:
    plain.answers = ["451 secret words", "552 too large"]
    assert send(sender, plain.port) == Retry(error="the mail server answered 451")
    assert send(sender, plain.port) == Retry(error="the mail server answered 552")
    plain.refused = {*WHO["to"]}
    assert send(sender, plain.port) == Retry(error="the mail server refused every address")
    plain.refused = {"team@example.com"}
    assert send(sender, plain.port) == Delivered()
    assert plain.received[0][0] == ["on-call@example.com"]


@pytest.mark.parametrize(
    ("config", "why"),
    [
        pytest.param({"host": "127.0.0.1"}, "127.0.0.1 is not a public address", id="address"),
        pytest.param({"host": "localhost"}, "is not a public address", id="name"),
        pytest.param(
            {"host": "8.8.8.8", "security": "none"}, "plain smtp is for", id="no encryption"
        ),
        pytest.param({"host": "8.8.8.8", "port": 22}, "port 22 is not one of", id="port"),
    ],
)
def test_a_mail_server_that_is_not_allowed_is_not_reached(
    config: dict[str, Any], why: str
) -> None:
    strict = Sender(allow=[], timeout=timedelta(seconds=5), public_url="https://w")
    sent = KIND.send(KIND.parsed({**WHO, **config}), group(), strict)
    assert isinstance(sent, Retry)
    assert why in sent.error


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"", b"", id="accepts and sends nothing"),
        pytest.param(b"220-", b"x", id="sends one byte of the greeting at a time"),
        pytest.param(b"220 hello\r\n", b"250-x\r\n", id="sends lines for ever"),
    ],
)
def test_a_server_that_hangs_is_left_at_the_deadline(first: bytes, then: bytes) -> None:
    sender = Sender(allow=[LOOPBACK], timeout=timedelta(seconds=0.5), public_url="https://w")
    with hanging(first, then) as url:
        begun = time.monotonic()
        sent = send(sender, int(url.rstrip("/").rpartition(":")[2]))
        assert time.monotonic() - begun < 3
    assert isinstance(sent, Retry)


def test_a_server_that_hangs_in_the_handshake_of_tls_is_left_at_the_deadline() -> None:
    sender = Sender(allow=[LOOPBACK], timeout=timedelta(seconds=0.5), public_url="https://w")
    record = bytes([22, 3, 3, 0x3F, 0xFF])  # of a handshake, 16 kB
    with hanging(record, b"x") as url:
        begun = time.monotonic()
        port = int(url.rstrip("/").rpartition(":")[2])
        assert isinstance(send(sender, port, security="tls"), Retry)
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"to": []}, id="to nobody"),
        pytest.param({"to": ["a@b.example\r\nBcc: c@d.example"]}, id="another header"),
        pytest.param({"sender": "nobody"}, id="no address"),
        pytest.param({"port": 0}, id="port"),
        pytest.param({"security": "ssl3"}, id="encryption"),
        pytest.param({"username": "me"}, id="no password"),
    ],
)
def test_a_configuration_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable, match="email: "):
        KIND.parsed({"host": "mail.example", **WHO, **wrong})


def test_the_default_context_verifies_names(sender: Sender) -> None:
    assert (sender.tls.check_hostname, sender.tls.verify_mode) == (True, ssl.CERT_REQUIRED)
