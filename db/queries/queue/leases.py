"""Leases with fences: rows that one worker at a time may work on, and when they are due.

A worker that dies keeps nothing: its lease ends and the row is taken again, under a higher
fence, so that what the dead worker would write later is void.
"""

import random
from datetime import datetime, timedelta
from typing import Any, TypeAlias, cast

from sqlalchemy import ColumnElement, CursorResult, or_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.tables import Delivery, Run

Leased: TypeAlias = type[Run] | type[Delivery]

SKEW = timedelta(minutes=1)  # clocks of machines that share a database differ by less


def is_due(
    at: InstrumentedAttribute[Any], now: datetime, longest: timedelta
) -> ColumnElement[bool]:
    """Return the condition that a stored moment has come.

    A moment further ahead than its longest legal delay was written before the
    clock was set back: it is due now, or work would wait for hours.

    Parameters
    ----------
    at
        The column: the end of a lease, or the earliest next attempt.
    now
        Wall time.
    longest
        The longest delay with which the column is ever written.

    Returns
    -------
    ColumnElement
        True also of NULL.
    """
    return or_(at.is_(None), at <= now, at > now + longest + SKEW)


def take(
    session: Session, table: Leased, row: ColumnElement[bool], until: datetime, **values: Any
) -> bool:
    """Take a row under the next fence; False when another worker was faster.

    By a conditional update: SQLite has no row locks.
    """
    taken = {"lease_until": until, "fence": table.fence + 1, "attempts": table.attempts + 1}
    return _update(session, table, row, **taken, **values)


def write(
    session: Session, table: Leased, row: ColumnElement[bool], fence: int, **values: Any
) -> bool:
    """Write to a row that was taken under this fence; False when it is not ours any more."""
    return _update(session, table, row & (table.fence == fence), **values)


def jitter() -> float:
    """Draw from [-1, 1], to spread the next attempts of many rows."""
    return random.uniform(-1.0, 1.0)  # noqa: S311 - spreads load, keeps no secret


def _update(session: Session, table: Leased, row: ColumnElement[bool], **values: Any) -> bool:
    written = session.execute(
        update(table)
        .where(row, table.finished_at.is_(None))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[None], written).rowcount == 1
