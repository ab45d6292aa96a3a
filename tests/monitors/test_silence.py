"""Silence: as long as it is usually quiet at this hour of the week, it is none."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitors.finding import Outcome
from monitors.slo.silence import (
    ArrivalHistory,
    ArrivalProfile,
    SilenceParams,
    SilentEntity,
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


def silent_after(usual: ArrivalProfile, last: datetime) -> timedelta:
    """Return after how many minutes without a row there is a breach."""
    for minutes in range(1, 20_000):
        now = last + minutes * MINUTE
        found = evaluate(
            ArrivalHistory(now=now, age=now - last, profile=usual), SilenceParams()
        )
        if found.outcome is Outcome.BREACH:
            return now - last
    raise AssertionError("never")


def test_a_stream_of_seconds_is_silent_within_five_minutes() -> None:
    usual = arrivals(every=timedelta(seconds=30), days=3)
    assert silent_after(usual, MONDAY + 3 * DAY) <= 5 * MINUTE


def test_an_hourly_model_is_silent_after_two_hours_and_a_little() -> None:
    usual = arrivals(every=HOUR)
    assert 2 * HOUR < silent_after(usual, MONDAY + 14 * DAY) <= 3 * HOUR


def test_a_nightly_batch_is_late_only_after_the_night() -> None:
    usual = arrivals(every=5 * MINUTE, hours=range(2, 3))
    last = MONDAY + 14 * DAY + 2 * HOUR + 55 * MINUTE
    assert silent_after(usual, last) > 23 * HOUR + 5 * MINUTE


def test_office_hours_are_learnt_by_the_weekday() -> None:
    usual = arrivals(every=MINUTE, days=15, hours=range(8, 18), weekdays=range(5))
    friday = MONDAY + 18 * DAY + 17 * HOUR + 59 * MINUTE
    assert silent_after(usual, friday) > 62 * HOUR
    wednesday_noon = MONDAY + 16 * DAY + 12 * HOUR
    assert silent_after(usual, wednesday_noon) <= 5 * MINUTE


def test_of_a_few_days_each_is_taken_to_be_like_the_others() -> None:
    usual = arrivals(every=MINUTE, days=3, hours=range(8, 18))
    assert silent_after(usual, MONDAY + 3 * DAY + 17 * HOUR + 59 * MINUTE) > 14 * HOUR


@pytest.mark.parametrize("slices", [np.arange(29), np.arange(100)])
def test_too_little_has_no_profile(slices: np.ndarray) -> None:
    assert profile(slices, SLICE) is None
    found = evaluate(ArrivalHistory(now=MONDAY, age=DAY, profile=None), SilenceParams())
    assert (found.outcome, "warming up" in found.cause) == (Outcome.NO_DATA, True)


def test_before_the_first_prediction_there_is_no_data() -> None:
    found = evaluate(ArrivalHistory(now=MONDAY, age=None, profile=None), SilenceParams())
    assert (found.outcome, found.cause) == (Outcome.NO_DATA, "no predictions yet")


def test_entities_are_one_finding_with_their_list() -> None:
    gone = [SilentEntity(name=f"pump {i}", last_at=MONDAY) for i in range(7)]
    usual = arrivals(every=MINUTE)
    found = evaluate(
        ArrivalHistory(now=MONDAY, age=MINUTE, profile=usual, silent=gone, n_entities=40),
        SilenceParams(),
    )
    assert found.cause == (
        "7 of 40 entities silent: pump 0, pump 1, pump 2, pump 3, pump 4 and 2 more"
    )
    assert found.detail["n_silent"] == 7
