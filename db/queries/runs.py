"""The job queue."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, CursorResult, delete, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from db import dialect
from db.tables import Run
from db.tables.queue import RunStatus

MAX_ATTEMPTS = 5
FIRST_DELAY = timedelta(seconds=2)  # wall time; doubles with each attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on one run, until the lease ends or another takes it over."""

    run_id: UUID
    job: str
    subject: str
    slot: datetime
    fence: int
    attempts: int


def ask(session: Session, job: str, slot: datetime, now: datetime, subject: str = "") -> None:
    """Ask for a run. Asking again, here or in another process, changes nothing."""
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
            created_at=now,
        )
        .on_conflict_do_nothing()
    )


def is_open(session: Session, job: str) -> bool:
    """Tell whether a run of the job waits or runs: one tick in the queue is enough."""
    open_run = exists().where(Run.job == job, Run.finished_at.is_(None))
    return bool(session.scalar(select(open_run)))


def newest(session: Session, job: str, subject: str) -> Run | None:
    """Return the last run of a job about a subject; None where there was none lately."""
    return session.scalar(
        select(Run)
        .where(Run.job == job, Run.subject == subject)
        .order_by(Run.slot.desc())
        .limit(1)
    )


def _due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Open, due, free, and the oldest of its job and subject: these run in order."""
    earlier = aliased(Run)
    return (
        Run.finished_at.is_(None),
        Run.not_before <= now,
        or_(Run.lease_until.is_(None), Run.lease_until <= now),
        ~exists().where(
            earlier.job == Run.job,
            earlier.subject == Run.subject,
            earlier.finished_at.is_(None),
            earlier.slot < Run.slot,
        ),
    )


def waits(session: Session, now: datetime) -> bool:
    """Tell whether there is anything to claim. Reads only, so that idling costs no write."""
    return session.scalar(select(Run.id).where(*_due(now)).limit(1)) is not None


def claim(session: Session, now: datetime, lease: timedelta) -> Claim | None:
    """Take the run that has been due for longest; None when there is nothing to take.

    A worker that dies keeps nothing: the lease ends and the run is taken
    again, under a higher fence, so that the dead one's late answer is void.
    """
    run = session.scalar(select(Run).where(*_due(now)).order_by(Run.not_before).limit(1))
    if run is None:
        return None
    fence = run.fence + 1
    taken = session.execute(
        update(Run)
        .where(Run.id == run.id, Run.fence == run.fence, Run.finished_at.is_(None))
        .values(
            status=RunStatus.RUNNING,
            lease_until=now + lease,
            fence=fence,
            attempts=Run.attempts + 1,
        )
        .execution_options(synchronize_session=False)
    )
    if cast(CursorResult[None], taken).rowcount != 1:
        return None
    return Claim(
        run_id=run.id,
        job=run.job,
        subject=run.subject,
        slot=run.slot,
        fence=fence,
        attempts=run.attempts + 1,
    )


def extend(session: Session, claim: Claim, until: datetime) -> bool:
    """Keep the lease; False when it was lost."""
    return _write(session, claim, lease_until=until)


def finish(session: Session, claim: Claim, now: datetime) -> bool:
    """Mark the run as done; False when the lease was lost and another will do it."""
    return _write(session, claim, status=RunStatus.DONE, finished_at=now, lease_until=None)


def give_back(session: Session, claim: Claim, error: str, now: datetime) -> bool:
    """Record a failure: try later, or give up after `MAX_ATTEMPTS`."""
    if claim.attempts >= MAX_ATTEMPTS:
        return _write(
            session,
            claim,
            status=RunStatus.DEAD,
            finished_at=now,
            lease_until=None,
            error=error,
        )
    later = now + FIRST_DELAY * 2 ** (claim.attempts - 1)
    return _write(
        session, claim, status=RunStatus.TODO, not_before=later, lease_until=None, error=error
    )


def purge(session: Session, before: datetime) -> int:
    """Forget runs that finished long ago; how many."""
    gone = session.execute(delete(Run).where(Run.finished_at < before))
    return cast(CursorResult[None], gone).rowcount


def _write(session: Session, claim: Claim, **values: object) -> bool:
    written = session.execute(
        update(Run)
        .where(Run.id == claim.run_id, Run.fence == claim.fence, Run.finished_at.is_(None))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[None], written).rowcount == 1
