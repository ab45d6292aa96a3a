from ipaddress import ip_network

import pytest

from core.errors import Unprocessable
from notify.address import Receiver, parse, refusal

HTTPS = parse("https://hooks.example/x")

CLOSED = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1
    198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 239.1.1.1 240.0.0.1
    255.255.255.255
    :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1
    2001::1 2001:db8::1 2002:7f00:1:: 3fff::1 5f00::1 fc00::1 fd12::1 fe80::1 fec0::1 ff02::1
    fe80::1%eth0 2606:4700::1111%eth0 nonsense
"""
OPEN = """
    1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.32.0.1 192.0.1.1 2606:4700::1111
    ::ffff:8.8.8.8
"""


@pytest.mark.parametrize("address", CLOSED.split())
def test_our_own_network_is_closed(address: str) -> None:
    assert refusal(HTTPS, address, []) is not None


@pytest.mark.parametrize("address", OPEN.split())
def test_the_internet_is_open(address: str) -> None:
    assert refusal(HTTPS, address, []) is None


@pytest.mark.parametrize(
    ("url", "address", "allow", "permitted"),
    [
        pytest.param("http://h.example/", "8.8.8.8", None, False, id="plain http outside"),
        pytest.param("https://h.example:22/", "8.8.8.8", None, False, id="another port"),
        pytest.param("https://h.example:8443/", "8.8.8.8", None, True, id="8443"),
        pytest.param("http://h:9000/", "10.1.2.3", "10.1.0.0/16", True, id="our own"),
        pytest.param("http://h:9000/", "10.2.2.3", "10.1.0.0/16", False, id="beside it"),
        pytest.param(
            "http://h:9000/", "::ffff:10.1.2.3", "10.1.0.0/16", True, id="mapped into IPv6"
        ),
        pytest.param("http://h/", "fd00::7", "10.0.0.0/8", False, id="the other protocol"),
    ],
)
def test_what_the_operator_lists_is_open(
    url: str, address: str, allow: str | None, permitted: bool
) -> None:
    networks = [ip_network(allow)] if allow else []
    assert (refusal(parse(url), address, networks) is None) == permitted


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h.example/", Receiver(scheme="http", host="h.example", port=80)),
        ("https://[2606::1]:8443/a?b=c", Receiver(scheme="https", host="2606::1", port=8443)),
    ],
)
def test_parse(url: str, expected: Receiver) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@hooks.example/",
        "https://user@hooks.example/",
        "https://hooks.example/#part",
        "https://hooks.example:99999/",
        "https://hooks.example:x/",
        "https://[::1/",
        "https://hooks.example/ a",
        "https://hooks.example/\r\nX: 1",
        "https://hööks.example/",
        "https://hooks.example/" + "a" * 2000,
    ],
)
def test_what_is_no_receiver_is_refused(url: str) -> None:
    with pytest.raises(Unprocessable, match="url: "):
        parse(url)
