"""Backtests on request: a worker runs them, and keeps the result for some days."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, CursorResult, delete, func, select, update
from sqlalchemy.orm import Session, defer, sessionmaker

from core.durations import DAY
from core.errors import Conflict, NotFound, Unprocessable
from db.queries.queue import runs
from db.queries.queue.runs import Claim
from db.session import unit_of_work
from db.tables import BacktestRow
from db.tables.queue import BacktestState
from services.access.api_keys import audit
from services.evaluation import backtest
from services.evaluation.backtest import Backtest, BacktestRequest, run_backtest
from services.platform_faults import failing_jobs
from services.platform_faults.failing_jobs import Failure
from services.read_models.paging import Page, Paging

JOB = "backtest"  # its subject is the id
MAX_UNFINISHED = 10  # of one model
REPORT_EVERY = timedelta(seconds=1)  # wall time between two notes of the progress

_UNFINISHED = BacktestRow.state.in_([BacktestState.QUEUED, BacktestState.RUNNING])


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestProgress:
    """A backtest without its result.

    Attributes
    ----------
    n_evaluated, n_days
        Event days evaluated so far, of how many; `n_days` is null while the
        summaries are read.
    error
        Why it failed, who cancelled it, or why the last attempt failed.
    """

    id: UUID
    state: BacktestState
    asked_by: str
    created_at: datetime
    finished_at: datetime | None
    n_evaluated: int
    n_days: int | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestNow(BacktestProgress):
    """A backtest, and its result when it is done."""

    result: Backtest | None


class Superseded(Exception):
    """The backtest was cancelled or deleted, or another worker runs it."""


def ask(
    session: Session, model_id: UUID, request: BacktestRequest, who: str, now: datetime
) -> BacktestNow:
    """Ask for a backtest; a worker runs it.

    Raises
    ------
    Unprocessable
        If no backtest can evaluate a monitor, or two references are stated.
    Conflict
        If too many backtests of the model are unfinished.
    """
    for plan in request.plans or ():
        backtest.check(plan)
    length = request.reference_length
    if request.reference and length is not None:
        raise Unprocessable("reference or reference_length, not both")
    if length is not None and (length % DAY or not DAY <= length <= backtest.MAX_DAYS * DAY):
        raise Unprocessable(f"reference_length: whole days, at most {backtest.MAX_DAYS}")
    unfinished = select(func.count()).where(BacktestRow.model_id == model_id, _UNFINISHED)
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
    row = session.get(BacktestRow, backtest_id, populate_existing=True)
    if row is None or row.model_id != model_id:
        raise NotFound(f"no backtest {backtest_id} of this model, or its result has expired")
    return _now(row)


def listed(
    session: Session, model_id: UUID, state: BacktestState | None, paging: Paging
) -> Page[BacktestProgress]:
    """Return the backtests of a model, newest first."""
    query = (
        select(BacktestRow)
        .options(defer(BacktestRow.request), defer(BacktestRow.result))
        .where(BacktestRow.model_id == model_id)
    )
    if state is not None:
        query = query.where(BacktestRow.state == state)
    order = ((BacktestRow.created_at, True), (BacktestRow.id, True))
    found = paging.rows(session, query, order, tuple[datetime, UUID])
    items = [BacktestProgress(**_progress(row)) for row, *_ in found.items]
    return Page(items=items, next_cursor=found.next_cursor)


def cancel(
    session: Session, model_id: UUID, backtest_id: UUID, who: str, now: datetime
) -> BacktestNow:
    """Cancel a backtest; one that was cancelled before stays as it is.

    A worker that runs it stops at its next event day and stores no result.

    Raises
    ------
    NotFound
        If there is none, or none any more.
    Conflict
        If it is done, or has failed.
    """
    read(session, model_id, backtest_id)
    ended = {
        "state": BacktestState.CANCELLED,
        "finished_at": now,
        "error": f"cancelled by {who}",
    }
    if _write(session, backtest_id, **ended):
        audit(session, who, "backtest.cancel", str(backtest_id), {}, now)
    found = read(session, model_id, backtest_id)
    if found.state is not BacktestState.CANCELLED:
        raise Conflict(f"the backtest is {found.state} already")
    return found


def run(sessions: sessionmaker[Session], claim: Claim, clock: Callable[[], datetime]) -> None:
    """Run a backtest that was asked for from its first day, and store its result.

    It is stored once: what was finished, cancelled, deleted or taken over by
    another worker is left as it is.
    """
    backtest_id, noted = UUID(claim.subject), -REPORT_EVERY.total_seconds()

    def write(**values: Any) -> BacktestRow:
        with unit_of_work(sessions) as session:
            if not _write(session, backtest_id, runs.held(claim), **values):
                raise Superseded
            return session.get_one(BacktestRow, backtest_id)

    def note(n_evaluated: int, n_days: int | None) -> None:
        nonlocal noted
        if time.monotonic() - noted >= REPORT_EVERY.total_seconds():
            write(n_evaluated=n_evaluated, n_days=n_days)
            noted = time.monotonic()

    try:
        row = write(state=BacktestState.RUNNING, n_evaluated=0, n_days=None)
        request = msgspec.convert(row.request, BacktestRequest)
        found = run_backtest(sessions, row.model_id, request, note)
        write(
            state=BacktestState.DONE,
            result=_plain(found),
            error=None,
            finished_at=clock(),
            n_evaluated=found.n_days,
            n_days=found.n_days,
        )
    except Superseded:
        return


def record_failure(session: Session, claim: Claim, failure: Failure, now: datetime) -> None:
    """Store why an attempt failed; an outage that lasts raises the alert on the job."""
    ended = {"state": BacktestState.FAILED, "finished_at": now}
    after = ended if failure.is_last else {"state": BacktestState.QUEUED}
    _write(session, UUID(claim.subject), error=failure.cause, **after)
    if failure.is_outage:
        failing_jobs.record(session, claim, failure, now)


def purge(session: Session, before: datetime) -> None:
    """Delete the backtests that finished before a moment."""
    session.execute(delete(BacktestRow).where(BacktestRow.finished_at < before))


def _write(
    session: Session, backtest_id: UUID, *only: ColumnElement[bool], **values: Any
) -> bool:
    """Write to an unfinished backtest; False when it is none, or is not as it must be."""
    written = session.execute(
        update(BacktestRow)
        .where(BacktestRow.id == backtest_id, _UNFINISHED, *only)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[None], written).rowcount == 1


def _plain(made: Backtest | BacktestRequest) -> dict[str, Any]:
    """Return it as stored: JSON, in which a number that is not finite is null."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    return plain


def _progress(row: BacktestRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in BacktestProgress.__dataclass_fields__}


def _now(row: BacktestRow) -> BacktestNow:
    result = None if row.result is None else msgspec.convert(row.result, Backtest)
    return BacktestNow(**_progress(row), result=result)
