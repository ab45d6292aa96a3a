"""The on-call engineer's phone: a webhook receiver that checks every signature."""

import hmac
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from core.clock import utcnow
from notify.signing import sign

TOLERANCE = timedelta(minutes=5)  # between their clock and ours, by Standard Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One webhook that arrived, was signed by us, and was not seen before."""

    id: str
    type: str
    content: dict[str, Any]


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Return whether a message is signed with the secret, and fresh."""
    try:
        timestamp = int(headers["webhook-timestamp"])
        expected = sign(secret, headers["webhook-id"], timestamp, body).encode()
        given = headers["webhook-signature"].encode().split()
    except (KeyError, ValueError):
        return False
    is_fresh = abs(now.timestamp() - timestamp) <= TOLERANCE.total_seconds()
    return is_fresh and any(hmac.compare_digest(expected, one) for one in given)


class Receiver:
    """Listens on loopback; what it heard is in `messages`, each message once."""

    def __init__(self, secret: str, port: int) -> None:
        self._secret = secret
        self._seen: dict[str, Message] = {}
        self.n_refused = 0
        receiver = self

        class Inbound(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                is_ours = receiver.take(dict(self.headers.items()), body)
                self.send_response(204 if is_ours else 401)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent: the terminal belongs to the timeline."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Inbound)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where to send webhooks."""
        return f"http://127.0.0.1:{self._server.server_port}/page"

    @property
    def messages(self) -> list[Message]:
        """Everything that arrived, in order of arrival."""
        return [*self._seen.values()]

    def take(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Keep a message if its signature is right; a repeated one is kept once."""
        lower = {name.lower(): value for name, value in headers.items()}
        if not is_signed(self._secret, lower, body, utcnow()):
            self.n_refused += 1
            return False
        parsed = json.loads(body)
        message_id = lower["webhook-id"]
        self._seen.setdefault(
            message_id,
            Message(id=message_id, type=parsed["type"], content=parsed["data"]),
        )
        return True

    def start(self) -> None:
        """Begin to listen, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
