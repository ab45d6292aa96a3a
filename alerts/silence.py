"""Silences and maintenance windows: which alerts are not notified, and when."""

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from alerts.labels import Labels, Matcher, all_match, check_selective
from core.durations import DAY

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class SilenceState(StrEnum):
    """State of a silence."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """Maintenance window that recurs on some days of the week.

    Attributes
    ----------
    days
        Some of mon, tue, wed, thu, fri, sat, sun.
    start
        Local time of the day at which it begins.
    duration
        At most a day.
    zone
        IANA time zone.
    """

    days: tuple[str, ...]
    start: time
    duration: timedelta
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if not self.days or not {*self.days} <= {*WEEKDAYS}:
            raise ValueError(f"weekly: days must be some of {', '.join(WEEKDAYS)}")
        if not timedelta(0) < self.duration <= DAY:
            raise ValueError("weekly: duration must be positive and at most a day")
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError):
            raise ValueError(f"weekly: unknown time zone {self.zone!r}") from None

    def end_at(self, at: datetime) -> datetime | None:
        """Return the end of the window that contains a moment; None where none does.

        Examples
        --------
        >>> from datetime import UTC
        >>> sunday = Weekly(days=("sun",), start=time(23), duration=timedelta(hours=2))
        >>> str(sunday.end_at(datetime(2026, 1, 5, 0, 30, tzinfo=UTC)))
        '2026-01-05 01:00:00+00:00'
        >>> sunday.end_at(datetime(2026, 1, 5, 1, 0, tzinfo=UTC))
        """
        local = at.astimezone(ZoneInfo(self.zone))
        ends = []
        for back in (0, 1):  # one that began yesterday may not be over
            day = local.date() - back * DAY
            began = datetime.combine(day, self.start, local.tzinfo).astimezone(at.tzinfo)
            if WEEKDAYS[day.weekday()] in self.days and began <= at < began + self.duration:
                ends.append(began + self.duration)
        return max(ends, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Silence: alerts that match are not notified from its start until its end.

    Attributes
    ----------
    starts_at, ends_at
        Wall time; the end is not part of it.
    weekly
        It is active only in these hours: a maintenance window that recurs.
    """

    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    weekly: Weekly | None = None

    def __post_init__(self) -> None:
        check_selective(self.matchers)
        if self.ends_at < self.starts_at:
            raise ValueError("ends_at is before starts_at")

    def state(self, now: datetime) -> SilenceState:
        """Return its state; a maintenance window is pending between two of its windows."""
        if now >= self.ends_at:
            return SilenceState.EXPIRED
        return SilenceState.PENDING if self.active_until(now) is None else SilenceState.ACTIVE

    def active_until(self, now: datetime) -> datetime | None:
        """Return when it will end, where it is active."""
        if not self.starts_at <= now < self.ends_at:
            return None
        if self.weekly is None:
            return self.ends_at
        end = self.weekly.end_at(now)
        return None if end is None else min(end, self.ends_at)

    def mutes_until(self, labels: Labels, now: datetime) -> datetime | None:
        """Return until when it mutes an alert; None where it does not."""
        return self.active_until(now) if all_match(self.matchers, labels) else None


def updated(before: Silence, after: Silence, now: datetime) -> Silence | None:
    """Return a silence as it is changed in place; None where a new one must replace it.

    An active one keeps its matchers and its start, and a pending one its matchers. An end in
    the past is refused, and an expired silence stays as it is.

    Raises
    ------
    ValueError
        If the end or a new start is in the past.
    """
    if after.ends_at < now:
        raise ValueError("ends_at is in the past")
    state, same = before.state(now), before.matchers == after.matchers
    has_begun = before.starts_at <= now
    if state is SilenceState.EXPIRED or not same:
        return None
    if has_begun:
        return after if before.starts_at == after.starts_at else None
    return after if after.starts_at >= now else None


def expired(silence: Silence, now: datetime) -> Silence:
    """Return a silence that ends now; one that is over stays as it is."""
    if silence.ends_at <= now:
        return silence
    return replace(silence, starts_at=min(silence.starts_at, now), ends_at=now)
