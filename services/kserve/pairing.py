"""Pair the request and response events of a prediction: in any order, exactly once.

A half is committed before the table is asked for the other one. Of two that
come at the same moment, on two replicas, at least the one that commits last
sees both; where both do, they submit the same batch, and its receipt lets one in.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.errors import Busy
from core.schema.names import printable
from core.schema.rows import Kind, Stage
from db.queries.log import inbox, kserve, row_counters
from db.session import read_only, unit_of_work
from db.tables.kserve import Part
from services.ingest.batch import Batch
from services.ingest.formats.decode import decode
from services.ingest.persist import store
from services.ingest.validation import redaction
from services.kserve.event import Event
from services.kserve.pending_events import Subject, batch_id_of, whole, write
from services.models.registry import ModelCache
from services.platform_faults.outage import is_outage
from services.platform_faults.set_aside import AtFault, work_through

# Pending events: beyond this number the pairs go somewhere else.
MAX_WAITING = 500_000
COUNT_EVERY = 5.0  # seconds between two counts of the pending events
SWEPT_AT_ONCE = 200  # predictions of one model, before the others get their turn
MAX_TURNS = 5_000  # of one model in one sweep

# Names of counts: predictions that were made of one half.
UNANSWERED = "kserve_unanswered"
UNASKED = "kserve_unasked"


class Became(StrEnum):
    """Outcome of an event."""

    WAITING = "waiting"
    PAIRED = "paired"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An event that is on disk; with `batch`, its prediction is ready to be submitted."""

    became: Became
    batch: Batch | None = None


class Pairing:
    """Stores pending events, and finds pairs."""

    def __init__(self, sessions: sessionmaker[Session], max_rows: int) -> None:
        self._sessions = sessions
        self._max_rows = max_rows
        self._n_waiting = 0
        self._counted_at = -COUNT_EVERY

    def take(self, event: Event, subject: Subject, now: datetime) -> Taken:
        """Keep one half.

        Raises
        ------
        Busy
            If too many events are pending.
        TooLarge
            If the event holds more rows than one batch may.
        """
        self._refuse_flood()
        payload = write(event, subject, now, self._max_rows)
        with unit_of_work(self._sessions) as session:
            if kserve.is_whole(session, subject.model_id, batch_id_of(event.event_id)):
                return Taken(became=Became.DUPLICATE)
            is_new = kserve.add(
                session,
                {
                    "model_id": subject.model_id,
                    "event_id": event.event_id,
                    "part": event.part,
                    "payload": payload,
                    "received_at": now,
                },
            )
        with read_only(self._sessions) as session:
            pending_events = kserve.pending_events(session, subject.model_id, event.event_id)
        if len(pending_events) == 1:
            return Taken(became=Became.WAITING if is_new else Became.DUPLICATE)
        if not pending_events:  # the other one has made the prediction meanwhile
            return Taken(became=Became.PAIRED if is_new else Became.DUPLICATE)
        # Also when this half was here before: whoever was to submit them may have died.
        batch = whole(event.event_id, pending_events, subject)
        return Taken(became=Became.PAIRED, batch=batch)

    def finish(self, event: Event, subject: Subject) -> None:
        """Delete the pending events once their prediction is in the inbox."""
        with unit_of_work(self._sessions) as session:
            kserve.forget(session, subject.model_id, event.event_id)

    def _refuse_flood(self) -> None:
        if time.monotonic() - self._counted_at >= COUNT_EVERY:
            self._counted_at = time.monotonic()
            with read_only(self._sessions) as session:
                self._n_waiting = kserve.n_waiting(session)
        if self._n_waiting > MAX_WAITING:
            raise Busy("too many events wait for their other half", COUNT_EVERY)


def sweep(
    sessions: sessionmaker[Session], clock: Callable[[], datetime], wait: timedelta
) -> int:
    """Make predictions of events that were pending for too long; return how many.

    A request alone becomes a prediction of status `error`, a response alone
    goes to quarantine. Where both are there, whoever was to bring them
    together has died. A model whose events make an error is set aside; all others
    go on.
    """
    directory = ModelCache(sessions)
    with unit_of_work(sessions) as session:
        kserve.receive_no_later(session, clock())
    with read_only(sessions) as session:
        waiting = kserve.models_overdue(session, clock() - wait)

    def act(model_id: UUID, _: Kind) -> int:
        with read_only(sessions) as session:
            overdue = kserve.overdue(session, model_id, clock() - wait, SWEPT_AT_ONCE)
        for model, event_id in overdue:
            try:
                entry = directory.find(model)
                subject = Subject(model_id=model_id, model=model, terms=entry.terms)
                _sweep_one(sessions, subject, event_id, clock())
            except Exception as error:
                if is_outage(error):
                    raise
                raise AtFault(f"event {event_id}", error) from error
        return len(overdue)

    streams = [(model_id, Kind.PREDICTIONS) for model_id in waiting]
    return work_through(sessions, Stage.PAIRING, streams, act, clock(), turns=MAX_TURNS)


def _sweep_one(
    sessions: sessionmaker[Session], subject: Subject, event_id: str, now: datetime
) -> None:
    with unit_of_work(sessions) as session:
        pending_events = kserve.pending_events(session, subject.model_id, event_id)
        if not pending_events:
            return
        batch = whole(event_id, pending_events, subject)
        if not kserve.is_whole(session, subject.model_id, batch_id_of(event_id)):
            sections, refused = decode({0: batch}, now, max_rows=len(batch.body))
            if refused:  # it never will be a prediction: the others must not wait for it
                reason = printable(str(redaction.error(refused[0], batch.terms)))
                inbox.add_quarantined(session, [_refused(batch, reason, now)])
            else:
                store(session, sections, now)
            if len(pending_events) == 1:
                (part,) = pending_events
                name = UNANSWERED if part is Part.REQUEST else UNASKED
                row_counters.add(session, subject.model_id, {name: 1})
        kserve.forget(session, subject.model_id, event_id)


def _refused(batch: Batch, reason: str, now: datetime) -> dict[str, Any]:
    return {
        "model_id": batch.model_id,
        "kind": Kind.PREDICTIONS,
        "batch_id": batch.batch_id,
        "row": 0,
        "field": "",
        "reason": reason,
        "content": {},
        "received_at": now,
    }
