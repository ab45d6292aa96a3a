"""A receiver of webhooks that hangs, refuses connections, or answers 500 on request."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fault(StrEnum):
    """What the receiver does instead of answering 204."""

    HANGS = "receiver hangs"
    REFUSES = "receiver refuses"
    FAILS = "receiver answers 500"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class FaultyReceiver:
    """Keeps the ids of the messages that it has answered with 204, in order."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._fault: Fault | None = None
        self._healed = threading.Event()
        self._server = self._listen(0)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    @contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        port = self._server.server_port
        self._healed.clear()
        self._fault = fault
        if fault is Fault.REFUSES:
            self.close()
        try:
            yield
        finally:
            self._fault = None
            self._healed.set()
            if fault is Fault.REFUSES:
                self._server = self._listen(port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _listen(self, port: int) -> _Server:
        receiver = self

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                fault = receiver._fault
                if fault is Fault.HANGS:
                    receiver._healed.wait()
                    self.close_connection = True
                    return
                if fault is None:
                    receiver.ids.append(self.headers["webhook-id"])
                self.send_response(500 if fault else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = _Server(("127.0.0.1", port), Hook)
        assert server.socket.family == socket.AF_INET
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.daemon = True
        thread.start()
        return server


@contextmanager
def receiving() -> Iterator[FaultyReceiver]:
    receiver = FaultyReceiver()
    try:
        yield receiver
    finally:
        receiver.close()
