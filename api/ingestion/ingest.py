"""The way in for predictions, references and labels.

Plain ASGI: this route carries nearly all traffic, and a request spends less
time here than the framework's dependency resolution would take.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from anyio import CapacityLimiter, Lock, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.ingestion.backlog import answered
from api.server.authentication import AsyncAuthenticator
from api.server.responses import outcome
from core.errors import BadRows, UnsupportedFormat
from core.settings import Settings
from db.tables import Scope as KeyScope
from services.access.api_keys import plausible_token, require
from services.access.rate_limits import Allowed, Ticket, allowed
from services.access.request_body import Disconnected, read_body
from services.ingest import Accepted, Batch, Committer, Feed, Format, metrics
from services.ingest.batch import ALIASES
from services.ingest.formats.decompress import Packing, unpack
from services.ingest.tracing import trace_id
from services.models.registry import Entry, ModelCache

# How long an answer of the door is kept here, so that it is asked in a thread
# and not in the event loop. Adds to the door's own time to live.
ADMITTED_SECONDS = 1.0
MAX_ADMITTED = 10_000

# A small body unpacks in less time than another thread takes to wake up: it may
# become no more than a megabyte. Of the large ones only so many do at a time.
UNPACKED_AT_ONCE = 4096  # bytes
N_UNPACKING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends, and how much of it."""

    key_id: UUID
    allowed: Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Who may send what to which model."""

    entry: Entry
    key_id: UUID
    allowed: Allowed


class Gate:
    """Says who may send to which model, without holding up the event loop."""

    def __init__(
        self, authenticator: AsyncAuthenticator, directory: ModelCache, settings: Settings
    ) -> None:
        self._authenticator = authenticator
        self._directory = directory
        self._settings = settings
        self._admitted: dict[tuple[str | None, str], tuple[float, Admitted]] = {}
        self._asked: dict[tuple[str | None, str], asyncio.Task[Admitted]] = {}

    async def admit(self, authorization: str | None, model: str) -> Entry:
        """Return the model, or raise what the door or the directory raises."""
        return (await self.enter(authorization, model)).entry

    async def enter(self, authorization: str | None, model: str) -> Admitted:
        """Return the model and what the key may send, or raise as `admit` does."""
        key = authorization, model
        known = self._admitted.get(key)
        asked_at = time.monotonic()
        if known is not None and asked_at < known[0]:
            return known[1]
        plausible_token(authorization)  # before a task is made for it
        # When an answer is out of date all connections find it so: one asks, all listen.
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._learn(key, asked_at))
        return await asyncio.shield(asked)

    async def _learn(self, key: tuple[str | None, str], asked_at: float) -> Admitted:
        authorization, model = key
        try:
            caller = await self._authenticator.authenticate(authorization)
            entry = await run_in_threadpool(
                self._directory.reach, caller, KeyScope.INGEST, model
            )
        finally:
            del self._asked[key]
        admitted = Admitted(
            entry=entry, key_id=caller.key_id, allowed=allowed(caller.limits, self._settings)
        )
        if len(self._admitted) >= MAX_ADMITTED:
            self._admitted.clear()
        self._admitted[key] = asked_at + ADMITTED_SECONDS, admitted
        return admitted

    async def sender(self, authorization: str | None) -> Sender:
        """Return who sends, before it is known to which model."""
        caller = await self._authenticator.authenticate(authorization)
        require(caller, KeyScope.INGEST, caller.model_id)
        return Sender(key_id=caller.key_id, allowed=allowed(caller.limits, self._settings))


class Intake:
    """One way in: reads a body whole, hands it over, answers when it is on disk."""

    def __init__(
        self, feed: Feed, gate: Gate, committer: Committer, settings: Settings
    ) -> None:
        self._feed = feed
        self._gate = gate
        self._committer = committer
        self._within = settings.body_time
        self._unpacker = Unpacker()
        self._seconds = metrics.REQUEST_SECONDS.labels(feed.kind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; errors are rendered where all errors are."""
        started = time.monotonic()
        headers = Headers(scope=scope)
        admitted = await self._gate.enter(
            headers.get("authorization"), scope["path_params"]["model"]
        )
        read_as, packing = format_of(headers), packing_of(headers)
        ticket = self._committer.enter(admitted.key_id, admitted.allowed)
        try:
            body = await read_body(
                headers.get("content-length"), receive, ticket.need, self._within
            )
            if packing is not None:
                body = await self._unpacker(body, packing, ticket)
            batch = self._batch(admitted.entry, headers, read_as, body)
            answer = self._committer.submit(batch, ticket)
        except Disconnected:
            ticket.release()
            return
        except BaseException:  # also when the request is cancelled: its room is for others
            ticket.release()
            raise
        accepted = await answered(answer)
        self._seconds.observe(time.monotonic() - started)
        if accepted.faults:
            raise BadRows(accepted.faults, accepted.n_accepted, accepted.duplicates)
        await _answer(accepted, send)

    def _batch(self, entry: Entry, headers: Headers, read_as: Format, body: bytes) -> Batch:
        return Batch(
            model_id=entry.model_id,
            model=entry.name,
            terms=entry.terms,
            feed=self._feed,
            format=read_as,
            body=body,
            batch_id=headers.get("idempotency-key"),
            contract_digest=headers.get("seqwatch-contract"),
            trace_id=trace_of(headers),
        )


def format_of(headers: Headers) -> Format:
    """Return how the body is to be read.

    Raises
    ------
    UnsupportedFormat
        If it is of another content type.
    """
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return ALIASES.get(given) or Format(given)
    except ValueError:
        raise UnsupportedFormat(f"content type: expected one of {', '.join(Format)}") from None


def packing_of(headers: Headers) -> Packing | None:
    """Return how the body is compressed; None where it is not.

    Raises
    ------
    UnsupportedFormat
        If in another way, or in several at once.
    """
    given = ",".join(headers.getlist("content-encoding")).strip().lower()
    if given in ("", "identity"):
        return None
    try:
        return Packing(given.removeprefix("x-"))
    except ValueError:
        raise UnsupportedFormat(
            f"content encoding: expected one of {', '.join(Packing)}, once"
        ) from None


def trace_of(headers: Headers) -> str | None:
    """Return the trace that the request belongs to, if it says so in W3C's words."""
    given = headers.get("traceparent")
    if given is None:
        return None
    found = trace_id(given)
    if found is None:
        metrics.INVALID_TRACEPARENTS.inc()
    return found


class Unpacker:
    """Unpacks bodies without holding up the event loop: few at a time, and one of each key.

    So a body waits for at most one of every other key, however many those have sent.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(N_UNPACKING)
        self._turns: dict[UUID, tuple[Lock, int]] = {}

    async def __call__(self, body: bytes, packing: Packing, ticket: Ticket) -> bytes:
        """Return what was compressed, once it has room."""
        max_bytes = ticket.allowed.body_bytes
        if len(body) <= UNPACKED_AT_ONCE:
            unpacked = unpack(body, packing, max_bytes)
        else:
            async with self._turn(ticket.key_id):
                unpacked = await to_thread.run_sync(
                    unpack, body, packing, max_bytes, limiter=self._limiter
                )
        ticket.need(len(unpacked))
        return unpacked

    @asynccontextmanager
    async def _turn(self, key_id: UUID) -> AsyncIterator[None]:
        lock, n_waiting = self._turns.get(key_id) or (Lock(), 0)
        self._turns[key_id] = lock, n_waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, n_waiting = self._turns.pop(key_id)
            if n_waiting > 1:
                self._turns[key_id] = lock, n_waiting - 1


async def _answer(accepted: Accepted, send: Send) -> None:
    if accepted.duplicates:
        body = json.dumps(
            outcome(n_accepted=accepted.n_accepted, duplicates=accepted.duplicates)
        ).encode()
    else:
        body = (
            b'{"accepted":%d,"duplicate":%s,"duplicates":[],"quarantined":%d,"errors":[]}'
            % (
                accepted.n_accepted,
                b"true" if accepted.is_duplicate else b"false",
                accepted.n_quarantined,
            )
        )
    await send_json(body, send)


async def send_json(body: bytes, send: Send) -> None:
    """Answer 200 with JSON."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def routes(gate: Gate, committer: Committer, settings: Settings) -> list[Route]:
    """Return the three ways in; to be put before all other routes."""
    return [
        Route(
            f"/v1/models/{{model}}/{feed}",
            Intake(feed, gate, committer, settings),
            methods=["POST"],
            name=f"send_{feed}",
        )
        for feed in Feed
    ]
