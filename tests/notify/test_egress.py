"""Receivers behind a proxy and certificates of one's own, over real connections."""

import base64
import ssl
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import Settings
from notify.sender import Answer, Sender
from tests.notify.hanging import hanging
from tests.notify.proxy import Proxy, proxy
from tests.notify.receiver import Receiver, running

OUTSIDE = "https://hooks.example/x"  # a name that nobody resolves


@pytest.fixture
def secure(certificate: Path) -> Iterator[Receiver]:
    """A receiver with a self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with running(context) as receiver:
        yield receiver


@pytest.fixture
def tunnel(secure: Receiver) -> Iterator[Proxy]:
    with proxy(secure.port) as running_proxy:
        yield running_proxy


def through(port: int, certificate: Path, login: str = "") -> Sender:
    settings = Settings(
        egress_proxy=f"http://{login}127.0.0.1:{port}",
        ca_bundle=certificate,
        webhook_allow=(),
        webhook_timeout=timedelta(seconds=2),
    )
    return Sender.of(settings)


def test_a_receiver_outside_is_reached_through_the_proxy_by_its_name(
    tunnel: Proxy, secure: Receiver, certificate: Path
) -> None:
    sender = through(tunnel.port, certificate, "me:pass%40word@")
    assert sender.post(OUTSIDE, {}, b"{}") == Answer(status=204)
    assert tunnel.targets == ["hooks.example:443"]
    login = base64.b64encode(b"me:pass@word").decode()
    assert tunnel.logins == [f"Basic {login}"]
    [one] = secure.received
    assert one.headers["host"] == "hooks.example"
    assert "proxy-authorization" not in one.headers


def test_the_certificate_is_that_of_the_receiver_not_of_the_proxy(
    tunnel: Proxy, secure: Receiver, certificate: Path
) -> None:
    answer = through(tunnel.port, certificate).post("https://other.example/x", {}, b"{}")
    assert "CERTIFICATE_VERIFY_FAILED" in str(answer.error)
    assert secure.received == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1/x", "127.0.0.1 is not a public address"),
        ("https://localhost/x", "is not a public address"),
        ("https://10.0.0.7/x", "10.0.0.7 is not a public address"),
        ("http://hooks.example/x", "plain http is for the operator's own networks only"),
        ("https://hooks.example:22/x", "port 22 is not one of 443, 8443"),
    ],
)
def test_a_private_address_is_not_asked_for(
    tunnel: Proxy, certificate: Path, url: str, why: str
) -> None:
    answer = through(tunnel.port, certificate).post(url, {}, b"{}")
    assert why in str(answer.error)
    assert tunnel.targets == []


def test_the_operators_own_networks_are_reached_without_the_proxy(
    tunnel: Proxy, receiver: Receiver
) -> None:
    sender = Sender(
        allow=[ip_network("127.0.0.0/8")],
        timeout=timedelta(seconds=5),
        public_url="https://w",
        proxy=f"http://127.0.0.1:{tunnel.port}",
    )
    assert sender.post(receiver.url, {}, b"{}") == Answer(status=204)
    assert tunnel.targets == []


def test_a_refusal_of_the_proxy_is_retried_and_its_words_are_not_quoted(
    tunnel: Proxy, certificate: Path
) -> None:
    tunnel.refusal = 407, "secret words"
    sender = through(tunnel.port, certificate, "me:0451@")
    assert sender.post(OUTSIDE, {}, b"{}") == Answer(error="the proxy answered 407")


def test_a_proxy_that_hangs_or_is_away_ends_with_the_attempt(certificate: Path) -> None:
    with hanging() as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        answer = through(port, certificate).post(OUTSIDE, {}, b"{}")
        assert answer == Answer(error="no answer within 2 s")
    assert "ConnectError" in str(through(1, certificate).post(OUTSIDE, {}, b"{}").error)


@pytest.mark.parametrize("is_trusted", [True, False], ids=["in the bundle", "not in it"])
def test_a_self_signed_receiver_is_trusted_by_the_bundle_alone(
    secure: Receiver, certificate: Path, is_trusted: bool
) -> None:
    sender = Sender(
        allow=[ip_network("127.0.0.0/8"), ip_network("::1/128")],
        timeout=timedelta(seconds=5),
        public_url="https://w",
        ca_bundle=certificate if is_trusted else None,
    )
    answer = sender.post(f"https://localhost:{secure.port}/", {}, b"{}")
    assert (answer.status == 204) == is_trusted
    assert is_trusted or "CERTIFICATE_VERIFY_FAILED" in str(answer.error)


def test_the_bundle_is_beside_the_systems_certificates(certificate: Path) -> None:
    system = Sender(allow=(), timeout=timedelta(seconds=1), public_url="").tls
    assert 0 < len(system.get_ca_certs()) <= len(through(1, certificate).tls.get_ca_certs())


@pytest.mark.parametrize(
    "url",
    ["https://proxy.example:3128", "proxy.example:3128", "http://", "http://p:x", "socks5://p"],
)
def test_what_is_no_proxy_is_refused_at_the_start_without_being_shown(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(egress_proxy=url)
    [fault] = refused.value.errors(include_input=False)
    assert fault["msg"].endswith("must be http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")


def test_a_file_without_certificates_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    with pytest.raises(ValidationError, match="holds no certificates in PEM"):
        Settings(ca_bundle=tmp_path / "empty.pem")
    with pytest.raises(ValidationError, match="does not point to a file"):
        Settings(ca_bundle=tmp_path / "missing.pem")


def test_settings_show_neither_the_proxys_password_nor_the_keys() -> None:
    key = base64.urlsafe_b64encode(b"k" * 32).decode()
    settings = Settings(egress_proxy="http://me:0451@proxy:3128", credentials_key=(key,))
    assert "0451" not in repr(settings)
    assert key not in repr(settings)
