"""Post a notification to a receiver that a user named."""

import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import httpcore

from core import __version__
from core.errors import Unprocessable
from core.settings import Settings
from notify.address import Network, Receiver, parse
from notify.connection import CheckedBackend, Refused, is_own, permitted


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
    proxy
        URL of the HTTP proxy through which receivers outside `allow` are reached; empty: none.
    ca_bundle
        PEM file of certificates that are trusted beside the system's.
    apprise
        Services of Apprise that the operator allows: it checks no address.
    """

    def __init__(
        self,
        *,
        allow: Iterable[Network],
        timeout: timedelta,
        public_url: str,
        proxy: str = "",
        ca_bundle: Path | None = None,
        apprise: Iterable[str] = (),
    ) -> None:
        self.timeout = timeout
        self._allow = tuple(allow)
        self.public_url = public_url
        self._proxy = proxy
        self._ca_bundle = ca_bundle
        self.apprise = frozenset(apprise)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the sender of an installation."""
        return cls(
            allow=settings.webhook_allow,
            timeout=settings.webhook_timeout,
            public_url=settings.public_url,
            proxy=settings.egress_proxy,
            ca_bundle=settings.ca_bundle,
            apprise=settings.apprise_services,
        )

    @cached_property  # 30 ms to read the certificates
    def tls(self) -> ssl.SSLContext:
        """What is trusted, for connections that verify the receiver's certificate."""
        import httpx  # brings a command line along: not before a message is sent

        context = httpx.create_ssl_context()
        if self._ca_bundle is not None:
            context.load_verify_locations(cafile=self._ca_bundle)
        return context

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
        except httpcore.ProxyError as error:  # its text: the status, and the proxy's words
            status = str(error)[:3]
            return Answer(error=f"the proxy answered {status if status.isdigit() else '?'}")
        except httpcore.ProtocolError as error:  # its text quotes the receiver's answer
            return Answer(error=f"{type(error).__name__}: the answer is not HTTP")
        except (httpcore.NetworkError, OSError, UnicodeError) as error:
            return Answer(error=f"{type(error).__name__}: {error}")

    def connect(self, receiver: Receiver) -> socket.socket:
        """Return a connection to an address of a receiver that was checked; no proxy is used.

        Raises
        ------
        Refused
            If connections to none of its addresses are allowed.
        OSError
            If none accepts a connection in time.
        """
        failure: OSError | None = None
        addresses = permitted(receiver, self._allow)
        each = self.timeout.total_seconds() / len(addresses)
        for address in addresses:
            try:
                return socket.create_connection((address, receiver.port), each)
            except OSError as error:
                failure = error
        assert failure is not None
        raise failure

    def _post(
        self,
        receiver: Receiver,
        url: str,
        headers: dict[bytes | str, bytes | str],
        content: bytes,
    ) -> Answer:
        # httpcore follows no redirect and reads no proxy from the environment. The answer's
        # content is not read: only its status matters, and it could be endless.
        with (
            self._pool(receiver) as pool,
            pool.stream("POST", url, headers=headers, content=content) as response,
        ):
            status = response.status
            waits = _retry_after(response.headers)
            if 200 <= status < 300:
                return Answer(status=status)
            return Answer(
                status=status, error=f"the receiver answered {status}", retry_after=waits
            )

    def _pool(self, receiver: Receiver) -> httpcore.ConnectionPool:
        seconds = self.timeout.total_seconds()
        if not self._proxy or is_own(receiver, self._allow):
            direct = CheckedBackend(receiver, self._allow, seconds)
            return httpcore.ConnectionPool(ssl_context=self.tls, network_backend=direct)
        # A name that does not resolve here is resolved, and its address checked, by the proxy.
        refused = receiver.refusal_outside()
        if refused is not None:
            raise Refused(refused)
        parts = urlsplit(self._proxy)
        proxy = Receiver(scheme="http", host=parts.hostname or "", port=parts.port or 80)
        login = unquote(parts.username or ""), unquote(parts.password or "")
        return httpcore.HTTPProxy(
            f"http://{proxy.host}:{proxy.port}",
            proxy_auth=login if parts.username else None,
            ssl_context=self.tls,
            network_backend=CheckedBackend(proxy, None, seconds),
        )


def _retry_after(headers: list[tuple[bytes, bytes]]) -> timedelta | None:
    """Return the header's delay if it is in seconds; a date is ignored."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 9:
            return timedelta(seconds=int(value))
    return None
