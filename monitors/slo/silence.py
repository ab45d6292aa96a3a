"""Silence: nothing has arrived for longer than in the baseline.

By the wall clock: a service that is down sends nothing that could move the clock of its
model. The baseline is two weeks of arrivals, by hour of the week, so that a
quiet night or weekend is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from core.durations import MINUTE, Duration
from core.schema.calendar import Calendar
from core.schema.zone import UTC_ZONE, Zone
from core.streams import Level
from core.window import Window
from monitors.detail import Detail
from monitors.finding import Finding, Outcome, in_words
from monitors.slo import cells
from monitors.summaries.local_time import local_hours
from monitors.summaries.summary import Ints, chunk_start

HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
# By wall time, of all versions together.
ARRIVALS = replace(cells.stream("arrivals"), level=Level.GRAIN, whole=None, is_published=False)
KEPT = 2 * WEEK  # of arrivals, that a profile is made of
FEWEST = 30  # slices with predictions, before their gaps mean anything
_HOURS = WEEK // HOUR
_DAY_HOURS, _THURSDAY = 24, 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NAMED = 5  # in the sentence for people; the detail has more
_MAX_LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceParams:
    """Parameters of `silence`.

    Attributes
    ----------
    longer
        How many times as long as in the baseline nothing may arrive.
    at_least
        And for at least so long more.
    """

    longer: float = 2.0
    at_least: Duration = 2 * MINUTE

    def __post_init__(self) -> None:
        if self.longer < 1 or self.at_least < timedelta(0):
            raise ValueError("longer must be at least 1, at_least not negative")

    def limit(self, longest: timedelta) -> timedelta:
        """Return how long nothing may arrive, given the longest gap of the baseline."""
        return self.longer * longest + self.at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """Hours of the week in local time, in which a holiday is a day without business."""

    zone: Zone = UTC_ZONE
    calendar: Calendar = field(default_factory=Calendar)

    def hours(self, hours: Ints) -> Ints:
        """Return the hour of the week, from Thursday 00:00 as 1970 began, of hours of UTC."""
        local = local_hours(hours, self.zone)
        found: Ints = local % _HOURS
        for day in np.unique(local // _DAY_HOURS).tolist() if self.calendar.holidays else ():
            weekday = self.calendar.weekday(chunk_start(day * _DAY_HOURS).date())
            of_day = local // _DAY_HOURS == day
            found[of_day] = (weekday - _THURSDAY) % 7 * _DAY_HOURS + local[of_day] % _DAY_HOURS
        return found

    def after_holiday(self, at: datetime) -> Ints:
        """Return the hour after days without business, of the day after a holiday."""
        yesterday = self.zone.day_of(at) - timedelta(days=1)
        if yesterday not in self.calendar.holidays:
            return np.empty(0, dtype=np.int64)
        begun = self.calendar.weekday(yesterday) + 1 - _THURSDAY
        return np.array([(begun % 7) * _DAY_HOURS + self.zone.local(at).hour])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrivalProfile:
    """The longest that nothing arrived, by hour of the week.

    Attributes
    ----------
    seconds : (168,)
        From Thursday 00:00, as 1970 began.
    week
        Whose hours they are.
    """

    seconds: NDArray[np.float64]
    week: Week = field(default_factory=Week)

    def longest(self, at: datetime) -> timedelta:
        """Return the longest that nothing had arrived in this hour and those beside it."""
        hour = (at - _EPOCH) // HOUR
        beside = self.week.hours(np.array([hour - 1, hour, hour + 1]))
        like = [*beside, *self.week.after_holiday(at)]
        return timedelta(seconds=float(self.seconds[like].max()))


def profile(slices: Ints, width: timedelta, week: Week | None = None) -> ArrivalProfile | None:
    """Fit the longest gaps between arrivals.

    Parameters
    ----------
    slices : (slice,)
        Those in which predictions arrived, counted since 1970, ascending.
    width
        Of a slice.
    week
        By default in UTC, without holidays.

    Returns
    -------
    ArrivalProfile or None
        None of fewer than 30 slices, or less than an hour. Of less than eight days, each
        day of the week is taken to be like the others.
    """
    seconds = slices * int(width.total_seconds())
    if slices.size < FEWEST or seconds[-1] - seconds[0] < HOUR.total_seconds():
        return None
    hours, week = seconds // 3600, week or Week()
    longest = np.zeros(_HOURS)
    known = np.zeros(_HOURS, dtype=np.bool_)
    of_week = week.hours(np.arange(hours[0], hours[-1] + 1))
    gaps, is_within = np.diff(seconds), hours[1:] == hours[:-1]
    np.maximum.at(longest, of_week[hours[:-1][is_within] - hours[0]], gaps[is_within])
    for i in np.flatnonzero(~is_within).tolist():  # as many as there are hours, at most
        last = min(int(hours[i + 1]), int(hours[i]) + _HOURS)
        passed = np.arange(hours[i], last + 1)
        ends = np.minimum((passed + 1) * 3600, seconds[i + 1])
        np.maximum.at(longest, of_week[passed - hours[0]], ends - seconds[i])
    known[of_week] = True
    if hours[-1] - hours[0] < 8 * 24:
        of_day = np.where(known, longest, 0.0).reshape(7, 24).max(axis=0)
        return ArrivalProfile(seconds=np.tile(of_day, 7), week=week)
    return ArrivalProfile(seconds=longest, week=week)


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentEntity:
    """An entity of which nothing has come for longer than ever before."""

    entity: str
    last_at: datetime


class SilenceDetail(Detail, frozen=True):
    """The entities that are silent, the first of them by name, and how many there are."""

    silent_entities: tuple[SilentEntity, ...] = ()
    n_silent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalHistory:
    """What has arrived, at one moment.

    Attributes
    ----------
    now
        Wall time.
    age
        For how long nothing has arrived; None before the first prediction.
    is_certain
        Whether an arrival was seen since the process began: before, nothing is in order yet.
    profile
        The baseline; None while too little has arrived.
    silent, n_entities
        The entities of which nothing has come, and how many are known.
    """

    now: datetime
    age: timedelta | None
    profile: ArrivalProfile | None
    is_certain: bool = True
    silent: Sequence[SilentEntity] = ()
    n_entities: int = 0


def evaluate(arrivals: ArrivalHistory, params: SilenceParams) -> Finding:
    """Evaluate one moment.

    Returns
    -------
    Finding
        `value` is for how many seconds nothing has arrived, `threshold` how long that may
        take. The silence of a whole model is one finding, whatever its entities.
    """
    now, age = arrivals.now, arrivals.age
    window = Window(now - (age or HOUR.resolution), now)
    profile, cause = arrivals.profile, ""
    if age is None or (profile is None and not arrivals.silent):
        cause = "no predictions yet" if age is None else "warming up: too few predictions"
        return Finding(outcome=Outcome.NO_DATA, window=window, cause=cause)
    limit = None if profile is None else params.limit(profile.longest(now))
    if limit is not None and age > limit:
        expected = f"at most {in_words(limit)} expected at this hour"
        cause = f"no prediction for {in_words(age)}; {expected}"
    elif arrivals.silent:
        names = ", ".join(one.entity for one in arrivals.silent[:_MAX_NAMED])
        rest = len(arrivals.silent) - _MAX_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        n = f"{len(arrivals.silent)} of {arrivals.n_entities}"
        cause = f"{n} entities silent: {names}{more}"
    if not cause and not arrivals.is_certain:
        waits = "no prediction yet since the worker started"
        return Finding(outcome=Outcome.NO_DATA, window=window, cause=waits)
    return Finding(
        outcome=Outcome.BREACH if cause else Outcome.OK,
        value=age.total_seconds(),
        threshold=None if limit is None else limit.total_seconds(),
        window=window,
        cause=cause,
        detail=SilenceDetail(
            silent_entities=tuple(arrivals.silent[:_MAX_LISTED]), n_silent=len(arrivals.silent)
        ),
    )
