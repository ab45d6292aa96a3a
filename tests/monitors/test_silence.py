"""Silence: as long as it is usually quiet at this hour of the week, it is none."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from core.schema.calendar import Calendar, Weekday
from core.schema.zone import Zone
from monitors.finding import Outcome
from monitors.slo.silence import (
    ArrivalHistory,
    ArrivalProfile,
    SilenceParams,
    SilentEntity,
    Week,
    evaluate,
    profile,
)

SLICE, MINUTE, HOUR, DAY = (timedelta(seconds=s) for s in (10, 60, 3600, 86400))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def arrivals(
    *, every: timedelta, days: float = 14, hours: range = range(24), weekdays: range = range(7)
) -> ArrivalProfile:
    """Return the profile of predictions at an interval, at some hours of some weekdays."""
    times = [MONDAY + i * every for i in range(int(timedelta(days=days) / every))]
    slices = [
        (at - EPOCH) // SLICE for at in times if at.hour in hours and at.weekday() in weekdays
    ]
    found = profile(np.unique(slices), SLICE)
    assert found is not None
    return found


def silent_after(normal: ArrivalProfile, last: datetime) -> timedelta:
    """Return after how many minutes without a row there is a breach."""
    for minutes in range(1, 20_000):
        now = last + minutes * MINUTE
        found = evaluate(
            ArrivalHistory(now=now, age=now - last, profile=normal), SilenceParams()
        )
        if found.outcome is Outcome.BREACH:
            return now - last
    raise AssertionError("never")


def test_a_stream_of_seconds_is_silent_within_five_minutes() -> None:
    normal = arrivals(every=timedelta(seconds=30), days=3)
    assert silent_after(normal, MONDAY + 3 * DAY) <= 5 * MINUTE


def test_an_hourly_model_is_silent_after_two_hours_and_a_little() -> None:
    normal = arrivals(every=HOUR)
    assert 2 * HOUR < silent_after(normal, MONDAY + 14 * DAY) <= 3 * HOUR


def test_a_nightly_batch_is_late_only_after_the_night() -> None:
    normal = arrivals(every=5 * MINUTE, hours=range(2, 3))
    last = MONDAY + 14 * DAY + 2 * HOUR + 55 * MINUTE
    assert silent_after(normal, last) > 23 * HOUR + 5 * MINUTE


def test_office_hours_are_learnt_by_the_weekday() -> None:
    normal = arrivals(every=MINUTE, days=15, hours=range(8, 18), weekdays=range(5))
    friday = MONDAY + 18 * DAY + 17 * HOUR + 59 * MINUTE
    assert silent_after(normal, friday) > 62 * HOUR
    wednesday_noon = MONDAY + 16 * DAY + 12 * HOUR
    assert silent_after(normal, wednesday_noon) <= 5 * MINUTE


def test_of_a_few_days_each_is_taken_to_be_like_the_others() -> None:
    normal = arrivals(every=MINUTE, days=3, hours=range(8, 18))
    assert silent_after(normal, MONDAY + 3 * DAY + 17 * HOUR + 59 * MINUTE) > 14 * HOUR


@pytest.mark.parametrize("slices", [np.arange(29), np.arange(100)])
def test_too_little_has_no_profile(slices: np.ndarray) -> None:
    assert profile(slices, SLICE) is None
    found = evaluate(ArrivalHistory(now=MONDAY, age=DAY, profile=None), SilenceParams())
    assert (found.outcome, "warming up" in found.cause) == (Outcome.NO_DATA, True)


def test_before_the_first_prediction_there_is_no_data() -> None:
    found = evaluate(ArrivalHistory(now=MONDAY, age=None, profile=None), SilenceParams())
    assert (found.outcome, found.cause) == (Outcome.NO_DATA, "no predictions yet")


def test_entities_are_one_finding_with_their_list() -> None:
    gone = [SilentEntity(entity=f"pump {i}", last_at=MONDAY) for i in range(7)]
    normal = arrivals(every=MINUTE)
    found = evaluate(
        ArrivalHistory(now=MONDAY, age=MINUTE, profile=normal, silent=gone, n_entities=40),
        SilenceParams(),
    )
    assert found.cause == (
        "7 of 40 entities silent: pump 0, pump 1, pump 2, pump 3, pump 4 and 2 more"
    )
    assert found.detail.to_json()["n_silent"] == 7


def local_arrivals(week: Week, days: Sequence[date], hours: range) -> ArrivalProfile:
    """Return the profile of predictions every minute, at some local hours of some days."""
    starts = [week.zone.start(day) + hour * HOUR for day in days for hour in hours]
    slices = [(at + i * MINUTE - EPOCH) // SLICE for at in starts for i in range(60)]
    found = profile(np.unique(slices), SLICE, week)
    assert found is not None
    return found


def test_hours_of_the_week_follow_a_clock_change() -> None:
    week = Week(zone=Zone("Europe/Berlin"))
    before = [date(2026, 10, 10) + timedelta(days=n) for n in range(15)]  # up to the 24th
    normal = local_arrivals(week, before, range(8, 18))
    morning = week.zone.start(date(2026, 10, 27)) + 8 * HOUR
    evening = morning - 14 * HOUR
    assert normal.longest(morning) > 13 * HOUR
    assert normal.longest(morning + 4 * HOUR) < 2 * MINUTE
    assert silent_after(normal, evening) == 16 * HOUR  # two hours after work has begun
    in_utc = local_arrivals(Week(), before, range(6, 16))
    assert silent_after(in_utc, evening) == 15 * HOUR


def test_a_holiday_is_as_quiet_as_a_day_without_business() -> None:
    business = tuple(Weekday)[:5]
    days = [date(2026, 11, 30) + timedelta(days=n) for n in range(15)]
    open_days = [day for day in days if day.weekday() < 5]
    christmas = date(2026, 12, 16)  # a Wednesday
    calendar = Calendar(business_days=business, holidays=(christmas,))
    plain = local_arrivals(Week(), open_days, range(8, 18))
    normal = local_arrivals(Week(calendar=calendar), open_days, range(8, 18))
    evening = datetime(2026, 12, 15, 17, 59, tzinfo=UTC)
    assert silent_after(plain, evening) < 17 * HOUR  # on the morning of the holiday
    assert 39 * HOUR < silent_after(normal, evening) < 40 * HOUR  # on the one after it
    noon = datetime(2026, 12, 17, 12, tzinfo=UTC)
    assert silent_after(normal, noon) <= 5 * MINUTE
