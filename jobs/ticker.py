"""The clock: it asks for runs, and does nothing else.

APScheduler ticks in memory. Any number of tickers is safe, because a run is a
row with a unique slot; a tick that is late or lost is made up by the next one.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.queries import late, runs
from db.session import read_only, unit_of_work
from services import erasure_requests, judging_slots

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PURGE_EVERY = timedelta(hours=1)
SWEEP_EVERY = timedelta(minutes=1)
RETAIN_EVERY = timedelta(days=1)
# An erasure asks for its run itself. This is for those whose runs have failed.
ERASE_EVERY = timedelta(minutes=1)


def slot_of(now: datetime, every: timedelta) -> datetime:
    """Return the start of the slot that `now` is in.

    Examples
    --------
    >>> str(slot_of(datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC), timedelta(seconds=5)))
    '2026-01-01 00:00:05+00:00'
    """
    return EPOCH + ((now - EPOCH) // every) * every


class Ticker:
    """Asks for each job once per slot of wall time, and for each closed event day once."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        for job, every in {
            "fold": settings.fold_every,
            "archive": settings.archive_every,
            "deliver": settings.deliver_every,
            "purge": PURGE_EVERY,
            "kserve": SWEEP_EVERY,
            "retain": RETAIN_EVERY,
        }.items():
            self._tick(job, every, self._ask(job, every))
        self._tick("judge", settings.judge_every, self.ask_for_closed_days)
        self._tick(erasure_requests.JOB, ERASE_EVERY, self.ask_for_erasures)
        self._rejudge_every = settings.rejudge_every
        self._tick("rejudge", settings.rejudge_every, self.ask_for_late_days)

    def _tick(self, name: str, every: timedelta, act: Callable[[], None]) -> None:
        self._scheduler.add_job(
            act, "interval", seconds=every.total_seconds(), id=name, next_run_time=utcnow()
        )

    def _ask(self, job: str, every: timedelta) -> Callable[[], None]:
        def ask() -> None:
            now = utcnow()
            with read_only(self._sessions) as session:
                if runs.is_open(session, job):
                    return
            with unit_of_work(self._sessions) as session:
                runs.ask(session, job, slot_of(now, every), now)

        return ask

    def ask_for_closed_days(self) -> None:
        """Ask for a judgement of every event day that has closed since the last look."""
        with read_only(self._sessions) as session:
            due = judging_slots.due(session)
        if due:
            now = utcnow()
            with unit_of_work(self._sessions) as session:
                for subject, slot in due:
                    runs.ask(session, "judge", slot, now, subject)

    def ask_for_late_days(self) -> None:
        """Ask for models with days that late rows have changed: no more than once a slot."""
        with read_only(self._sessions) as session:
            changed = late.models_with_marks(session)
        if changed:
            now = utcnow()
            slot = slot_of(now, self._rejudge_every)
            with unit_of_work(self._sessions) as session:
                for model_id in changed:
                    runs.ask(session, "rejudge", slot, now, str(model_id))

    def ask_for_erasures(self) -> None:
        """Ask again for what is to be erased, until it is."""
        with read_only(self._sessions) as session:
            due = (
                []
                if runs.is_open(session, erasure_requests.JOB)
                else erasure_requests.due(session)
            )
        if due:
            now = utcnow()
            with unit_of_work(self._sessions) as session:
                for subject in due:
                    runs.ask(
                        session, erasure_requests.JOB, slot_of(now, ERASE_EVERY), now, subject
                    )

    def start(self) -> None:
        """Begin to tick, in a thread of its own."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop ticking."""
        self._scheduler.shutdown(wait=True)
