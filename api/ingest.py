"""The way in for predictions, references and labels.

Plain ASGI: this route carries nearly all traffic, and a request spends less
time here than the framework's dependency resolution would take.
"""

import asyncio
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from core.errors import BadRows, TooLarge, UnsupportedFormat
from core.settings import Settings
from db.tables import Scope as KeyScope
from services.access import Door, token_in
from services.ingest import Accepted, Batch, Committer, Feed, Format, metrics
from services.ingest.decode import MAX_BATCH_ID
from services.registry import Directory, Entry

# How long an answer of the door is kept here, so that it is asked in a thread
# and not in the event loop. Adds to the door's own time to live.
ADMITTED_SECONDS = 1.0
MAX_ADMITTED = 10_000


class Disconnected(Exception):
    """The caller hung up before the body was complete."""


class Gate:
    """Says who may send to which model, without holding up the event loop."""

    def __init__(self, door: Door, directory: Directory) -> None:
        self._door = door
        self._directory = directory
        self._admitted: dict[tuple[str | None, str], tuple[float, Entry]] = {}

    async def admit(self, authorization: str | None, model: str) -> Entry:
        """Return the model, or raise what the door or the directory raises."""
        key = authorization, model
        known = self._admitted.get(key)
        asked_at = time.monotonic()
        if known is not None and asked_at < known[0]:
            return known[1]
        entry = await run_in_threadpool(self._ask, authorization, model)
        if len(self._admitted) >= MAX_ADMITTED:
            self._admitted.clear()
        self._admitted[key] = asked_at + ADMITTED_SECONDS, entry
        return entry

    def _ask(self, authorization: str | None, model: str) -> Entry:
        caller = self._door.admit(token_in(authorization))
        return self._directory.reach(caller, KeyScope.INGEST, model)


class Intake:
    """One way in: reads a body whole, hands it over, answers when it is on disk."""

    def __init__(
        self, feed: Feed, gate: Gate, committer: Committer, settings: Settings
    ) -> None:
        self._feed = feed
        self._gate = gate
        self._committer = committer
        self._max_bytes = settings.max_body_bytes
        self._seconds = metrics.REQUEST_SECONDS.labels(feed.kind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; errors are rendered where all errors are."""
        started = time.monotonic()
        headers = Headers(scope=scope)
        entry = await self._gate.admit(
            headers.get("authorization"), scope["path_params"]["model"]
        )
        read_as = format_of(headers)
        try:
            body = await self._body(headers, receive)
        except Disconnected:
            return
        batch = Batch(
            model_id=entry.model_id,
            model=entry.name,
            contract=entry.contract,
            feed=self._feed,
            format=read_as,
            body=body,
            batch_id=headers.get("idempotency-key"),
        )
        accepted = await asyncio.wrap_future(self._committer.submit(batch))
        self._seconds.observe(time.monotonic() - started)
        if accepted.faults:
            raise BadRows(accepted.faults, accepted.n_accepted)
        await _answer(accepted, send)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self._max_bytes:
            raise self._too_large()
        parts, n_bytes = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            n_bytes += len(part)
            if n_bytes > self._max_bytes:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"a body may have {self._max_bytes} bytes")


def format_of(headers: Headers) -> Format:
    """Return how the body is to be read.

    Raises
    ------
    UnsupportedFormat
        If it is of another content type, or compressed.
    """
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedFormat(f"content encoding: expected none, not {encoding[:40]!r}")
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return Format(given)
    except ValueError:
        raise UnsupportedFormat(f"content type: expected one of {', '.join(Format)}") from None


async def _answer(accepted: Accepted, send: Send) -> None:
    body = b'{"accepted":%d,"duplicate":%s,"quarantined":%d}' % (
        accepted.n_accepted,
        b"true" if accepted.is_duplicate else b"false",
        accepted.n_quarantined,
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def routes(
    door: Door, directory: Directory, committer: Committer, settings: Settings
) -> list[Route]:
    """Return the three ways in; to be put before all other routes."""
    gate = Gate(door, directory)
    return [
        Route(
            f"/v1/models/{{model}}/{feed}",
            Intake(feed, gate, committer, settings),
            methods=["POST"],
            name=f"send_{feed}",
        )
        for feed in Feed
    ]


def openapi_paths() -> dict[str, Any]:
    """Return what these routes add to `paths` of the API's description."""
    return {f"/v1/models/{{model}}/{feed}": {"post": _operation(feed)} for feed in Feed}


def _operation(feed: Feed) -> dict[str, Any]:
    answers = {
        "200": "On disk, or already there (`duplicate`).",
        "400": "The body cannot be read.",
        "401": "No key, or one that we do not know.",
        "403": "The key does not reach this far.",
        "404": "No such model.",
        "409": "The batch id was used for other content.",
        "413": "More bytes or rows than allowed.",
        "415": "A content type that we do not read.",
        "422": "Some rows break the contract and are in quarantine; the others are kept.",
        "503": "Try again after `Retry-After` seconds.",
    }
    return {
        "operationId": f"send_{feed}",
        "summary": _SUMMARY[feed],
        "tags": ["ingest"],
        "parameters": [
            {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
            },
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Names the batch, unless the body does; by default its hash.",
                "schema": {"type": "string", "maxLength": MAX_BATCH_ID},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                Format.JSON.value: {"schema": _SCHEMA},
                Format.ARROW.value: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {status: {"description": text} for status, text in answers.items()},
        "security": [{"key": []}],
    }


_SUMMARY = {
    Feed.PREDICTIONS: "Keep predictions that were served.",
    Feed.REFERENCE: "Keep past input that no model has served, to compare with.",
    Feed.LABELS: "Keep what really happened.",
}

# Which fields a row has depends on the model's contract.
_SCHEMA = {
    "description": "One row, or a batch of rows.",
    "anyOf": [
        {"type": "object", "description": "One row."},
        {
            "type": "object",
            "required": ["rows"],
            "properties": {
                "batch_id": {"type": "string", "maxLength": MAX_BATCH_ID},
                "rows": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            },
        },
    ],
}
