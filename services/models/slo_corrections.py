"""Corrections of SLOs: stretches whose bad events count as good."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.durations import to_text
from core.errors import NotFound, Unprocessable
from core.stored import from_attributes
from db.tables import Monitor, SloCorrection
from monitors.slo.objective import LONGEST_PERIOD

MOST = 1_000  # of one SLO
SLO = "burn_rate"  # the kind of monitor of every SLO


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A stretch whose bad events count as good; the number of events stays."""

    id: UUID
    start: datetime
    end: datetime
    reason: str
    author: str
    created_at: datetime


def slo(session: Session, model_id: UUID, name: str) -> Monitor:
    """Return an SLO of a model.

    Raises
    ------
    NotFound
        If it has none of that name.
    """
    found = session.scalar(
        select(Monitor).where(
            Monitor.model_id == model_id, Monitor.name == name, Monitor.kind == SLO
        )
    )
    if found is None:
        raise NotFound(f"no SLO {name!r} of this model")
    return found


def corrections(session: Session, monitor: Monitor) -> Sequence[Correction]:
    """Return the corrections of an SLO, oldest first."""
    rows = session.scalars(
        select(SloCorrection)
        .where(SloCorrection.monitor_id == monitor.id)
        .order_by(SloCorrection.start, SloCorrection.id)
    )
    return [from_attributes(Correction, row) for row in rows]


def add(
    session: Session,
    monitor: Monitor,
    bounds: tuple[datetime, datetime],
    because: tuple[str, str],
    now: datetime,
) -> Correction:
    """Correct a stretch of event time from the next evaluation on.

    Parameters
    ----------
    session
        Session of a writing transaction.
    monitor
        The SLO.
    bounds
        Start and end.
    because
        The reason, and the author.
    now
        Wall time.

    Raises
    ------
    Unprocessable
        If the stretch is empty or longer than any period, or if there are too many.
    """
    start, end = bounds
    if not start < end <= start + LONGEST_PERIOD:
        longest = to_text(LONGEST_PERIOD)
        raise Unprocessable(f"correction: end must be after start, by at most {longest}")
    n = session.scalar(select(func.count()).where(SloCorrection.monitor_id == monitor.id))
    if n and n >= MOST:
        raise Unprocessable(f"SLO {monitor.name!r} has {MOST:,} corrections: delete some first")
    row = SloCorrection(
        model_id=monitor.model_id,
        monitor_id=monitor.id,
        start=start,
        end=end,
        reason=because[0],
        author=because[1],
        created_at=now,
    )
    session.add(row)
    session.flush()
    return from_attributes(Correction, row)


def remove(session: Session, monitor: Monitor, correction_id: UUID) -> None:
    """Delete a correction.

    Raises
    ------
    NotFound
        If the SLO has no such correction.
    """
    row = session.get(SloCorrection, correction_id)
    if row is None or row.monitor_id != monitor.id:
        raise NotFound(f"no correction {correction_id} of SLO {monitor.name!r}")
    session.delete(row)
