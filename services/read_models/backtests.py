"""Backtests on request: a worker runs them, and keeps the result for some days."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, sessionmaker

from core.errors import Conflict, NotFound
from db.queries.queue import runs
from db.queries.queue.runs import Claim
from db.session import unit_of_work
from db.tables import BacktestRow
from monitors import registry
from services.evaluation.backtest import Backtest, BacktestRequest, run_backtest
from services.platform_faults import failing_jobs
from services.platform_faults.failing_jobs import Failure

JOB = "backtest"  # its subject is the id
MAX_UNFINISHED = 10  # of one model
REPORT_EVERY = timedelta(seconds=1)  # wall time between two notes of the progress


class BacktestState(StrEnum):
    """Where a backtest stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestNow:
    """A backtest and its result.

    Attributes
    ----------
    n_evaluated, n_days
        Event days evaluated so far, of how many; `n_days` is null while the
        summaries are read.
    error
        Why it failed, or why the last attempt did.
    """

    id: UUID
    state: BacktestState
    asked_by: str
    created_at: datetime
    finished_at: datetime | None
    n_evaluated: int
    n_days: int | None
    error: str | None
    result: Backtest | None


def ask(
    session: Session, model_id: UUID, request: BacktestRequest, who: str, now: datetime
) -> BacktestNow:
    """Ask for a backtest; a worker runs it.

    Raises
    ------
    Unprocessable
        If the parameters of a monitor mean nothing.
    Conflict
        If too many backtests of the model are unfinished.
    """
    for plan in request.plans or ():
        registry.parse(plan.kind, plan.params)
    unfinished = select(func.count()).where(
        BacktestRow.model_id == model_id, BacktestRow.finished_at.is_(None)
    )
    if (session.scalar(unfinished) or 0) >= MAX_UNFINISHED:
        raise Conflict(f"{MAX_UNFINISHED} backtests of this model are unfinished")
    row = BacktestRow(model_id=model_id, request=_plain(request), asked_by=who, created_at=now)
    session.add(row)
    session.flush()
    runs.ask(session, JOB, now, now, str(row.id))
    return _now(row)


def read(session: Session, model_id: UUID, backtest_id: UUID) -> BacktestNow:
    """Return a backtest of a model.

    Raises
    ------
    NotFound
        If there is none, or none any more.
    """
    row = session.get(BacktestRow, backtest_id)
    if row is None or row.model_id != model_id:
        raise NotFound(f"no backtest {backtest_id} of this model, or its result has expired")
    return _now(row)


def run(
    sessions: sessionmaker[Session], backtest_id: UUID, clock: Callable[[], datetime]
) -> None:
    """Run a backtest that was asked for, and store its result.

    Raises
    ------
    NotFound
        If the backtest was deleted with its model.
    """
    noted = -REPORT_EVERY.total_seconds()

    def note(n_evaluated: int, n_days: int) -> None:
        nonlocal noted
        if time.monotonic() - noted >= REPORT_EVERY.total_seconds():
            _write(sessions, backtest_id, n_evaluated=n_evaluated, n_days=n_days)
            noted = time.monotonic()

    row = _write(sessions, backtest_id, started_at=clock(), n_evaluated=0, n_days=None)
    request = msgspec.convert(row.request, BacktestRequest)
    found = run_backtest(sessions, row.model_id, request, note)
    result = {
        "result": _plain(found),
        "error": None,
        "finished_at": clock(),
        "n_evaluated": found.n_days,
        "n_days": found.n_days,
    }
    _write(sessions, backtest_id, **result)


def record_failure(session: Session, claim: Claim, failure: Failure, now: datetime) -> None:
    """Store why an attempt failed; an outage that lasts raises the alert on the job."""
    row = session.get(BacktestRow, UUID(claim.subject))
    if row is not None:
        row.started_at, row.error = None, failure.cause
        row.finished_at = now if failure.is_last else None
    if failure.is_outage:
        failing_jobs.record(session, claim, failure, now)


def purge(session: Session, before: datetime) -> None:
    """Delete the backtests that finished before a moment."""
    session.execute(delete(BacktestRow).where(BacktestRow.finished_at < before))


def _write(sessions: sessionmaker[Session], backtest_id: UUID, **values: Any) -> BacktestRow:
    with unit_of_work(sessions) as session:
        row = session.get(BacktestRow, backtest_id)
        if row is None:
            raise NotFound(f"no backtest {backtest_id}")
        for name, value in values.items():
            setattr(row, name, value)
    return row


def _plain(made: Backtest | BacktestRequest) -> dict[str, Any]:
    """Return it as stored: JSON, in which a number that is not finite is null."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    return plain


def _now(row: BacktestRow) -> BacktestNow:
    state = BacktestState.QUEUED if row.started_at is None else BacktestState.RUNNING
    if row.finished_at is not None:
        state = BacktestState.FAILED if row.result is None else BacktestState.DONE
    return BacktestNow(
        id=row.id,
        state=state,
        asked_by=row.asked_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        n_evaluated=row.n_evaluated,
        n_days=row.n_days,
        error=row.error,
        result=None if row.result is None else msgspec.convert(row.result, Backtest),
    )
