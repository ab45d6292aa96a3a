"""Time zone of a model: conversion between UTC and local time, in whole hours.

Instants are in UTC. A local time is written as a datetime whose fields are those of a clock
in the zone and whose `tzinfo` is UTC all the same: arithmetic on it never meets a clock
change, and each of its days has 24 hours. An hour that clocks skip is empty there, and two
hours that show the same time are one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from core.durations import DAY, HOUR
from core.errors import Unprocessable
from core.window import Window, midnight

DEFAULT = "UTC"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Zone:
    """An IANA time zone whose offsets are rounded to whole hours, half an hour up.

    Summaries are kept by the hour of UTC: where the offset is not whole, as in India, a local
    day begins at the whole hour of UTC that is nearest to midnight.

    Examples
    --------
    >>> berlin = Zone("Europe/Berlin")
    >>> str(berlin.bounds(date(2026, 3, 29)).end - berlin.bounds(date(2026, 3, 29)).start)
    '23:00:00'
    >>> Zone("Asia/Tokio")
    Traceback (most recent call last):
    core.errors.Unprocessable: zone: no time zone 'Asia/Tokio'; similar: Asia/Tokyo
    """

    name: str = DEFAULT

    def __post_init__(self) -> None:
        if self.name == DEFAULT or self.name in _known():
            return
        names, own = sorted(_known()), self.name.lower()
        similar = [one for one in names if own in (one.lower(), one.lower().rpartition("/")[2])]
        similar = similar or get_close_matches(self.name, names, n=3, cutoff=0.85)
        raise Unprocessable(
            f"zone: no time zone {self.name!r}; "
            + (f"similar: {', '.join(similar)}" if similar else "take an IANA name")
        )

    @property
    def is_utc(self) -> bool:
        """Whether local time is UTC."""
        return self.name == DEFAULT

    def offset(self, at: datetime) -> timedelta:
        """Return local time less UTC in the hour (of UTC) that holds an instant."""
        if self.is_utc:
            return timedelta()
        hour = _EPOCH + (at - _EPOCH) // HOUR * HOUR
        exact = hour.astimezone(ZoneInfo(self.name)).utcoffset()
        assert exact is not None
        return (exact + HOUR / 2) // HOUR * HOUR

    def local(self, at: datetime) -> datetime:
        """Return the local time of an instant, as the bound of a stretch of local time.

        Examples
        --------
        >>> Zone("Europe/Berlin").local(datetime(2026, 3, 28, 23, tzinfo=UTC)).isoformat()
        '2026-03-29T00:00:00+00:00'
        """
        if self.is_utc:
            return at
        # When clocks go forward, an instant has two local times: what is skipped lies between.
        return min(at + self.offset(at), at + self.offset(at - timedelta.resolution))

    def utc(self, local: datetime) -> datetime:
        """Return the instant of a local time.

        Of a time that clocks show twice it is the first; of one that they skip, the instant
        at which they go forward.

        Examples
        --------
        >>> Zone("Europe/Berlin").utc(datetime(2026, 3, 29, 2, 30, tzinfo=UTC)).isoformat()
        '2026-03-29T01:00:00+00:00'
        """
        if self.is_utc:
            return local
        before, after = self.offset(local - DAY), self.offset(local + DAY)
        found = [local - by for by in (before, after) if self.offset(local - by) == by]
        if found:
            return min(found)
        at = _EPOCH + (local - after - _EPOCH) // HOUR * HOUR
        while self.offset(at) != after:
            at += HOUR
        return at

    def instants(self, local: Window) -> Window:
        """Return a stretch of local time in UTC."""
        return local if self.is_utc else Window(self.utc(local.start), self.utc(local.end))

    def locally(self, window: Window) -> Window:
        """Return a stretch of UTC in local time."""
        if self.is_utc:
            return window
        return Window(self.local(window.start), self.local(window.end))

    def day_of(self, at: datetime) -> date:
        """Return the local day of an instant."""
        return (at + self.offset(at)).date()

    def start(self, day: date) -> datetime:
        """Return the first instant of a local day."""
        return self.utc(midnight(day))

    def bounds(self, day: date) -> Window:
        """Return the instants of a local day: 24 hours, 23 or 25 where clocks are changed.

        Of a day that a zone has left out, as Samoa did in 2011, they are those of the next.
        """
        start, end = self.start(day), self.start(day + DAY)
        return Window(start, end) if start < end else self.bounds(day + DAY)

    def overlapping(self, days: Iterable[date]) -> list[date]:
        """Return the local days that share an instant with some days of UTC.

        Examples
        --------
        >>> days = Zone("Asia/Tokyo").overlapping([date(2026, 5, 1)])
        >>> [day.isoformat() for day in days]
        ['2026-05-01', '2026-05-02']
        """
        ends = [(midnight(day), midnight(day + DAY) - timedelta.resolution) for day in days]
        return sorted({self.day_of(at) for both in ends for at in both})

    def floor(self, at: datetime) -> datetime:
        """Return the first instant of the local day that holds an instant."""
        return self.start(self.day_of(at))

    def later(self, at: datetime, duration: timedelta) -> datetime:
        """Return the instant so much local time after one, or before it."""
        return self.utc(self.local(at) + duration)

    def ends(self, start: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the ends of the local days that begin with one, up to an instant.

        Parameters
        ----------
        start
            The first instant of a local day.
        until
            The last end may be this one.
        """
        local = self.local(start)
        while (end := self.utc(local := local + DAY)) <= until:
            if end > start:  # zones have left out whole days
                yield (start := end)


UTC_ZONE = Zone()


def changes(zone: Zone, first: datetime, end: datetime) -> list[tuple[datetime, timedelta]]:
    """Return the offsets that hold in a stretch of time, each with its first hour.

    Examples
    --------
    >>> year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    >>> [str(at.date()) for at, _ in changes(Zone("America/New_York"), *year)]
    ['2026-01-01', '2026-03-08', '2026-11-01']
    """
    found = [(first, zone.offset(first))]
    at = first
    while at < end:
        low, high = at, min(at + DAY, end)
        if zone.offset(high) != found[-1][1]:
            while high - low > HOUR:
                middle = low + (high - low) // 2 // HOUR * HOUR
                low, high = (
                    (middle, high) if zone.offset(middle) == found[-1][1] else (low, middle)
                )
            found.append((high, zone.offset(high)))
        at = high
    return found


@cache
def _known() -> frozenset[str]:
    return frozenset(available_timezones())
