"""A small S3 server, enough for the lake, that refuses writes on request.

Run: `python -m tests.objectstore PORT [REFUSE_FILE]`. It keeps everything in
memory. While the file exists, every write is answered 503; with `cut` in it, it is done
and not answered.
"""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from core.lake_root import Bucket

ROOT = Path(__file__).parents[1]
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class Store(ThreadingHTTPServer):
    """Objects by path, `/bucket/key`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, refuse: Path | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.lock = threading.Lock()
        self._refuse = refuse
        super().__init__(("127.0.0.1", port), _Request)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self) -> str | None:
        """Return what befalls a write: `refuse` it, or `cut` the answer off."""
        if self._refuse is not None and self._refuse.exists():
            return "cut" if "cut" in self._refuse.read_text() else "refuse"
        return None


def bucket_at(endpoint: str, prefix: str = "lake") -> Bucket:
    options = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    return Bucket(url=f"s3://grid/{prefix}", options=tuple(sorted(options.items())))


def options_json(bucket: Bucket) -> str:
    return json.dumps(dict(bucket.options))


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Store

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(60)

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", headers.get("Content_Length") or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self._answer(status, body, Content_Type="application/xml")

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while n := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(n))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _unchunked(body)
        return body

    def _key(self) -> tuple[str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        return unquote(url.path), parse_qs(url.query, keep_blank_values=True)

    def _is_refused(self) -> bool:
        if self.server.fault() != "refuse":
            return False
        self._error(503, "SlowDown")
        return True

    def do_PUT(self) -> None:
        key, query = self._key()
        body = self._body()
        if self._is_refused():
            return
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if "partNumber" in query:
            self.server.parts[query["uploadId"][0]][int(query["partNumber"][0])] = body
        else:
            source = self.headers.get("x-amz-copy-source")
            with self.server.lock:
                if self.headers.get("If-None-Match") == "*" and key in self.server.objects:
                    self._error(412, "PreconditionFailed")
                    return
                if source is not None:
                    body = self.server.objects["/" + unquote(source).lstrip("/")]
                self.server.objects[key] = body
            if source is not None:
                text = f"<CopyObjectResult><ETag>{escape(etag)}</ETag></CopyObjectResult>"
                self._answer(200, text.encode())
                return
        if self.server.fault() == "cut":
            self.close_connection = True
            return
        self._answer(200, ETag=etag)

    def do_POST(self) -> None:
        key, query = self._key()
        body = self._body()
        if self._is_refused():
            return
        if "uploads" in query:
            with self.server.lock:
                upload = str(len(self.server.parts))
                self.server.parts[upload] = {}
            text = f"<UploadId>{upload}</UploadId>"
            name = "InitiateMultipartUploadResult"
        elif "uploadId" in query:
            parts = self.server.parts[query["uploadId"][0]]
            with self.server.lock:
                self.server.objects[key] = b"".join(parts[no] for no in sorted(parts))
            text, name = '<ETag>"whole"</ETag>', "CompleteMultipartUploadResult"
        else:  # several at once are deleted
            with self.server.lock:
                for part in body.decode().split("<Key>")[1:]:
                    name = part.partition("</Key>")[0]
                    self.server.objects.pop(f"/{key.strip('/')}/{name}", None)
            text, name = "", "DeleteResult"
        self._answer(200, f"<{name}>{text}</{name}>".encode(), Content_Type="application/xml")

    def do_DELETE(self) -> None:
        key, _ = self._key()
        if self._is_refused():
            return
        with self.server.lock:
            self.server.objects.pop(key, None)
        self._answer(204)

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # the caller hung up
            super().handle()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        key, query = self._key()
        if key.strip("/").count("/") == 0 and "list-type" in query:
            self._list(key.strip("/"), query)
            return
        body = self.server.objects.get(key)
        if body is None:
            self._error(404, "NoSuchKey")
            return
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        about = {"ETag": etag, "Last_Modified": _MOMENT.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if self.command == "HEAD":
            self._answer(200, b"", Content_Length=str(len(body)), **about)
            return
        asked = self.headers.get("Range")
        if asked is None:
            self._answer(200, body, **about)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last) + 1, len(body)) if first and last else len(body)
        if start >= len(body):
            self._error(416, "InvalidRange")
            return
        where = f"bytes {start}-{end - 1}/{len(body)}"
        self._answer(206, body[start:end], Content_Range=where, **about)

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        prefix = query.get("prefix", [""])[0]
        delimiter = query.get("delimiter", [""])[0]
        after = query.get("start-after", [""])[0]
        with self.server.lock:
            keys = sorted(
                key.removeprefix(f"/{bucket}/")
                for key in self.server.objects
                if key.startswith(f"/{bucket}/{prefix}")
            )
        text, folders = "", dict[str, None]()
        for key in keys:
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders[prefix + rest.partition(delimiter)[0] + delimiter] = None
            elif key > after:
                body = self.server.objects.get(f"/{bucket}/{key}", b"")
                text += (
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size>"
                    f"<LastModified>{_MOMENT:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
                    f'<ETag>"{hashlib.md5(body).hexdigest()}"</ETag></Contents>'
                )
        for folder in folders:
            text += f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
        n = len(keys)
        head = f"<Name>{bucket}</Name><KeyCount>{n}</KeyCount><IsTruncated>false</IsTruncated>"
        found = f"{head}<Prefix>{escape(prefix)}</Prefix>{text}"
        body = f"<ListBucketResult>{found}</ListBucketResult>".encode()
        self._answer(200, body, Content_Type="application/xml")


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        n = int(body[at:end].split(b";")[0], 16)
        if not n:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + n])
        at = end + 4 + n


class Running:
    """The server in a process of its own: clients in this one may hold Python's lock."""

    def __init__(self, folder: Path) -> None:
        self._refuse = folder / "refuse"
        command = [sys.executable, "-m", "tests.objectstore", "0", str(self._refuse)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()
        assert self.endpoint

    def bucket(self, prefix: str = "lake") -> Bucket:
        return bucket_at(self.endpoint, prefix)

    @contextmanager
    def faulty(self, how: str = "refuse") -> Iterator[None]:
        """Refuse every write meanwhile, or cut the answer off after it was done."""
        self._refuse.write_text(how)
        try:
            yield
        finally:
            self._refuse.unlink()


@contextmanager
def serving() -> Iterator[Running]:
    """Start the server, stop it."""
    with TemporaryDirectory(prefix="seqwatch-store-") as folder:
        running = Running(Path(folder))
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait()
            assert running.process.stdout is not None
            running.process.stdout.close()


def main() -> None:
    store = Store(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    sys.stdout.write(f"{store.endpoint}\n")
    sys.stdout.flush()
    store.serve_forever()


if __name__ == "__main__":
    main()
