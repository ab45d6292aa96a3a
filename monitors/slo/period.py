"""Period of an SLO: rolling, or of the calendar in a time zone."""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from core.durations import DAY
from core.window import Window


class CalendarPeriod(StrEnum):
    """A period that begins at midnight of its first day; a week begins on Monday."""

    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    @property
    def longest(self) -> timedelta:
        """How long it is at most; an hour more than its days when clocks go back."""
        days = {"week": 7, "month": 31, "quarter": 92, "year": 366}[self.value]
        return days * DAY + DAY / 24


def of_calendar(kind: CalendarPeriod, zone: str, at: datetime) -> Window:
    """Return the period of the calendar that holds an instant, in UTC.

    Parameters
    ----------
    kind
        Which period.
    zone
        IANA name; midnight is exact, also where the offset is not of whole hours.
    at
        Timezone-aware.

    Examples
    --------
    >>> month = of_calendar(
    ...     CalendarPeriod.MONTH, "America/New_York", datetime(2026, 3, 8, 12, tzinfo=UTC)
    ... )
    >>> month.start.isoformat(), str(month.end - month.start)
    ('2026-03-01T05:00:00+00:00', '30 days, 23:00:00')
    """
    local = ZoneInfo(zone)
    start = _first(kind, at.astimezone(local).date())
    end = _first(kind, start + kind.longest + DAY)
    return Window(_midnight(start, local), _midnight(end, local))


def has_whole_hours(zone: str) -> bool:
    """Return whether local midnight is a whole hour of UTC, now and half a year later.

    Examples
    --------
    >>> has_whole_hours("America/New_York"), has_whole_hours("Asia/Kathmandu")
    (True, False)
    """
    return all(_midnight(date(2026, month, 1), ZoneInfo(zone)).minute == 0 for month in (1, 7))


def _first(kind: CalendarPeriod, day: date) -> date:
    match kind:
        case CalendarPeriod.WEEK:
            return day - day.weekday() * DAY
        case CalendarPeriod.MONTH:
            return day.replace(day=1)
        case CalendarPeriod.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case CalendarPeriod.YEAR:
            return day.replace(month=1, day=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
