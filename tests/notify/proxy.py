"""An HTTP proxy in a thread that tunnels by CONNECT, to one receiver whatever is asked for."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Proxy:
    """Keeps what it was asked for; answers with `refusal` where it is not None."""

    port: int = 0
    to: int = 0
    refusal: tuple[int, str] | None = None
    targets: list[str] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)


@contextmanager
def proxy(to: int) -> Iterator[Proxy]:
    """Run one that connects to this port of this machine, as if every name led there."""
    proxy = Proxy(to=to)

    class Tunnel(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            proxy.targets.append(self.path)
            proxy.logins.append(self.headers["Proxy-Authorization"])
            self.close_connection = True
            if proxy.refusal is not None:
                status, words = proxy.refusal
                self.send_response(status, words)
                self.end_headers()
                return
            with socket.create_connection(("127.0.0.1", proxy.to)) as there:
                self.send_response(200)
                self.end_headers()
                back = Thread(target=_copy, args=(there, self.connection))
                back.start()
                _copy(self.connection, there)
                back.join()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    proxy.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(65_536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
