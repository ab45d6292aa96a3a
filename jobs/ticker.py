"""Ticker: enqueues runs of jobs at their intervals.

APScheduler ticks in memory. Any number of tickers is safe, because a run is a
row with a unique slot; a tick that is late or lost is made up by the next one.

APScheduler sleeps until a moment of wall time. When the clock is set back by an
hour, that moment is an hour away: a thread compares wall time with the
monotonic clock and has all jobs tick at once after a jump.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TypeAlias

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.queries import sources
from db.queries.log import recompute_marks
from db.queries.queue import runs
from db.session import read_only, unit_of_work
from jobs.catch_up import Asked, to_ask
from jobs.worker import log_failure
from services.evaluation import failed_slots, schedule
from services.open_tables import publish
from services.retention import erasure_requests
from services.rollouts import training_runs
from services.sources import definitions

log = logging.getLogger(__name__)

Wanted: TypeAlias = Callable[[Session, datetime], Iterable[Asked]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PURGE_EVERY = timedelta(hours=1)
SWEEP_EVERY = timedelta(minutes=1)
RETAIN_EVERY = timedelta(days=1)
# An erasure asks for its run itself. This is for those whose runs have failed.
ERASE_EVERY = timedelta(minutes=1)
PULLS_EVERY = timedelta(seconds=2)  # no source is pulled more often than every five

COMPARE_EVERY = timedelta(seconds=1)  # wall time with the monotonic clock
JUMP = timedelta(seconds=1)  # a difference that no gradual correction makes in that time


def slot_of(now: datetime, every: timedelta) -> datetime:
    """Return the start of the slot that `now` is in.

    Examples
    --------
    >>> str(slot_of(datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC), timedelta(seconds=5)))
    '2026-01-01 00:00:05+00:00'
    """
    return EPOCH + ((now - EPOCH) // every) * every


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires once an interval. What a clock that was set forward skipped is not counted up.

    APScheduler's own trigger lists every missed moment: 1.7 million in 40 days of 2 seconds.
    """

    def __init__(self, every: timedelta) -> None:
        self._every = every

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime:
        """Return the next moment after `now`.

        Examples
        --------
        >>> noon, second = datetime(2026, 1, 1, 12, tzinfo=UTC), timedelta(seconds=1)
        >>> every = Every(2 * second)
        >>> str(every.get_next_fire_time(noon, noon + second))
        '2026-01-01 12:00:02+00:00'
        >>> str(every.get_next_fire_time(noon, noon + timedelta(days=40)))
        '2026-02-10 12:00:02+00:00'
        """
        following = now if previous_fire_time is None else previous_fire_time + self._every
        return following if following > now else now + self._every


class Jumps:
    """Finds jumps of the wall clock, by the monotonic clock."""

    def __init__(self, now: datetime, monotonic_seconds: float) -> None:
        self._offset = now - EPOCH - timedelta(seconds=monotonic_seconds)

    def found(self, now: datetime, monotonic_seconds: float) -> timedelta | None:
        """Return how far the clock has jumped since the last call; None if it has not.

        Examples
        --------
        >>> noon, hour = datetime(2026, 1, 1, 12, tzinfo=UTC), timedelta(hours=1)
        >>> jumps = Jumps(noon, 100.0)
        >>> jumps.found(noon + timedelta(seconds=5), 105.0)
        >>> jumps.found(noon + timedelta(seconds=6) - hour, 106.0) == -hour
        True
        >>> jumps.found(noon + timedelta(seconds=7) - hour, 107.0)
        """
        offset = now - EPOCH - timedelta(seconds=monotonic_seconds)
        by, self._offset = offset - self._offset, offset
        return by if abs(by) >= JUMP else None


def at_slots(job: str, every: timedelta) -> Wanted:
    """Return what asks for a job once per slot of wall time."""

    def wanted(_: Session, now: datetime) -> Iterator[Asked]:
        yield job, "", slot_of(now, every)

    return wanted


def closed_days(session: Session, _: datetime) -> Iterator[Asked]:
    """Yield the evaluation of every event day that has closed, and of those missed."""
    for subject, slot in schedule.due(session):
        yield schedule.JOB, subject, slot
    for subject, slot in schedule.missed(session):
        yield failed_slots.RETRY_JOB, subject, slot


def late_days(every: timedelta) -> Wanted:
    """Return what asks for models with days that late rows have changed, once a slot."""

    def wanted(session: Session, now: datetime) -> Iterator[Asked]:
        for model_id in recompute_marks.models_with_marks(session):
            if not runs.is_open(session, "reevaluate", str(model_id)):
                yield "reevaluate", str(model_id), slot_of(now, every)

    return wanted


def trainings(session: Session, _: datetime) -> Iterable[Asked]:
    """Return start, training, or next gate test of rollouts whose labels have come."""
    return training_runs.missing(session)


def erasures(session: Session, now: datetime) -> Iterator[Asked]:
    """Yield what is to be erased, again and again until it is."""
    if not runs.is_open(session, erasure_requests.JOB):
        for subject in erasure_requests.due(session):
            yield erasure_requests.JOB, subject, slot_of(now, ERASE_EVERY)


def pulls(session: Session, now: datetime) -> Iterator[Asked]:
    """Yield the sources that are due by their schedules."""
    for source_id, slot in sources.due(session, now):
        yield definitions.JOB, str(source_id), slot


# Whose runs are begun anew when they are done: a rollout is trained and tested more than
# once, and a change while a page was read left the source as it was.
AGAIN = (trainings, pulls)


class Ticker:
    """Asks for each job once per slot of wall time, and for each closed event day once."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._follow_clock, name="clock", daemon=True)
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
            publish.JOB: settings.publish_every,
        }.items():
            if not every:
                continue
            self._tick(job, every, at_slots(job, every))
        self._tick(schedule.JOB, settings.evaluate_every, closed_days)
        self._tick(training_runs.JOB, settings.fold_every, trainings)
        self._tick(erasure_requests.JOB, ERASE_EVERY, erasures)
        self._tick(definitions.JOB, PULLS_EVERY, pulls)
        late_every = settings.reevaluate_every
        self._tick("reevaluate", late_every, late_days(late_every))

    def _tick(self, name: str, every: timedelta, wanted: Wanted) -> None:
        def ask() -> None:
            try:
                self.ask(wanted)
            except Exception as error:  # noqa: BLE001 - logged; the next tick asks again
                log_failure(f"cannot ask for {name}", error)

        self._scheduler.add_job(ask, Every(every), id=name, next_run_time=utcnow())

    def _follow_clock(self) -> None:
        jumps = Jumps(utcnow(), monotonic())
        while not self._stopping.wait(COMPARE_EVERY.total_seconds()):
            by = jumps.found(utcnow(), monotonic())
            if by is not None:
                log.warning("the clock has jumped by %.0f s", by.total_seconds())
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=utcnow())

    def ask(self, wanted: Wanted) -> None:
        """Ask for the runs that are not open, in one transaction where there are any.

        A backlog is only read: to write it anew at each tick would hold the database's lock
        the longer, the longer the backlog is.
        """
        now = utcnow()
        with read_only(self._sessions) as session:
            found = {*wanted(session, now)}
            if found:
                unfinished = runs.open_slots(session, {job for job, _, _ in found})
                found = to_ask(found, unfinished)
        if found:
            with unit_of_work(self._sessions) as session:
                for job, subject, slot in sorted(found):
                    runs.ask(session, job, slot, now, subject, again=wanted in AGAIN)

    def start(self) -> None:
        """Begin to tick, in threads of its own."""
        self._scheduler.start()
        self._watch.start()

    def stop(self) -> None:
        """Stop ticking."""
        self._stopping.set()
        self._watch.join()
        self._scheduler.shutdown(wait=True)
