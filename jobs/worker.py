"""The worker of a queue: claims runs of its jobs and does them, one at a time."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.queries.queue import backoff, runs
from db.queries.queue.runs import MAX_ATTEMPTS, Claim
from db.session import read_only, unit_of_work
from db.tables.queue import RunStatus
from services.platform_faults import failing_jobs
from services.platform_faults.failing_jobs import Failure
from services.platform_faults.outage import described, is_outage
from services.telemetry.spans import traced

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

log = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0  # seconds between two attempts to reach a database that is away


class Queue(StrEnum):
    """Queues, each with a worker thread of its own: none waits for another.

    A receiver or a source that does not answer, a lake that is away or a backtest of hours
    delays nothing but its own queue.
    """

    FOLD = "fold"
    DELIVERY = "delivery"
    EVALUATION = "evaluation"
    ARCHIVE = "archive"
    TRAINERS = "trainers"
    PULL = "pull"
    BULK = "bulk"


OnFailure: TypeAlias = Callable[[Session, Claim, Failure, datetime], None]


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the queue.

    Attributes
    ----------
    queue
        The worker of this queue does it.
    do
        What is done for a run; no transaction is open.
    on_failure
        What follows a failed attempt, in the transaction that records it.
    final
        Errors after which no further attempt is made.
    """

    queue: Queue
    do: Callable[[Claim], None]
    on_failure: OnFailure = failing_jobs.record
    final: tuple[type[Exception], ...] = ()


class WorkerDied(Exception):
    """The process of the last attempt ended before its run."""


class Worker:
    """Takes what is due. Any number of workers is safe: a claim is a lease with a fence.

    Parameters
    ----------
    settings
        How long a lease is.
    sessions
        Opens transactions; none is open while a job runs.
    jobs
        What is known, by name.
    queue
        Only runs of its jobs are taken; by default runs of all jobs that are known.
    tracer
        Begins a span for each attempt; none is begun without.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        jobs: Mapping[str, Job],
        queue: Queue | None = None,
        *,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._tracer = tracer
        self._lease = settings.lease
        self._sessions = sessions
        self._jobs = {name: job for name, job in jobs.items() if queue in (None, job.queue)}
        self._stop = threading.Event()

    def run(self, stop: threading.Event, idle_seconds: float) -> None:
        """Work until stopped; poll again after `idle_seconds` when nothing is due.

        A database that is away ends no worker: it goes on when the database is back.
        """
        self._stop = stop
        n_failures = 0
        while not stop.is_set():
            try:
                pause = 0.0 if self.once() else idle_seconds
                n_failures = 0
            except Exception as error:  # noqa: BLE001 - logged
                log_failure("the queue cannot be read", error)
                n_failures += 1
                pause = min(backoff.delay(n_failures).total_seconds(), LONGEST_PAUSE)
            stop.wait(pause)

    def once(self) -> bool:
        """Do one run; False when nothing is due."""
        with read_only(self._sessions) as session:
            if not runs.waits(session, utcnow(), self._lease, self._jobs):
                return False
        with unit_of_work(self._sessions) as session:
            claim = runs.claim(session, utcnow(), self._lease, self._jobs)
        if claim is None:
            return False
        self._settle(claim, traced(self._tracer, claim, self._attempt))
        return True

    def _attempt(self, claim: Claim) -> Exception | None:
        try:
            self._do(claim)
        except Exception as error:  # noqa: BLE001 - recorded
            log_failure(f"job {claim.job} of slot {claim.slot} failed", error)
            return error
        except (SystemExit, KeyboardInterrupt) as error:  # of a plug-in: the queue goes on
            raised = RuntimeError(f"the job raised {type(error).__name__}: {error}")
            log_failure(f"job {claim.job} of slot {claim.slot} failed", raised)
            return raised
        return None

    def _do(self, claim: Claim) -> None:
        if claim.failures > MAX_ATTEMPTS:
            raise WorkerDied(f"attempt {MAX_ATTEMPTS} ended with its process")
        with self._heartbeat(claim):
            self._jobs[claim.job].do(claim)

    def _settle(self, claim: Claim, error: Exception | None) -> None:
        """Write down what came of a run, as soon as the database is there again.

        If that takes longer than the lease, the run is done once more.
        """
        until = monotonic() + self._lease.total_seconds()
        while True:
            try:
                with unit_of_work(self._sessions) as session:
                    self._write(session, claim, error)
            except Exception as away:
                if not is_outage(away) or monotonic() > until or self._stop.wait(1.0):
                    raise
            else:
                return

    def _write(self, session: Session, claim: Claim, error: Exception | None) -> None:
        now = utcnow()
        if error is None:
            if runs.finish(session, claim, now):
                failing_jobs.resolve(session, claim, now)
            return
        cause, is_away, job = described(error), is_outage(error), self._jobs[claim.job]
        is_final = isinstance(error, job.final)
        status = runs.give_back(
            session, claim, cause, now, is_outage=is_away, is_final=is_final
        )
        if status is not None:
            is_last = status is RunStatus.DEAD
            failure = Failure(cause=cause, is_outage=is_away, is_last=is_last)
            job.on_failure(session, claim, failure, now)

    @contextmanager
    def _heartbeat(self, claim: Claim) -> Iterator[None]:
        """Extend the lease while the job runs."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self._lease.total_seconds() / 3):
                try:
                    with unit_of_work(self._sessions) as session:
                        if not runs.extend(session, claim, utcnow() + self._lease):
                            return
                # The next beat may reach the database again.
                except Exception as error:  # noqa: BLE001 - logged
                    log_failure(f"the lease of job {claim.job} cannot be extended", error)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def log_failure(what: str, error: Exception) -> None:
    """Log an outage in one line, and anything else with its trace."""
    if is_outage(error):
        log.warning("%s: %s", what, described(error))
    else:
        log.error(what, exc_info=error)
