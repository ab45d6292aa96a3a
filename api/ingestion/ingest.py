"""Ingest endpoints for predictions, references, labels and events.

Plain ASGI: these routes carry nearly all traffic, and a request takes less
time than FastAPI's resolution of dependencies alone.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from anyio import CapacityLimiter, Lock, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.ingestion.backlog import answered
from api.server.authentication import AsyncAuthenticator
from api.server.responses import outcome
from core.clock import utcnow
from core.errors import BadRows, RowFault, UnsupportedFormat
from core.settings import Settings
from db.tables import Scope as KeyScope
from services.access.api_keys import plausible_token, require
from services.access.rate_limits import Allowed, Reservation, allowed
from services.access.request_body import Disconnected, read_body
from services.ingest import Accepted, Batch, Committer, Feed, Format, metrics
from services.ingest.batch import ALIASES
from services.ingest.formats import cloud_events
from services.ingest.formats.decompress import Packing, unpack
from services.ingest.tracing import trace_id
from services.models.registry import Entry, ModelCache

# How long a result is cached here, because the authenticator must be called in a
# thread. Adds to the time to live of the authenticator's own cache.
AUTHORIZED_SECONDS = 1.0
MAX_AUTHORIZED = 10_000

# A smaller body is unpacked in the event loop, in less time than a switch of threads
# takes: it becomes at most a megabyte. Larger ones are unpacked in this many threads.
UNPACKED_AT_ONCE = 4096  # bytes
N_UNPACKING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A key that may send, and its limits."""

    key_id: UUID
    allowed: Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """A model, and the key that may send to it, with its limits."""

    entry: Entry
    key_id: UUID
    allowed: Allowed


class IngestAccess:
    """Authorizes ingest requests and finds their models; results are cached."""

    def __init__(
        self, authenticator: AsyncAuthenticator, directory: ModelCache, settings: Settings
    ) -> None:
        self._authenticator = authenticator
        self._directory = directory
        self._settings = settings
        self._authorized: dict[tuple[str | None, str], tuple[float, Authorized]] = {}
        self._running: dict[tuple[str | None, str], asyncio.Task[Authorized]] = {}

    async def authorize(self, authorization: str | None, model: str) -> Authorized:
        """Return model and key, or raise Unauthorized, Forbidden or NotFound."""
        key = authorization, model
        known = self._authorized.get(key)
        asked_at = time.monotonic()
        if known is not None and asked_at < known[0]:
            return known[1]
        plausible_token(authorization)  # before a task is created for it
        # Many connections find a result expired at the same time: they share one query.
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.create_task(self._query(key, asked_at))
        return await asyncio.shield(running)

    async def _query(self, key: tuple[str | None, str], asked_at: float) -> Authorized:
        authorization, model = key
        try:
            caller = await self._authenticator.authenticate(authorization)
            entry = await run_in_threadpool(
                self._directory.reach, caller, KeyScope.INGEST, model
            )
        finally:
            del self._running[key]
        authorized = Authorized(
            entry=entry, key_id=caller.key_id, allowed=allowed(caller.limits, self._settings)
        )
        if len(self._authorized) >= MAX_AUTHORIZED:
            self._authorized.clear()
        self._authorized[key] = asked_at + AUTHORIZED_SECONDS, authorized
        return authorized

    async def sender(self, authorization: str | None) -> Sender:
        """Return the key and its limits, before the model is known."""
        caller = await self._authenticator.authenticate(authorization)
        require(caller, KeyScope.INGEST, caller.model_id)
        return Sender(key_id=caller.key_id, allowed=allowed(caller.limits, self._settings))


class IngestEndpoint:
    """Endpoint of one stream: reads a body, submits it, answers when it is on disk."""

    def __init__(
        self, feed: Feed, access: IngestAccess, committer: Committer, settings: Settings
    ) -> None:
        self._feed = feed
        self._access = access
        self._committer = committer
        self._within = settings.body_time
        self._unpacker = Unpacker()
        self._seconds = metrics.REQUEST_SECONDS.labels(feed.kind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; the application's error handlers render exceptions."""
        started = time.monotonic()
        headers = Headers(scope=scope)
        authorized = await self._access.authorize(
            headers.get("authorization"), scope["path_params"]["model"]
        )
        mode = cloud_events.mode_of(headers) if self._feed is Feed.EVENTS else None
        read_as, packing = Format.JSON if mode else format_of(headers), packing_of(headers)
        reservation = self._committer.admit(authorized.key_id, authorized.allowed)
        try:
            body = await read_body(
                headers.get("content-length"), receive, reservation.grow_to, self._within
            )
            if packing is not None:
                body = await self._unpacker(body, packing, reservation)
            faults: tuple[RowFault, ...] = ()
            if mode is not None:
                now = utcnow().isoformat()
                body, faults = await run_in_threadpool(
                    cloud_events.to_rows, body, mode, headers, now
                )
            batch = self._batch(authorized.entry, headers, read_as, body)
            batch = replace(batch, faults=faults) if faults else batch
            answer = self._committer.submit(batch, reservation)
        except Disconnected:
            reservation.release()
            return
        except BaseException:  # also when the request is cancelled: releases its bytes
            reservation.release()
            raise
        accepted = await answered(answer)
        of_trace = {"trace_id": batch.trace_id} if batch.trace_id else None
        self._seconds.observe(time.monotonic() - started, of_trace)
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
    """Return the format of the body, by the header Content-Type.

    Raises
    ------
    UnsupportedFormat
        If the content type is another.
    """
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return ALIASES.get(given) or Format(given)
    except ValueError:
        raise UnsupportedFormat(f"content type: expected one of {', '.join(Format)}") from None


def packing_of(headers: Headers) -> Packing | None:
    """Return the compression of the body; None if there is none.

    Raises
    ------
    UnsupportedFormat
        If the content encoding is another, or there are several.
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
    """Return the trace of the request, from the W3C header `traceparent`."""
    given = headers.get("traceparent")
    if given is None:
        return None
    found = trace_id(given)
    if found is None:
        metrics.INVALID_TRACEPARENTS.inc()
    return found


class Unpacker:
    """Unpacks bodies without blocking the event loop: few at a time, and one of each key.

    So a body waits for at most one body of every other key.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(N_UNPACKING)
        self._turns: dict[UUID, tuple[Lock, int]] = {}

    async def __call__(self, body: bytes, packing: Packing, reservation: Reservation) -> bytes:
        """Return the unpacked body, after its bytes are reserved."""
        max_bytes = reservation.allowed.body_bytes
        if len(body) <= UNPACKED_AT_ONCE:
            unpacked = unpack(body, packing, max_bytes)
        else:
            async with self._turn(reservation.key_id):
                unpacked = await to_thread.run_sync(
                    unpack, body, packing, max_bytes, limiter=self._limiter
                )
        reservation.grow_to(len(unpacked))
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


def routes(access: IngestAccess, committer: Committer, settings: Settings) -> list[Route]:
    """Return the ingest routes; to be placed before all other routes."""
    return [
        Route(
            f"/v1/models/{{model}}/{feed}",
            IngestEndpoint(feed, access, committer, settings),
            methods=["POST"],
            name=f"send_{feed}",
        )
        for feed in Feed
    ]
