"""Group commit: the batches of all waiting requests are stored in one transaction."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from uuid import UUID

from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.errors import AppError, Busy, NotFound, TooLarge, TooMany
from core.schema.rows import Kind
from db.queries.log import inbox
from db.session import read_only, unit_of_work
from services.access.capacity import BacklogLimit, Disks, full_aside
from services.access.rate_limits import Allowed, BodyLimiter, Reservation
from services.ingest import metrics
from services.ingest.batch import Accepted, Batch
from services.ingest.formats.decode import Section, decode
from services.ingest.persist import Outcome, store

log = logging.getLogger("seqwatch.ingest")

MAX_WAITING_BYTES = 128 * 2**20  # unless a limiter is given
MAX_WAITING = 10_000
MAX_GROUP_BYTES = 4 * 2**20
MAX_GROUP = 1024
# Seconds. After a group of several batches the next is not begun with the first
# batch: those of the other clients follow within this time.
LINGER = 0.002
# A group of this size is stored while the next is decoded: both release the GIL.
# Passing a smaller group to the other thread costs more than it saves.
OVERLAP_BYTES = 256 * 2**10
OUTAGE_SECONDS = 2.0  # Retry-After while the database is not available
DISK_SECONDS = 30.0  # Retry-After while a disk is full
ASIDE_SECONDS = 60.0  # Retry-After of a full stream that is set aside
BACKLOG_EVERY = 5.0  # seconds between two readings of the backlog

# Batches of the platform itself are limited only by the free bytes.
OURSELVES = UUID(int=0)
UNLIMITED = Allowed(
    body_bytes=2**63, rows=2**63, rows_per_second=0.0, burst_rows=0.0, waiting_bytes=2**63
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    batch: Batch
    answer: Future[Accepted]
    reservation: Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """A decoded group; `refused` holds the errors of batches by their index in the group."""

    sections: Sequence[Section]
    refused: Mapping[int, AppError]
    now: datetime


class Committer:
    """Stores batches from any thread in groups; their futures are done when they are on disk.

    One thread decodes and commits. Two such threads were measured: they halve the
    size of the groups and do not double the rate, because the cost of a group is
    mostly fixed. Only large groups are stored by a second thread, in order.

    Parameters
    ----------
    sessions
        Sessions of the database.
    max_rows
        Limit for one batch.
    backlog_limit
        While it is reached nothing more is accepted, so that a broken archive
        does not fill the disk.
    clock
        Returns the time at which a group is received.
    limiter
        Limits the bytes of waiting bodies; by default one of its own.
    disks
        Nothing is accepted while one is nearly full; by default not checked.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        *,
        max_rows: int,
        backlog_limit: BacklogLimit,
        clock: Callable[[], datetime] = utcnow,
        limiter: BodyLimiter | None = None,
        disks: Disks | None = None,
    ) -> None:
        self._sessions = sessions
        self._max_rows = max_rows
        self._backlog_limit = backlog_limit
        self._clock = clock
        # A SimpleQueue, not a condition: `put` does not switch to the other thread
        # while the event loop runs.
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._limiter = limiter or BodyLimiter(MAX_WAITING_BYTES)
        metrics.WAITING_BYTES.set_function(lambda: self._limiter.n_bytes)
        self._disks = disks
        self._n_last = 0
        self._full_aside = frozenset[tuple[UUID, Kind]]()
        self._backlog_read_at = -BACKLOG_EVERY
        self._lock = Lock()
        self._is_open = True
        self._thread: Thread | None = None
        self._storer: ThreadPoolExecutor | None = None
        self._stored: Future[None] | None = None  # the group that the storer stores

    def start(self) -> None:
        """Start the threads."""
        self._is_open = True
        self._storer = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._thread = Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Store the accepted batches, then end the threads."""
        with self._lock:
            self._is_open = False
            self._waiting.put(None)
        if self._thread is not None:
            self._thread.join()
        if self._storer is not None:
            self._storer.shutdown()

    def admit(self, key_id: UUID, allowed: Allowed) -> Reservation:
        """Return an empty reservation for a request whose body has not been read yet.

        Raises
        ------
        TooMany
            If its key has sent more rows than it may.
        Busy
            If nothing is accepted now: shutdown, a full disk or a full inbox.
        """
        if not self._is_open:
            raise Busy("shutting down")
        low = self._disks.low() if self._disks is not None else None
        if low is not None:
            raise Busy(low, retry_after=DISK_SECONDS)
        if self._backlog_limit.is_full:
            raise Busy("the inbox is full: the archive is behind", BACKLOG_EVERY)
        return self._limiter.admit(key_id, allowed)

    def submit(self, batch: Batch, reservation: Reservation | None = None) -> Future[Accepted]:
        """Queue a batch; the future is done when the batch is on disk, or refused.

        Parameters
        ----------
        batch
            The batch, with its whole body.
        reservation
            From `admit`. It is released when the batch is answered, or by the
            caller if this raises. By default one of the platform itself.

        Raises
        ------
        Busy
            If too many batches wait already, here or for the archive.
        """
        if reservation is None:
            reservation = self.admit(OURSELVES, UNLIMITED)
        if (batch.model_id, batch.feed.kind) in self._full_aside:
            reservation.release()
            raise Busy(f"{batch.feed.kind.value} of this model are set aside", ASIDE_SECONDS)
        reservation.grow_to(len(batch.body))
        answer: Future[Accepted] = Future()
        with self._lock:
            if not self._is_open or self._waiting.qsize() >= MAX_WAITING:
                reservation.release()
                raise Busy("too many batches are waiting for the disk")
            answer.add_done_callback(lambda _: reservation.release())
            self._waiting.put(_Waiting(batch=batch, answer=answer, reservation=reservation))
        return answer

    def _run(self) -> None:
        while (group := self._take()) or self._is_open:
            if group:
                self._guard(group, self._commit)
            if time.monotonic() - self._backlog_read_at >= BACKLOG_EVERY:
                self._guard((), lambda _: self.read_backlog())

    def _guard(
        self, group: Sequence[_Waiting], act: Callable[[Sequence[_Waiting]], None]
    ) -> None:
        """Call a function; log its exception and set it on the futures of the group."""
        try:
            act(group)
        except Exception as error:  # noqa: BLE001
            # The traceback without the message, which may quote a value of a row.
            kind = type(error).__name__
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("a group of %d batches failed: %s\n%s", len(group), kind, where)  # noqa: TRY400
            for each in group:
                if not each.answer.done():
                    each.answer.set_exception(
                        RuntimeError(f"a group of batches failed: {kind}")
                    )

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
        self._n_last = len(group)
        return group

    def _commit(self, group: Sequence[_Waiting]) -> None:
        """Decode a group, and store it in this thread or, if it is large, in the other."""
        try:
            decoded = self._decode(group)
        except Exception:
            if len(group) == 1:
                raise
            self._one_by_one(group)
            return
        if self._stored is not None:  # groups are stored in their order
            self._stored.result()
            self._stored = None
        if sum(len(each.batch.body) for each in group) < OVERLAP_BYTES:
            self._finish(group, decoded)
        else:
            assert self._storer is not None
            self._stored = self._storer.submit(
                self._guard, group, lambda group: self._finish(group, decoded)
            )

    def _decode(self, group: Sequence[_Waiting]) -> _Decoded:
        now = self._clock()
        batches = {no: each.batch for no, each in enumerate(group)}
        sections, refused = decode(batches, now, self._max_rows)
        if any(each.reservation.is_row_limited(self._max_rows) for each in group):
            limited = [_within_limits(section, group, refused) for section in sections]
            sections = [section for section in limited if section.drafts]
        return _Decoded(sections=sections, refused=refused, now=now)

    def _one_by_one(self, group: Sequence[_Waiting]) -> None:
        """Store each batch in a group of its own, so that the error of one affects no other."""
        for each in group:
            self._guard([each], lambda one: self._finish(one, self._decode(one)))

    def _finish(self, group: Sequence[_Waiting], decoded: _Decoded) -> None:
        try:
            stored = self._store(decoded.sections, decoded.now) if decoded.sections else {}
        except (OperationalError, InterfaceError) as error:
            log.warning("the database does not take batches: %s", error.orig)
            busy = Busy("the database is not available", retry_after=OUTAGE_SECONDS)
            self._answer(group, dict.fromkeys(range(len(group)), busy))
        except OSError as error:  # of a file beside the database: no room, or no disk
            log.warning("the disk of the database does not take batches: %s", error.strerror)
            full = Busy("the disk of the database takes nothing", retry_after=DISK_SECONDS)
            self._answer(group, dict.fromkeys(range(len(group)), full))
        except Exception as error:
            if len(group) > 1:
                self._one_by_one(group)
            elif isinstance(error, IntegrityError):
                gone = NotFound(f"model {group[0].batch.model!r} is no longer there")
                self._answer(group, {0: gone})
            else:
                raise
        else:
            metrics.GROUP_BATCHES.observe(len(group))
            self._answer(group, {**stored, **decoded.refused})

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
                tally[*labels, "duplicate", True] += len(outcome.duplicates)
                tally[*labels, "quarantined", True] += is_new * outcome.n_quarantined
                each.answer.set_result(outcome)
            else:
                tally[*labels, "refused", False] += 1
                each.answer.set_exception(outcome)
        for (model, kind, became, is_rows), n in tally.items():
            (metrics.ROWS if is_rows else metrics.BATCHES).labels(model, kind, became).inc(n)

    def read_backlog(self) -> None:
        """Read the size of the backlog; otherwise done every few seconds."""
        self._backlog_read_at = time.monotonic()
        try:
            with read_only(self._sessions) as session:
                waiting = inbox.backlog(session)
            self._backlog_limit.note(waiting.n_bytes)
            self._full_aside = full_aside(waiting, self._backlog_limit.most)
        except (OperationalError, InterfaceError) as error:
            log.warning("the size of the inbox is not known: %s", error.orig)


def _within_limits(
    section: Section, group: Sequence[_Waiting], refused: dict[int, AppError]
) -> Section:
    """Return the batches within the limits of their keys; add the others to `refused`."""
    kept = []
    for draft in section.drafts:
        n_rows = draft.n_kept + len(draft.faults) + len(draft.duplicates)
        try:
            group[draft.no].reservation.charge(n_rows)
        except (TooLarge, TooMany) as error:
            refused[draft.no] = error
        else:
            kept.append(draft)
    return replace(section, drafts=tuple(kept))
