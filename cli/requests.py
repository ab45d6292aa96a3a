"""What an operator asks for from the shell: erasures, evaluations, rebuilt summaries."""

import argparse
import sys
from datetime import UTC, date, datetime

from cli.database import connected
from core.clock import utcnow
from core.errors import Malformed
from core.settings import Settings
from db.queries import models
from db.session import read_only, unit_of_work
from services.access.api_keys import audit
from services.evaluation import failed_slots
from services.ingest.batch import Feed
from services.retention import discard as discarding
from services.retention import erasure_requests
from services.retention import rebuild as rebuilding

ACTOR = "the shell"


def erase(settings: Settings, given: argparse.Namespace) -> int:
    """Ask for an erasure and print its id; a worker does it."""
    field = "entity" if given.session is None else "session_id"
    whom = given.entity if given.session is None else given.session
    if whom == "-":
        whom = sys.stdin.readline().rstrip("\n")
    with connected(settings) as sessions, unit_of_work(sessions) as session:
        model_id = models.find(session, given.model).id
        asked = erasure_requests.ask(session, model_id, field, whom, ACTOR, utcnow())
        detail = {"erasure": str(asked.id), "field": field}
        audit(session, ACTOR, "erasure.ask", given.model, detail, utcnow())
    print(asked.id)
    return 0


def evaluate(settings: Settings, given: argparse.Namespace) -> int:
    """Ask for slots that failed to be evaluated again and print them; a worker does it.

    Raises
    ------
    Malformed
        If the slot is no moment.
    """
    try:
        at = None if given.slot is None else datetime.fromisoformat(given.slot)
    except ValueError as error:
        raise Malformed(f"--slot: {error}") from None
    with connected(settings) as sessions, unit_of_work(sessions) as session:
        if at is not None and at.tzinfo is None:
            zone = models.zone_of(models.find(session, given.model))
            at = zone.utc(at.replace(tzinfo=UTC))
        slots = failed_slots.ask_again(session, given.model, at, utcnow())
        detail = {"slots": [one.isoformat() for one in slots]}
        audit(session, ACTOR, "evaluation.retry", given.model, detail, utcnow())
    for slot in slots:
        print(slot.isoformat())
    return 0


def rebuild(settings: Settings, given: argparse.Namespace) -> int:
    """Request that a worker rebuild the summaries of a model from its prediction log.

    Raises
    ------
    Malformed
        If the day is none.
    """
    try:
        first = None if given.since is None else date.fromisoformat(given.since)
    except ValueError as error:
        raise Malformed(f"--since: {error}") from None
    with connected(settings) as sessions, unit_of_work(sessions) as session:
        model_id = models.find(session, given.model).id
        streams = tuple(given.stream)
        asked = rebuilding.Request(model_id=model_id, since=first, streams=streams)
        rebuilding.ask(session, asked, utcnow())
        detail = {"streams": given.stream, "since": given.since}
        audit(session, ACTOR, "summaries.rebuild", given.model, detail, utcnow())
    print(
        "Requested. New predictions of the model wait until a worker has rebuilt the summaries."
    )
    return 0


def discard(settings: Settings, given: argparse.Namespace) -> int:
    """Let a stream go on that is set aside; print how much was moved to quarantine."""
    with connected(settings) as sessions:
        with read_only(sessions) as session:
            model_id = models.find(session, given.model).id
        kind = Feed(given.stream).kind
        moved = discarding.discard(sessions, settings.lake, model_id, kind, ACTOR, utcnow())
    print(f"{moved.n_rows} rows of {moved.n_batches} batches moved to quarantine")
    return 0
