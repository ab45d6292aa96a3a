"""The worker: claims runs and does them, one at a time."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.queries import runs
from db.queries.runs import Claim
from db.session import read_only, unit_of_work

log = logging.getLogger(__name__)

Job: TypeAlias = Callable[[Claim], None]


class Worker:
    """Takes what is due. Any number of workers is safe: a claim is a lease with a fence."""

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], jobs: Mapping[str, Job]
    ) -> None:
        self._lease = settings.lease
        self._sessions = sessions
        self._jobs = jobs

    def run(self, stop: threading.Event, idle_seconds: float) -> None:
        """Work until told to stop; look again after `idle_seconds` when nothing is due."""
        while not stop.is_set():
            if not self.once():
                stop.wait(idle_seconds)

    def once(self) -> bool:
        """Do one run; False when nothing is due."""
        with read_only(self._sessions) as session:
            if not runs.waits(session, utcnow()):
                return False
        with unit_of_work(self._sessions) as session:
            claim = runs.claim(session, utcnow(), self._lease)
        if claim is None:
            return False
        error = self._attempt(claim)
        with unit_of_work(self._sessions) as session:
            if error is None:
                runs.finish(session, claim, utcnow())
            else:
                runs.give_back(session, claim, error, utcnow())
        return True

    def _attempt(self, claim: Claim) -> str | None:
        job = self._jobs.get(claim.job)
        if job is None:
            return f"no job {claim.job!r}; known: {', '.join(sorted(self._jobs))}"
        try:
            with self._heartbeat(claim):
                job(claim)
        except Exception as error:
            log.exception("job %s of slot %s failed", claim.job, claim.slot)
            return f"{type(error).__name__}: {error}"[:500]
        return None

    @contextmanager
    def _heartbeat(self, claim: Claim) -> Iterator[None]:
        """Extend the lease while the job runs."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self._lease.total_seconds() / 3):
                with unit_of_work(self._sessions) as session:
                    if not runs.extend(session, claim, utcnow() + self._lease):
                        return

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
