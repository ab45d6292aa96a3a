"""Rows of the database that open tables are made of."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement

from core.durations import HOUR
from core.streams import Level
from db.queries.publication import Source
from db.tables import Finding, FlipRow, SummaryRow
from monitors.slo import sli
from services.labels.error_days import ERRORS, SHADOW_ERRORS

_CLOSED_AFTER = timedelta(minutes=10)  # late rows of an hour; later ones publish it again


def _errors() -> ColumnElement[bool]:
    return SummaryRow.stream.in_([ERRORS.name, SHADOW_ERRORS.name])


def _hours() -> ColumnElement[bool]:
    return SummaryRow.stream.in_([*sli.counted()])


def _are_over(now: datetime) -> ColumnElement[bool]:
    return (SummaryRow.start <= now - HOUR - _CLOSED_AFTER) & (SummaryRow.level != Level.DAY)


FINDINGS = Source(name="findings", row=Finding, at_once=2_000)
FLIPS = Source(name="flips", row=FlipRow, at_once=5_000)
# Labels of a day come for hours, and each changes the sums of the day.
ERROR_DAYS = Source(
    name="error_days", row=SummaryRow, at_once=100, every=6 * HOUR, only=_errors
)
SERVED_HOURS = Source(
    name="served_hours",
    row=SummaryRow,
    at_once=1_000,
    every=HOUR,
    only=_hours,
    is_complete=_are_over,
)
