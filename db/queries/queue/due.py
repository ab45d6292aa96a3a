"""Due times by wall time, robust to clocks that are set back or forward."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

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
