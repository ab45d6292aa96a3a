"""Polls the routing document, and fetches the artifacts that it names."""

import atexit
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import httpx

from seqwatch.forks import on_fork
from seqwatch.routing import Routing

_log = logging.getLogger("seqwatch")

TIMEOUT = 10.0  # seconds, of one request
FIRST_TIMEOUT = 2.0  # of the request before a service serves: it must start without the API


class ArtifactUnavailable(Exception):
    """The artifact is not available now: the API is down, or sent other bytes."""


class Router:
    """The routing document of one model, kept up to date in the background.

    Parameters
    ----------
    url, key, model
        Of the Seqwatch API.
    cache
        A folder for the last document and the artifacts. With it a service
        starts, and continues, while Seqwatch is down.
    every
        Seconds between two requests of the document.
    prepare
        Called in the background with a new document before it becomes
        current, e.g. to load and warm up the versions that it names. When it
        raises, the old document stays, and the next request tries again.

    Raises
    ------
    OSError
        When the folder cannot be made. After this nothing raises but
        `fetch_artifact`.
    """

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        *,
        cache: Path,
        every: float = 2.0,
        prepare: Callable[[Routing], None] | None = None,
    ) -> None:
        self._url = url
        self._key = key
        self._model = model
        self._cache = cache
        self._every = every
        self._prepare = prepare
        self._current: Routing | None = None
        self._etag: str | None = None
        self._is_following = False
        self._reset()
        cache.mkdir(parents=True, exist_ok=True)
        on_fork(self)

    @property
    def current(self) -> Routing | None:
        """The current document; None until the first was received and prepared."""
        return self._current

    @property
    def champion(self) -> str | None:
        """The version to serve when another one fails."""
        routing = self._current
        return routing.champion.version if routing and routing.champion else None

    def start(self) -> None:
        """Read the document, or the cached one, and start polling in the background."""
        if not self._fetch_document(FIRST_TIMEOUT) and self._current is None:
            self._read_cached()
        self._is_following = True
        self._start_polling()
        atexit.register(self.close)

    def close(self) -> None:
        """Stop polling."""
        atexit.unregister(self.close)
        self._is_following = False
        self._stop.set()
        if self._thread is not None:
            self._thread.join(TIMEOUT + 1.0)
        if self._http is not None:
            self._http.close()

    def choose(self, session_id: str) -> str | None:
        """Return the version for a new session; None when no document is known yet."""
        if self._is_following and self._thread is None:
            self._start_polling()  # in a forked child
        return self._current.choose(session_id) if self._current else None

    def refresh(self) -> bool:
        """Request the document once, now.

        Returns
        -------
        bool
            True when the current document is the API's.
        """
        return self._fetch_document(TIMEOUT)

    def renew(self) -> None:
        """Reinitialise in a forked child, with the document of the parent."""
        self._reset()

    def _reset(self) -> None:
        self._http: httpx.Client | None = None
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def _start_polling(self) -> None:
        thread = threading.Thread(
            target=self._follow, name=f"seqwatch-routing-{self._model}", daemon=True
        )
        with self._starting:
            if self._thread is not None:
                return
            with suppress(RuntimeError):  # no thread can be started now; the next choice tries
                thread.start()
                self._thread = thread

    def _client(self) -> httpx.Client:
        if self._http is None:
            headers = {"Authorization": f"Bearer {self._key}"}
            self._http = httpx.Client(base_url=self._url, headers=headers, timeout=TIMEOUT)
        return self._http

    def _fetch_document(self, timeout: float) -> bool:
        with self._lock:
            headers = {"If-None-Match": self._etag} if self._etag else {}
            try:
                response = self._client().get(
                    f"/v1/models/{self._model}/routing", headers=headers, timeout=timeout
                )
                if response.status_code == httpx.codes.NOT_MODIFIED:
                    return True
                response.raise_for_status()
                is_taken = self._take(Routing.from_json(response.content))
            except (httpx.HTTPError, ValueError) as error:
                _log.info("no news of the routing: %r", error)
                return False
            if is_taken:
                self._etag = response.headers.get("ETag")
                with suppress(OSError):
                    _write(self._document, response.content)
            return is_taken

    def fetch_artifact(self, version: str, sha256: str) -> bytes:
        """Return the bytes of an artifact, from the cache or the API.

        Raises
        ------
        ArtifactUnavailable
            When it is not cached and the API does not give it, or gives bytes
            with another checksum. Wrong bytes are never returned or cached.
        """
        path = self._cache / f"{sha256}.safetensors"
        with suppress(OSError):
            stored = path.read_bytes()
            if hashlib.sha256(stored).hexdigest() == sha256:
                return stored
        try:
            response = self._client().get(
                f"/v1/models/{self._model}/versions/{version}/artifact"
            )
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise ArtifactUnavailable(f"version {version}: {error!r}") from error
        if hashlib.sha256(response.content).hexdigest() != sha256:
            raise ArtifactUnavailable(f"version {version}: the checksum differs")
        with suppress(OSError):
            _write(path, response.content)
        return response.content

    @property
    def _document(self) -> Path:
        return self._cache / f"{self._model}.routing.json"

    def _take(self, routing: Routing) -> bool:
        try:
            if self._prepare is not None:
                self._prepare(routing)
        except Exception:  # noqa: BLE001 - an error of the host must not end this thread
            _log.exception("routing epoch %d could not be prepared", routing.epoch)
            return False
        self._current = routing
        return True

    def _read_cached(self) -> None:
        try:
            routing = Routing.from_json(self._document.read_bytes())
        except (OSError, ValueError):
            return
        self._take(routing)

    def _follow(self) -> None:
        stop = self._stop
        while not stop.wait(self._every):
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - no error may end this thread
                _log.exception("the routing could not be read")


def _write(path: Path, content: bytes) -> None:
    """Replace a file atomically: a reader gets the old content or the new."""
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
