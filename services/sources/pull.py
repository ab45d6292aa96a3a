"""Pull a source: page by page, each stored with its watermark in one transaction.

Exactly once: the transaction that stores a page moves the source on from the state in which it
was read, so that a page is stored by one worker, and again by none. A batch is named after the
rows that it holds, and recognised even where a source was deleted and is pulled anew.
"""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.errors import AppError
from core.schema.names import printable
from core.settings import Settings
from core.stored import from_attributes
from db.queries import models, sources
from db.queries.log import inbox
from db.queries.queue import backoff
from db.queries.queue.runs import Claim
from db.session import read_only, unit_of_work
from db.tables import Model, SourceRow
from services.access.capacity import Disks, full_aside
from services.ingest import Accepted
from services.ingest.persist import store
from services.models.registry import terms_of
from services.platform_faults import failing_jobs
from services.platform_faults.failing_jobs import Failure
from services.platform_faults.outage import described
from services.sources.definitions import options_of
from services.sources.page import ColumnsChanged, DecodedPage, LoadedSource, decoded
from sources.kind import SOURCES, pull

log = logging.getLogger(__name__)

PAGE_ROWS = 10_000
MAX_PAGES = 100  # of one run: then other sources have their turn
WAIT_FOR_ROOM = timedelta(seconds=30)


class Puller:
    """Pulls sources; no transaction is open while one is read.

    Parameters
    ----------
    settings
        How much room there has to be.
    sessions
        Opens transactions.
    clock
        Wall time.
    """

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], clock: Callable[[], datetime]
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._limit = min(PAGE_ROWS, settings.max_rows)
        self._max_backlog_bytes = settings.max_backlog_bytes
        self._disks = Disks(settings)

    def run(self, source_id: UUID) -> int:
        """Pull what is new of a source; how many rows were stored.

        What goes wrong with the source is written to its state, and not raised.
        """
        n_stored = 0
        for _ in range(MAX_PAGES):
            # load
            with read_only(self._sessions) as session:
                source = _load(session, source_id)
                has_room = source is not None and self._has_room(session, source)
            if source is None:
                break

            # decide
            page, state = self._attempt(source) if has_room else self._wait()

            # save
            with unit_of_work(self._sessions) as session:
                n_accepted = _save(session, source, page, state, self._clock())
            n_stored += n_accepted or 0
            if n_accepted is None or page is None or page.is_last:
                break
        return n_stored

    def _has_room(self, session: Session, source: LoadedSource) -> bool:
        if self._disks.low():
            return False
        waiting, most = inbox.backlog(session), self._max_backlog_bytes
        stream = source.model_id, source.feed.kind
        return waiting.n_bytes <= most and stream not in full_aside(waiting, most)

    def _wait(self) -> tuple[None, Mapping[str, Any]]:
        return None, {"next_due_at": self._clock() + WAIT_FOR_ROOM}

    def _attempt(self, source: LoadedSource) -> tuple[DecodedPage | None, Mapping[str, Any]]:
        try:
            rows = pull(source.kind, source.config, source.after, self._limit)
            page = decoded(source, rows, self._clock())
        except ColumnsChanged as changed:
            due = self._clock() + source.every
            return None, {"changed": str(changed), "error": str(changed), "next_due_at": due}
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - a plug-in
            text = _reason(error, source)
            log.warning("source %s of model %s: %s", source.name, source.model, text)
            n_failures = source.n_failures + 1
            due = self._clock() + backoff.delay(n_failures)
            return None, {"n_failures": n_failures, "error": text, "next_due_at": due}
        return page, page.state


def _reason(error: BaseException, source: LoadedSource) -> str:
    """Return why a pull failed; of a foreign error, which may quote a value, just its class.

    Secrets of the configuration are left out.
    """
    if not isinstance(error, AppError) and source.terms.contract.is_sensitive:
        return type(error).__name__
    text = str(error) if isinstance(error, AppError) else described(error)
    kind = SOURCES.get(source.kind)
    if kind is not None:
        text = kind.redacted(text, kind.parsed(source.config))
    return printable(text)


def record_failure(session: Session, claim: Claim, failure: Failure, now: datetime) -> None:
    """Record that a run failed by itself; one that was given up waits, as any failed pull."""
    failing_jobs.record(session, claim, failure, now)
    source = session.get(SourceRow, UUID(claim.subject)) if failure.is_last else None
    if source is not None:
        due = now + max(source.every, backoff.LONGEST)
        sources.write(
            session,
            source.id,
            source.rev,
            n_failures=source.n_failures + 1,
            error=failure.cause,
            next_due_at=due,
        )


def _load(session: Session, source_id: UUID) -> LoadedSource | None:
    row = session.get(SourceRow, source_id)
    if row is None:
        return None
    model = session.get_one(Model, row.model_id)
    return from_attributes(
        LoadedSource,
        row,
        options=options_of(row),
        after=None if row.watermark is None else json.loads(row.watermark),
        is_stopped=row.changed is not None and row.changed == row.error,
        arrivals=tuple(row.arrivals),
        model=model.name,
        terms=terms_of(model, models.versions(session, model.id)),
    )


def _save(
    session: Session,
    source: LoadedSource,
    page: DecodedPage | None,
    state: Mapping[str, Any],
    now: datetime,
) -> int | None:
    """Store a page and move its source on; None when another worker, or a change, was first."""
    models.lock(session, source.model_id)  # before the source, as who deletes a model does
    if not sources.write(session, source.id, source.rev, **state):
        return None
    if page is None or not page.sections:
        return 0
    outcome = store(session, page.sections, now)[0]
    if not isinstance(outcome, Accepted):  # pulled before, and changed in its source since
        log.warning("source %s of model %s: %s", source.name, source.model, outcome)
        return 0
    if outcome.is_duplicate:
        return 0
    sources.count(session, source.id, outcome.n_accepted, outcome.n_quarantined)
    return outcome.n_accepted
