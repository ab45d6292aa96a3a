"""The job queue."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    and_,
    delete,
    exists,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

from db import dialect
from db.queries.queue import backoff, leases
from db.queries.queue.leases import is_due
from db.tables import Run
from db.tables.queue import RunStatus

MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on one run, until the lease ends or another takes it over.

    Attributes
    ----------
    attempts
        This one included.
    outages
        Attempts that ended in an outage: they give no run up.
    """

    run_id: UUID
    job: str
    subject: str
    slot: datetime
    fence: int
    attempts: int
    outages: int = 0

    @property
    def failures(self) -> int:
        """Attempts that count, this one included."""
        return self.attempts - self.outages


def ask(
    session: Session,
    job: str,
    slot: datetime,
    now: datetime,
    subject: str = "",
    *,
    again: bool = False,
) -> None:
    """Ask for a run. Asking again, here or in another process, changes nothing.

    But a run that was given up is begun anew, and so is one that was finished
    later than `now`: then the clock was set back, and the slot has come again.

    Parameters
    ----------
    session
        The open transaction.
    job, subject, slot
        Which run; there is one for the three.
    now
        Wall time.
    again
        Whether a run that is done is begun anew, too.
    """
    finished = Run.finished_at.is_not(None)
    begin_anew = or_(Run.status == RunStatus.DEAD, Run.finished_at > now)
    session.execute(
        dialect.insert(session, Run)
        .values(
            id=uuid4(),
            job=job,
            subject=subject,
            slot=slot,
            status=RunStatus.TODO,
            not_before=now,
            fence=0,
            attempts=0,
            outages=0,
            created_at=now,
        )
        .on_conflict_do_update(
            index_elements=["job", "subject", "slot"],
            set_={
                "status": RunStatus.TODO,
                "not_before": now,
                "attempts": 0,
                "outages": 0,
                "created_at": now,
                "finished_at": None,
            },
            where=finished if again else and_(finished, begin_anew),
        )
    )


def is_open(session: Session, job: str, subject: str = "") -> bool:
    """Return whether a run of the job waits or runs: one tick in the queue is enough.

    Parameters
    ----------
    session
        The open transaction.
    job
        The job.
    subject
        Only runs about this; empty for all.
    """
    open_run = exists().where(Run.job == job, Run.finished_at.is_(None))
    if subject:
        open_run = open_run.where(Run.subject == subject)
    return bool(session.scalar(select(open_run)))


def open_slots(session: Session, jobs: Collection[str]) -> set[tuple[str, str, datetime]]:
    """Return job, subject and slot of the runs of some jobs that wait or run."""
    found = select(Run.job, Run.subject, Run.slot).where(
        Run.job.in_(jobs), Run.finished_at.is_(None)
    )
    return {(job, subject, slot) for job, subject, slot in session.execute(found)}


def open_subjects(session: Session, job: str) -> set[str]:
    """Return the first words of the subjects about which a run of a job waits or runs."""
    found = select(Run.subject).where(Run.job == job, Run.finished_at.is_(None))
    return {subject.partition(" ")[0] for subject in session.scalars(found)}


def newest(session: Session, job: str, subject: str) -> Run | None:
    """Return the last run of a job about a subject; None where there was none lately."""
    return session.scalar(
        select(Run)
        .where(Run.job == job, Run.subject == subject)
        .order_by(Run.slot.desc())
        .limit(1)
    )


def _due(
    now: datetime, lease: timedelta, jobs: Collection[str]
) -> tuple[ColumnElement[bool], ...]:
    """Open, due, free, and the oldest of its job and subject: these run in order."""
    earlier = aliased(Run)
    return (
        Run.job.in_(jobs),
        Run.finished_at.is_(None),
        is_due(Run.not_before, now, backoff.LONGEST_DELAY),
        is_due(Run.lease_until, now, lease),
        ~exists().where(
            earlier.job == Run.job,
            earlier.subject == Run.subject,
            earlier.finished_at.is_(None),
            earlier.slot < Run.slot,
        ),
    )


def waits(session: Session, now: datetime, lease: timedelta, jobs: Collection[str]) -> bool:
    """Return whether there is anything to claim. Reads only, so that idling costs no write."""
    return session.scalar(select(Run.id).where(*_due(now, lease, jobs)).limit(1)) is not None


def claim(
    session: Session, now: datetime, lease: timedelta, jobs: Collection[str]
) -> Claim | None:
    """Take the run of these jobs that has been due for longest; None when there is none."""
    # What was asked for before the clock was set back goes first: by its moment alone it would
    # wait behind everything that is asked for since, for as long as the clock went back.
    oldest = (
        select(Run)
        .where(*_due(now, lease, jobs))
        .order_by(Run.not_before <= now, Run.not_before)
        .limit(1)
    )
    run = session.scalar(oldest)
    if run is None:
        return None
    row = (Run.id == run.id) & (Run.fence == run.fence)
    if not leases.take(session, Run, row, now + lease, status=RunStatus.RUNNING):
        return None
    return Claim(
        run_id=run.id,
        job=run.job,
        subject=run.subject,
        slot=run.slot,
        fence=run.fence + 1,
        attempts=run.attempts + 1,
        outages=run.outages,
    )


def held(claim: Claim) -> ColumnElement[bool]:
    """Return the condition that no other worker has taken the run over."""
    return exists().where(Run.id == claim.run_id, Run.fence == claim.fence)


def extend(session: Session, claim: Claim, until: datetime) -> bool:
    """Keep the lease; False when it was lost."""
    return _write(session, claim, lease_until=until)


def finish(session: Session, claim: Claim, now: datetime) -> bool:
    """Mark the run as done; False when the lease was lost and another will do it."""
    return _write(session, claim, status=RunStatus.DONE, finished_at=now, lease_until=None)


def give_back(
    session: Session,
    claim: Claim,
    error: str,
    now: datetime,
    *,
    is_outage: bool = False,
    is_final: bool = False,
) -> RunStatus | None:
    """Record a failure: try later, or give up after `MAX_ATTEMPTS`.

    Parameters
    ----------
    session
        The open transaction.
    claim
        The run that failed.
    error
        Why.
    now
        Wall time.
    is_outage
        Whether an outage is why: then the run is tried again until it is over.
    is_final
        Whether a further attempt would fail in the same way.

    Returns
    -------
    RunStatus or None
        DEAD when the run was given up, TODO when it is tried again; None when
        the lease was lost.
    """
    if not is_outage and (is_final or claim.failures >= MAX_ATTEMPTS):
        status, due = RunStatus.DEAD, {"finished_at": now}
    else:
        later = now + backoff.delay(claim.attempts, leases.jitter())
        status, due = RunStatus.TODO, {"not_before": later}
    failed = {"error": error, "lease_until": None, "outages": claim.outages + is_outage}
    return status if _write(session, claim, status=status, **due, **failed) else None


def purge(
    session: Session,
    before: datetime,
    routine: datetime,
    *,
    keep: str = "",
    newest: int = 0,
) -> int:
    """Delete old finished runs; return how many.

    Parameters
    ----------
    session
        The open transaction.
    before
        Runs that finished earlier are deleted.
    routine
        As `before`, of successful runs without a subject, of which each tick of a job asks
        for one: before the longest interval of a job, so that no slot is done twice.
    keep, newest
        But for so many of this job.
    """
    kept = _newest_finished(keep, newest)
    is_routine = and_(Run.subject == "", Run.status == RunStatus.DONE)
    is_old = or_(Run.finished_at < before, and_(is_routine, Run.finished_at < routine))
    gone = session.execute(
        delete(Run)
        .where(is_old, Run.id.not_in(kept))
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[None], gone).rowcount


def nth_finished(session: Session, job: str, n: int) -> datetime | None:
    """Return when the n-th newest finished run of a job ended; None where there are fewer.

    A measure of age that a wall clock which jumps does not change: a job that runs every
    hour has run 24 times in a day.
    """
    newest = select(Run.finished_at).where(Run.job == job, Run.finished_at.is_not(None))
    return session.scalar(newest.order_by(Run.finished_at.desc()).offset(n - 1).limit(1))


def _newest_finished(job: str, n: int) -> Select[UUID]:
    finished = select(Run.id).where(Run.job == job, Run.finished_at.is_not(None))
    return select(finished.order_by(Run.finished_at.desc()).limit(n).subquery().c.id)


def _write(session: Session, claim: Claim, **values: object) -> bool:
    return leases.write(session, Run, Run.id == claim.run_id, claim.fence, **values)
