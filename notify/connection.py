"""Connections to receivers: to an address that was checked, within one deadline."""

import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from notify.address import Network, Receiver, is_inside, refusal


class Refused(Exception):
    """Connections to the receiver's address are not allowed."""


def resolve(receiver: Receiver) -> list[str]:
    """Return the addresses of a receiver's name, as the resolver orders them.

    Raises
    ------
    OSError
        If the name has none.
    """
    found = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def permitted(receiver: Receiver, allow: Iterable[Network]) -> list[str]:
    """Return the addresses of a receiver to which connections are allowed.

    Connect to one of these: a name that is resolved again may give another address.

    Raises
    ------
    Refused
        If there is none, with the reason.
    OSError
        If the name cannot be resolved.
    """
    networks = tuple(allow)
    refusals = {one: refusal(receiver, one, networks) for one in resolve(receiver)}
    found = [address for address, reason in refusals.items() if reason is None]
    if not found:
        raise Refused(next(filter(None, refusals.values()), "the name has no address"))
    return found


def is_own(receiver: Receiver, allow: Iterable[Network]) -> bool:
    """Return whether a name resolves into the operator's own networks.

    Raises
    ------
    Refused
        If it resolves, and connections to no address of it are allowed.
    """
    networks = tuple(allow)
    try:
        addresses = permitted(receiver, networks)
    except OSError:
        return False
    return any(is_inside(address, networks) for address in addresses)


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to an address that was checked, within one deadline for everything.

    Parameters
    ----------
    receiver
        Where to connect to, whatever httpcore asks for.
    allow
        The operator's networks; None: the address is the operator's own choice, as that of a
        proxy is.
    seconds
        From the name's resolution to the end of the response.
    """

    def __init__(
        self, receiver: Receiver, allow: Iterable[Network] | None, seconds: float
    ) -> None:
        self._receiver = receiver
        self._allow = allow
        self._seconds = seconds
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first permitted address that answers."""
        if self._allow is None:
            addresses = resolve(self._receiver)
        else:
            addresses = permitted(self._receiver, self._allow)
        deadline = time.monotonic() + self._seconds
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses:
            try:
                stream = self._backend.connect_tcp(
                    address, self._receiver.port, _left(deadline), local_address, socket_options
                )
                return _BoundedStream(stream, deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure


class _BoundedStream(httpcore.NetworkStream):
    """A connection that ends at its deadline, however slowly the receiver sends."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _BoundedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the attempt took too long")
    return left
