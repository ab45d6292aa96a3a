"""One commit for many requests: whoever waits shares the next flush to disk."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.errors import Busy, NotFound
from db.queries import inbox
from db.session import read_only, unit_of_work
from services.ingest import metrics
from services.ingest.batch import Accepted, Batch
from services.ingest.decode import Section, decode
from services.ingest.store import Outcome, store

log = logging.getLogger("seqwatch.ingest")

MAX_WAITING_BYTES = 128 * 2**20
MAX_WAITING = 10_000
MAX_GROUP_BYTES = 16 * 2**20
MAX_GROUP = 1024
# Seconds. Where a group had company, the next is not begun for the first who
# comes: the others' requests are on their way.
LINGER = 0.002
BACKLOG_EVERY = 5.0  # seconds between two looks at how far the archive is behind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    batch: Batch
    answer: Future[Accepted]


class Committer:
    """Takes batches from any thread, stores them in groups, answers when they are on disk.

    One thread decodes and commits: two were measured, and halve the groups
    instead of doubling the rate, because a group costs much and a row little.

    Parameters
    ----------
    sessions
        Where to.
    max_rows
        Of one batch.
    max_backlog_bytes
        Above this size of the inbox nothing more is taken: then the archive
        is broken, and the disk is what is left to protect.
    clock
        When a group was received.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        *,
        max_rows: int,
        max_backlog_bytes: int,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._sessions = sessions
        self._max_rows = max_rows
        self._max_backlog_bytes = max_backlog_bytes
        self._clock = clock
        # A SimpleQueue, not a condition: to put does not wake the other thread
        # in the middle of the event loop's work.
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._n_bytes = 0
        self._n_last = 0
        self._backlog_bytes = 0
        self._backlog_read_at = -BACKLOG_EVERY
        self._lock = Lock()
        self._is_open = True
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to store."""
        self._is_open = True
        self._thread = Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Store what was taken, then end."""
        with self._lock:
            self._is_open = False
            self._waiting.put(None)
        if self._thread is not None:
            self._thread.join()

    def submit(self, batch: Batch) -> Future[Accepted]:
        """Take a batch; the future is done when the batch is on disk, or refused.

        Raises
        ------
        Busy
            If too much is waiting already, here or for the archive.
        """
        n_bytes = len(batch.body)
        with self._lock:
            if not self._is_open:
                raise Busy("shutting down")
            if (
                self._waiting.qsize() >= MAX_WAITING
                or self._n_bytes + n_bytes > MAX_WAITING_BYTES
            ):
                raise Busy("too many batches are waiting for the disk")
            if self._backlog_bytes > self._max_backlog_bytes:
                raise Busy("the inbox is full: the archive is behind")
            self._n_bytes += n_bytes
            answer: Future[Accepted] = Future()
            self._waiting.put(_Waiting(batch=batch, answer=answer))
        return answer

    def _run(self) -> None:
        while (group := self._take()) or self._is_open:
            try:
                if group:
                    self._commit(group)
                if time.monotonic() - self._backlog_read_at >= BACKLOG_EVERY:
                    self.look_at_backlog()
            except Exception as error:  # the outer loop: record, answer, go on
                log.exception("a group of %d batches failed", len(group))
                for each in group:
                    if not each.answer.done():
                        each.answer.set_exception(error)

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        n_bytes = 0
        try:
            first = self._waiting.get(timeout=BACKLOG_EVERY)
            if self._n_last > 1:
                time.sleep(LINGER)
            while first is not None:
                group.append(first)
                n_bytes += len(first.batch.body)
                if len(group) >= MAX_GROUP or n_bytes >= MAX_GROUP_BYTES:
                    break
                first = self._waiting.get_nowait()
            else:
                self._waiting.put(None)
        except Empty:
            pass
        with self._lock:
            self._n_bytes -= n_bytes
        self._n_last = len(group)
        return group

    def _commit(self, group: Sequence[_Waiting]) -> None:
        batches = {no: each.batch for no, each in enumerate(group)}
        now = self._clock()
        try:
            sections, refused = decode(batches, now, self._max_rows)
            stored = self._store(sections, now) if sections else {}
        except (OperationalError, InterfaceError) as error:
            log.warning("the database does not take batches: %s", error.orig)
            self._answer(group, dict.fromkeys(batches, Busy("the database is not available")))
        except Exception as error:
            if len(group) > 1:  # the others must not suffer for one
                for each in group:
                    self._commit([each])
            elif isinstance(error, IntegrityError):
                gone = NotFound(f"model {group[0].batch.model!r} is no longer there")
                self._answer(group, {0: gone})
            else:
                raise
        else:
            metrics.GROUP_BATCHES.observe(len(group))
            self._answer(group, {**stored, **refused})

    def _store(self, sections: Sequence[Section], now: datetime) -> dict[int, Outcome]:
        started = time.monotonic()
        with unit_of_work(self._sessions) as session:
            stored = store(session, sections, now)
        metrics.COMMIT_SECONDS.observe(time.monotonic() - started)
        return stored

    def _answer(self, group: Sequence[_Waiting], outcomes: Mapping[int, Outcome]) -> None:
        tally: Counter[tuple[str, str, str, bool]] = Counter()
        for no, each in enumerate(group):
            outcome = outcomes[no]
            labels = each.batch.model, each.batch.feed.kind.value
            if isinstance(outcome, Accepted):
                is_new = not outcome.is_duplicate
                tally[*labels, "accepted" if is_new else "duplicate", False] += 1
                tally[*labels, "accepted" if is_new else "duplicate", True] += (
                    outcome.n_accepted
                )
                tally[*labels, "quarantined", True] += is_new * outcome.n_quarantined
                each.answer.set_result(outcome)
            else:
                tally[*labels, "refused", False] += 1
                each.answer.set_exception(outcome)
        for (model, kind, became, is_rows), n in tally.items():
            (metrics.ROWS if is_rows else metrics.BATCHES).labels(model, kind, became).inc(n)

    def look_at_backlog(self) -> None:
        """Ask how much the archive has not taken yet; otherwise done every few seconds."""
        self._backlog_read_at = time.monotonic()
        try:
            with read_only(self._sessions) as session:
                self._backlog_bytes = inbox.backlog_bytes(session)
        except (OperationalError, InterfaceError) as error:
            log.warning("the size of the inbox is not known: %s", error.orig)
