"""Ingest endpoint for the events of KServe's logger."""

import base64
import binascii
import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.ingestion.backlog import answered
from api.ingestion.ingest import IngestAccess, Unpacker, packing_of, send_json
from api.server.responses import outcome
from core.clock import utcnow
from core.errors import BatchMismatch, Unprocessable, UnsupportedFormat
from core.settings import Settings
from services.access.rate_limits import Reservation
from services.access.request_body import Disconnected, read_body
from services.ingest import Accepted, Committer, metrics
from services.ingest.formats.encodings import JSON
from services.kserve.event import STRUCTURED, Event, from_document, from_headers
from services.kserve.pairing import Became, Pairing, Taken
from services.kserve.pending_events import Subject

PATH = "/v1/kserve"


class KServeEndpoint:
    """Stores one event, and answers when it is on disk."""

    def __init__(
        self, access: IngestAccess, pairing: Pairing, committer: Committer, settings: Settings
    ) -> None:
        self._access = access
        self._pairing = pairing
        self._committer = committer
        self._within = settings.body_time
        self._unpacker = Unpacker()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; the application's error handlers render exceptions."""
        headers = Headers(scope=scope)
        query = QueryParams(scope["query_string"])
        authorization = bearer(headers.get("authorization"))
        sender = await self._access.sender(authorization)
        is_structured, packing = _is_structured(headers), packing_of(headers)
        reservation = self._committer.admit(sender.key_id, sender.allowed)
        try:
            body = await read_body(
                headers.get("content-length"), receive, reservation.grow_to, self._within
            )
            if packing is not None:
                body = await self._unpacker(body, packing, reservation)
            JSON.refuse_bombs(body)
            event = from_document(body) if is_structured else from_headers(headers, body)
            subject = await self._subject(authorization, query, event)
            answer = await self._take(event, subject, reservation)
        except Disconnected:
            return
        finally:
            reservation.release()
        # 200 also if rows are quarantined: the event is stored, and a logger would
        # send it again after any other status.
        await send_json(json.dumps(answer).encode(), send)

    async def _subject(
        self, authorization: str | None, query: QueryParams, event: Event
    ) -> Subject:
        model = query.get("model") or event.model
        if not model:
            raise Unprocessable("name the model: ?model= or the event's inferenceservicename")
        entry = (await self._access.authorize(authorization, model)).entry
        return Subject(
            model_id=entry.model_id,
            model=entry.name,
            terms=entry.terms,
            version=query.get("version"),
        )

    async def _take(
        self, event: Event, subject: Subject, reservation: Reservation
    ) -> dict[str, Any]:
        taken = await run_in_threadpool(self._pairing.take, event, subject, utcnow())
        accepted = None
        if taken.batch is not None:
            try:
                answer = self._committer.submit(taken.batch, reservation)
                accepted = await answered(answer)
            except BatchMismatch:
                # One event expired, and the prediction was stored without the other.
                taken = Taken(became=Became.DUPLICATE)
            await run_in_threadpool(self._pairing.finish, event, subject)
        metrics.KSERVE_EVENTS.labels(subject.model, taken.became.value).inc()
        return _answer(taken.became, accepted)


def bearer(authorization: str | None) -> str | None:
    """Return a Bearer header, also of a sender that can only send a password.

    KServe's logger sends no configurable headers, but the user and password of
    its URL: `http://any:sw_…@host/v1/kserve`.
    """
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        user_and_password = base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return f"Bearer {user_and_password.partition(':')[2]}"


def _is_structured(headers: Headers) -> bool:
    """Return whether an event is in structured mode; otherwise it is in binary mode.

    Raises
    ------
    UnsupportedFormat
        If it is no event, or a batch of them.
    """
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given == STRUCTURED:
        return True
    if given.startswith("application/cloudevents") or "ce-specversion" not in headers:
        raise UnsupportedFormat(f"expected one CloudEvent: headers ce-…, or {STRUCTURED}")
    return False


def _answer(became: Became, accepted: Accepted | None) -> dict[str, Any]:
    if accepted is None:
        return {"outcome": became.value, **outcome(n_accepted=0)}
    named = outcome(
        n_accepted=accepted.n_accepted,
        is_duplicate=accepted.is_duplicate,
        faults=accepted.faults,
        n_quarantined=accepted.n_quarantined,
    )
    return {"outcome": became.value, **named}


def routes(
    access: IngestAccess, pairing: Pairing, committer: Committer, settings: Settings
) -> list[Route]:
    """Return the route."""
    endpoint = KServeEndpoint(access, pairing, committer, settings)
    return [Route(PATH, endpoint, methods=["POST"], name="send_kserve_event")]
