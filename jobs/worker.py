"""The worker: claims runs and does them, one at a time."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import TypeAlias

from sqlalchemy.orm import Session, sessionmaker

from core import backoff
from core.clock import utcnow
from core.settings import Settings
from db.queries.queue import runs
from db.queries.queue.runs import ALL, Claim, Group
from db.session import read_only, unit_of_work
from services.platform_faults import failing_jobs
from services.platform_faults.outage import described, is_outage

log = logging.getLogger(__name__)

Job: TypeAlias = Callable[[Claim], None]

LONGEST_PAUSE = 5.0  # seconds between two attempts to reach a database that is away


class UnknownJob(Exception):
    """No worker of this version knows the job of a run."""


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
    group
        The jobs that this worker takes.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        jobs: Mapping[str, Job],
        group: Group = ALL,
    ) -> None:
        self._lease = settings.lease
        self._sessions = sessions
        self._jobs = jobs
        self._group = group
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
            if not runs.waits(session, utcnow(), self._lease, self._group):
                return False
        with unit_of_work(self._sessions) as session:
            claim = runs.claim(session, utcnow(), self._lease, self._group)
        if claim is None:
            return False
        self._settle(claim, self._attempt(claim))
        return True

    def _attempt(self, claim: Claim) -> Exception | None:
        try:
            job = self._job(claim.job)
            with self._heartbeat(claim):
                job(claim)
        except Exception as error:  # noqa: BLE001 - recorded
            log_failure(f"job {claim.job} of slot {claim.slot} failed", error)
            return error
        return None

    def _job(self, name: str) -> Job:
        if name not in self._jobs:
            raise UnknownJob(f"no job {name!r}; known: {', '.join(sorted(self._jobs))}")
        return self._jobs[name]

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
        cause, may_die = described(error), not is_outage(error)
        is_dead = runs.give_back(session, claim, cause, now, may_die=may_die)
        if is_dead or claim.attempts >= failing_jobs.ATTEMPTS:
            failing_jobs.fire(session, claim, cause, now)

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
