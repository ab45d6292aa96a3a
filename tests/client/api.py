"""A small real server that gives configured answers, and keeps what it was sent."""

import gzip
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Seen:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def batch_id(self) -> str:
        return self.headers["idempotency-key"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        is_packed = self.headers.get("content-encoding") == "gzip"
        body = gzip.decompress(self.body) if is_packed else self.body
        rows: list[dict[str, Any]] = json.loads(body)["rows"]
        return rows


class Api:
    """Answers with `script`, one by one, and then as the real API does when all is well."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: list[Answer] = []
        self.document = Answer(status=404)
        self.artifact = Answer(status=404)
        self.poison: bytes | None = None
        self.refuses: bytes | None = None
        self.kept: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def is_down(self) -> bool:
        return self._server is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def kept_ids(self) -> list[str]:
        return [row["prediction_id"] for rows in self.kept.values() for row in rows]

    def start(self) -> None:
        api = self

        class Endpoint(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self) -> None:
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                if api.is_down:  # a connection that was kept alive dies with the server
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = api.answer(Seen(self.path, headers, body))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 304:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if answer.status != 304:
                    self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Endpoint)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, seen: Seen) -> Answer:
        with self._lock:
            self.seen.append(seen)
            if seen.path.endswith("/artifact"):
                return self.artifact
            if seen.path.endswith("/routing"):
                etag = self.document.headers.get("ETag")
                if etag and seen.headers.get("if-none-match") == etag:
                    return Answer(status=304, headers={"ETag": etag})
                return self.document
            if self.poison is not None and self.poison in seen.body:
                return Answer(status=500)
            if self.refuses is not None and self.refuses in seen.body:
                return Answer(status=413)
            if self.script:
                return self.script.pop(0)
            return self._keep(seen)

    def _keep(self, seen: Seen) -> Answer:
        is_duplicate = seen.batch_id in self.kept
        self.kept.setdefault(seen.batch_id, seen.rows)
        receipt = {"accepted": len(seen.rows), "duplicate": is_duplicate, "quarantined": 0}
        return Answer(status=200, body=json.dumps(receipt).encode())
