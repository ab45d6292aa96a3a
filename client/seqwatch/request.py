"""The request that is being served, for the rows logged during it."""

import re
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
_NO_TRACE = "0" * 32
GATEWAY_TIMEOUT = 504
REQUEST_TIMEOUT = 408
FIRST_ERROR = 500

Emit = Callable[[dict[str, Any]], None]


class Request:
    """One request: rows wait in it until its response begins, for its status.

    Parameters
    ----------
    trace_id
        Of the W3C `traceparent`, or None.
    clock
        Seconds on a clock that never jumps.
    """

    __slots__ = ("_clock", "_is_done", "_lock", "_rows", "_started", "_status", "trace_id")

    def __init__(self, trace_id: str | None, clock: Callable[[], float]) -> None:
        self.trace_id = trace_id
        self._clock = clock
        self._started = clock()
        self._status: str | None = None
        self._is_done = False
        self._rows: list[tuple[Emit, dict[str, Any]]] = []
        self._lock = threading.Lock()

    def hold(self, emit: Emit, row: dict[str, Any]) -> None:
        """Hold a row until its status is known."""
        with self._lock:
            if self._status is None:
                self._rows.append((emit, row))
                return
        self._emit(emit, row)

    def respond(self, status: str) -> None:
        """Set the status, once: when the response begins, or fails to."""
        with self._lock:
            if self._status is not None:
                return
            self._status = status
            rows, self._rows = self._rows, []
        for emit, row in rows:
            self._emit(emit, row)

    def finish(self) -> None:
        """Mark the response as complete: rows logged later are not part of it."""
        self._is_done = True

    def _emit(self, emit: Emit, row: dict[str, Any]) -> None:
        if not self._is_done:
            row.setdefault("status", self._status)
            row.setdefault("latency_seconds", self._clock() - self._started)
        emit(row)


current: ContextVar[Request | None] = ContextVar("seqwatch_request", default=None)


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace id of a W3C `traceparent`, or None when it is not one.

    Examples
    --------
    >>> trace_id_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    >>> trace_id_of("00-00000000000000000000000000000000-00f067aa0ba902b7-01") is None
    True
    """
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None or match["trace"] == _NO_TRACE or match["version"] == "ff":
        return None
    is_longer = match["more"] is not None and match["version"] == "00"
    return None if is_longer else match["trace"]


def status_of(code: int) -> str:
    """Return how a request was served, by its HTTP status.

    Examples
    --------
    >>> status_of(200), status_of(422), status_of(503), status_of(504)
    ('ok', 'ok', 'error', 'timeout')
    """
    if code in (REQUEST_TIMEOUT, GATEWAY_TIMEOUT):
        return "timeout"
    return "error" if code >= FIRST_ERROR else "ok"
