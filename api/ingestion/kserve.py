"""The way in for the events of KServe's logger."""

import base64
import binascii
import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.ingestion.backlog import answered
from api.ingestion.ingest import Gate, Unpacker, packing_of, send_json
from api.server.responses import outcome
from core.clock import utcnow
from core.errors import BatchMismatch, Unprocessable, UnsupportedFormat
from core.settings import Settings
from services.access.rate_limits import Ticket
from services.access.request_body import Disconnected, read_body
from services.ingest import Accepted, Committer, metrics
from services.ingest.formats.encodings import JSON
from services.kserve.event import STRUCTURED, Event, from_document, from_headers
from services.kserve.pairing import Became, Pairing, Taken
from services.kserve.pending_events import Subject

PATH = "/v1/kserve"


class KServeIntake:
    """Takes one event, keeps it, and answers when it is on disk."""

    def __init__(
        self, gate: Gate, pairing: Pairing, committer: Committer, settings: Settings
    ) -> None:
        self._gate = gate
        self._pairing = pairing
        self._committer = committer
        self._within = settings.body_time
        self._unpacker = Unpacker()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; errors are rendered where all errors are."""
        headers = Headers(scope=scope)
        query = QueryParams(scope["query_string"])
        authorization = bearer(headers.get("authorization"))
        sender = await self._gate.sender(authorization)
        is_structured, packing = _is_structured(headers), packing_of(headers)
        ticket = self._committer.enter(sender.key_id, sender.allowed)
        try:
            body = await read_body(
                headers.get("content-length"), receive, ticket.need, self._within
            )
            if packing is not None:
                body = await self._unpacker(body, packing, ticket)
            JSON.refuse_bombs(body)
            event = from_document(body) if is_structured else from_headers(headers, body)
            subject = await self._subject(authorization, query, event)
            answer = await self._take(event, subject, ticket)
        except Disconnected:
            return
        finally:
            ticket.release()
        # 200 also where rows went to quarantine: the event is kept, and a logger
        # could do nothing better with another answer than to send it again.
        await send_json(json.dumps(answer).encode(), send)

    async def _subject(
        self, authorization: str | None, query: QueryParams, event: Event
    ) -> Subject:
        model = query.get("model") or event.model
        if not model:
            raise Unprocessable("name the model: ?model= or the event's inferenceservicename")
        entry = (await self._gate.enter(authorization, model)).entry
        return Subject(
            model_id=entry.model_id,
            model=entry.name,
            terms=entry.terms,
            version=query.get("version"),
        )

    async def _take(self, event: Event, subject: Subject, ticket: Ticket) -> dict[str, Any]:
        taken = await run_in_threadpool(self._pairing.take, event, subject, utcnow())
        accepted = None
        if taken.batch is not None:
            try:
                answer = self._committer.submit(taken.batch, ticket)
                accepted = await answered(answer)
            except BatchMismatch:
                # One half waited too long, and the prediction was made without the other.
                taken = Taken(became=Became.DUPLICATE)
            await run_in_threadpool(self._pairing.finish, event, subject)
        metrics.KSERVE_EVENTS.labels(subject.model, taken.became.value).inc()
        return _said(taken.became, accepted)


def bearer(authorization: str | None) -> str | None:
    """Return how a key is shown, also where the sender can only show a password.

    KServe's logger sends no header of one's own, but the user and password of
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
    """Say in which mode an event comes.

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


def _said(became: Became, accepted: Accepted | None) -> dict[str, Any]:
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
    gate: Gate, pairing: Pairing, committer: Committer, settings: Settings
) -> list[Route]:
    """Return the way in."""
    intake = KServeIntake(gate, pairing, committer, settings)
    return [Route(PATH, intake, methods=["POST"], name="send_kserve_event")]
