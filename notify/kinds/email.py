"""The kind `email`: a mail through a server that takes it by SMTP."""

import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from enum import StrEnum
from threading import Timer

from core.plugins import SECRET
from notify.address import Receiver
from notify.channel import ChannelKind, Delivered, Group, Retry, Sent
from notify.connection import Refused
from notify.notification import Notification
from notify.sender import Sender

MOST_ADDRESSES = 100


class Security(StrEnum):
    """Encryption: TLS from the first byte, after STARTTLS, or none."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailConfig:
    """A mail server, and who sends to whom.

    Attributes
    ----------
    security
        `none` only for servers in the operator's own networks.
    username, password
        Empty: the server asks for none.
    """

    host: str
    port: int = 587
    security: Security = Security.STARTTLS
    username: str = ""
    password: str = field(default="", metadata=SECRET, repr=False)
    sender: str
    to: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.host or not self.host.isascii() or not self.host.isprintable():
            raise ValueError("host: must be a name or an address")
        if not 0 < self.port < 65536:
            raise ValueError("port: must be from 1 to 65535")
        if not 0 < len(self.to) <= MOST_ADDRESSES:
            raise ValueError(f"to: needs 1 to {MOST_ADDRESSES} addresses")
        for address in (self.sender, *self.to):
            local, at, domain = address.rpartition("@")
            is_plain = address.isascii() and address.isprintable()
            if not (is_plain and local and at and domain) or {*address} & {*' ,;:<>"()[]\\'}:
                raise ValueError(f"{address!r} is not an address such as on-call@example.com")
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password: state both or neither")

    @property
    def receiver(self) -> Receiver:
        """Where to connect to."""
        scheme = "smtp" if self.security is Security.NONE else "smtps"
        return Receiver(scheme=scheme, host=self.host, port=self.port)


class _Session(smtplib.SMTP):
    """A session over a connection that exists already."""

    def __init__(self, connection: socket.socket, host: str, seconds: float) -> None:
        self._connection = connection
        super().__init__(host, timeout=seconds)  # connects
        self._host = host  # of the certificate, for STARTTLS

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._connection


def send(config: EmailConfig, group: Group, sender: Sender) -> Sent:
    """Send one mail to all addresses. It is delivered when the server takes it for one of them.

    No error holds the text of the server: it may quote the mail.
    """
    [notification] = group.notifications
    try:
        connection = sender.connect(config.receiver)
        with _deadline(connection, sender.timeout.total_seconds()):
            _deliver(config, mail(config, group, notification), connection, sender)
    except (Refused, OSError) as error:  # those of smtplib and TLS are OSError too
        return Retry(error=_described(error))
    return Delivered()


def _described(error: Refused | OSError) -> str:
    match error:
        case smtplib.SMTPRecipientsRefused():
            return "the mail server refused every address"
        case smtplib.SMTPResponseException():
            return f"the mail server answered {error.smtp_code}"
        case smtplib.SMTPException():
            return f"{type(error).__name__}: the mail server did not take the mail"
        case OSError():
            return f"{type(error).__name__}: {getattr(error, 'reason', error.strerror)}"
        case _:
            return str(error)


def mail(config: EmailConfig, group: Group, notification: Notification) -> EmailMessage:
    """Return the mail; those about one alert are one thread."""
    message = EmailMessage()
    domain = config.sender.rpartition("@")[2]
    message["Subject"] = notification.title
    message["From"] = config.sender
    message["To"] = ", ".join(config.to)
    message["Date"] = format_datetime(group.at)
    message["Message-ID"] = f"<{group.id}@{domain}>"
    message["References"] = f"<{notification.key}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    facts = "\n".join(f"{name}: {value}" for name, value in notification.facts.items())
    links = "\n".join(f"{link.text}: {link.url}" for link in notification.links)
    message.set_content("\n\n".join(filter(None, (notification.text, facts, links))) + "\n")
    return message


def _deliver(
    config: EmailConfig, message: EmailMessage, connection: socket.socket, sender: Sender
) -> None:
    if config.security is Security.TLS:
        connection = sender.tls.wrap_socket(connection, server_hostname=config.host)
    with _Session(connection, config.host, sender.timeout.total_seconds()) as session:
        if config.security is Security.STARTTLS:
            session.starttls(context=sender.tls)
        if config.username:
            session.login(config.username, config.password)
        session.send_message(message)


@contextmanager
def _deadline(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Shut a connection down after so long, however slowly the server sends."""
    same = connection.dup()  # TLS takes the connection over

    def end() -> None:
        try:
            same.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the server was faster

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        same.close()
        connection.close()


KIND = ChannelKind(
    name="email",
    question="Sends mail by SMTP.",
    config=EmailConfig,
    send=send,
)
