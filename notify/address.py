"""Addresses of receivers: users name them, and private networks are refused."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import TypeAlias
from urllib.parse import urlsplit

from core.errors import Unprocessable

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

PORTS = {"http": 80, "https": 443}
# Of receivers on the Internet, by scheme; `smtps` also stands for STARTTLS.
PUBLIC_PORTS = {"https": (443, 8443), "smtps": (465, 587, 2525)}
LONGEST_URL = 2000

# Everything that is not a host on the public Internet (IANA special-purpose registries).
_CLOSED: tuple[Network, ...] = (
    *map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    ),
    *map(
        IPv6Network,
        (
            "::/128",
            "::1/128",
            "::/96",  # IPv4-compatible, deprecated
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """The parts of a receiver's address that a connection needs."""

    scheme: str
    host: str
    port: int

    def refusal_outside(self) -> str | None:
        """Return the reason why no receiver on the Internet is reached so; None if it is.

        Examples
        --------
        >>> Receiver(scheme="http", host="hooks.example", port=80).refusal_outside()
        "plain http is for the operator's own networks only"
        """
        ports = PUBLIC_PORTS.get(self.scheme)
        if ports is None:
            return f"plain {self.scheme} is for the operator's own networks only"
        if self.port not in ports:
            return f"port {self.port} is not one of {', '.join(map(str, ports))}"
        return None


def parse(url: str) -> Receiver:
    """Parse a receiver's URL. Its address is checked when it is resolved.

    Raises
    ------
    Unprocessable
        If it is not an http(s) URL, or carries a user name or a fragment.

    Examples
    --------
    >>> parse("https://hooks.example/x")
    Receiver(scheme='https', host='hooks.example', port=443)
    """
    if len(url) > LONGEST_URL or not url.isprintable() or not url.isascii() or " " in url:
        raise Unprocessable("url: at most 2000 printable ASCII characters, without blanks")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Unprocessable(f"url: {error}") from None
    if parts.scheme not in PORTS:
        raise Unprocessable("url: must begin with https:// or http://")
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise Unprocessable("url: needs a host, and no user name, password or fragment")
    return Receiver(
        scheme=parts.scheme, host=host, port=PORTS[parts.scheme] if port is None else port
    )


def refusal(receiver: Receiver, address: str, allow: Iterable[Network]) -> str | None:
    """Return the reason why messages to this address are refused; None if they are not.

    Parameters
    ----------
    receiver
        From the URL.
    address
        The address to which its host resolves now.
    allow
        The operator's networks: inside them any port, and plain http.

    Examples
    --------
    >>> refusal(parse("https://hooks.example/x"), "10.0.0.7", [])
    '10.0.0.7 is not a public address'
    >>> refusal(parse("http://hooks.example/x"), "10.0.0.7", [IPv4Network("10.0.0.0/8")])
    """
    plain = canonical(address)
    if plain is None:
        return f"{address} is not an address that we can check"
    if is_inside(address, allow):
        return None
    if is_inside(address, _CLOSED):
        return f"{plain} is not a public address"
    return receiver.refusal_outside()


def canonical(address: str) -> Address | None:
    """Return the address itself, not one wrapped in another; None when it has a scope.

    Examples
    --------
    >>> canonical("::ffff:127.0.0.1")
    IPv4Address('127.0.0.1')
    """
    try:
        plain = ip_address(address)
    except ValueError:
        return None
    if isinstance(plain, IPv6Address):
        if plain.scope_id is not None:
            return None
        return plain.ipv4_mapped or plain
    return plain


def is_inside(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an address is in one of the networks.

    Examples
    --------
    >>> is_inside("::ffff:10.0.0.7", [IPv4Network("10.0.0.0/8")])
    True
    """
    plain = canonical(address)
    return plain is not None and any(
        plain in network for network in networks if network.version == plain.version
    )
