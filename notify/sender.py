"""Post a notification to a receiver that a user named."""

import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore

from core import __version__
from core.errors import Unprocessable
from notify.address import Network, Receiver, parse, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Result of one attempt.

    Attributes
    ----------
    status
        The HTTP status; None when no response came.
    error
        Why it failed, for the operator; None when it succeeded. Never a part
        of the receiver's answer.
    retry_after
        What the receiver asked for, if anything.
    """

    status: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None


class Refused(Exception):
    """Connections to the receiver's address are not allowed."""


@cache  # 30 ms to read the certificates
def _system_trust() -> ssl.SSLContext:
    import httpx  # brings a command line along: not before a message is sent

    return httpx.create_ssl_context()


class Sender:
    """Sends messages, each over a connection of its own; safe to share between threads.

    Parameters
    ----------
    allow
        Networks of the operator in which receivers are allowed.
    timeout
        For a whole attempt, without the time of resolving the name.
    public_url
        Address of this installation, for links in messages.
    tls
        Which certificates to trust; the system's by default.
    """

    def __init__(
        self,
        *,
        allow: Iterable[Network],
        timeout: timedelta,
        public_url: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.timeout = timeout
        self._allow = tuple(allow)
        self.public_url = public_url
        self._tls = tls

    def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """Make one attempt. Every failure is in the answer, none is raised."""
        try:
            receiver = parse(url)
            sent: dict[bytes | str, bytes | str] = {
                "Host": urlsplit(url).netloc,
                "User-Agent": f"Seqwatch/{__version__}",
            }
            sent |= dict(headers.items())
            return self._post(receiver, url, sent, content)
        except (Unprocessable, Refused) as error:
            return Answer(error=str(error))
        except httpcore.TimeoutException:
            return Answer(error=f"no answer within {self.timeout.total_seconds():g} s")
        except httpcore.ProtocolError as error:  # its text quotes the receiver's answer
            return Answer(error=f"{type(error).__name__}: the answer is not HTTP")
        except (httpcore.NetworkError, OSError, UnicodeError) as error:
            return Answer(error=f"{type(error).__name__}: {error}")

    def _post(
        self,
        receiver: Receiver,
        url: str,
        headers: dict[bytes | str, bytes | str],
        content: bytes,
    ) -> Answer:
        backend = _CheckedBackend(receiver, self._allow, self.timeout.total_seconds())
        # httpcore follows no redirect and reads no proxy from the environment. The answer's
        # content is not read: only its status matters, and it could be endless.
        tls = self._tls or _system_trust()
        with (
            httpcore.ConnectionPool(ssl_context=tls, network_backend=backend) as pool,
            pool.stream("POST", url, headers=headers, content=content) as response,
        ):
            status = response.status
            waits = _retry_after(response.headers)
            if 200 <= status < 300:
                return Answer(status=status)
            return Answer(
                status=status, error=f"the receiver answered {status}", retry_after=waits
            )


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to exactly the address that was checked, within one deadline for everything.

    A name that is resolved again after the check may give another address.
    """

    def __init__(self, receiver: Receiver, allow: tuple[Network, ...], seconds: float) -> None:
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
        addresses = _resolve(self._receiver)
        deadline = time.monotonic() + self._seconds
        refusals = {
            address: refusal(self._receiver, address, self._allow) for address in addresses
        }
        permitted = [address for address in addresses if refusals[address] is None]
        if not permitted:
            raise Refused(next(filter(None, refusals.values()), "the name has no address"))
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in permitted:
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


def _resolve(receiver: Receiver) -> list[str]:
    found = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the attempt took too long")
    return left


def _retry_after(headers: list[tuple[bytes, bytes]]) -> timedelta | None:
    """Return the header's delay if it is in seconds; a date is ignored."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 9:
            return timedelta(seconds=int(value))
    return None
