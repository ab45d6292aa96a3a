"""What counts as unusual beside a finding, on either side of each limit."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitors.explanation.context import (
    Anomaly,
    absent_hours,
    failure_anomalies,
    latency_anomalies,
    volume_anomalies,
)
from monitors.summaries.daily import Daily, daily
from monitors.summaries.summary import Edges, Floats, Ints
from monitors.summaries.values import Column, summarise

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rows", "is_anomalous"),
    [
        pytest.param(150.0, False, id="half as many again"),
        pytest.param(151.0, True, id="more than that"),
        pytest.param(67.0, False, id="two thirds"),
        pytest.param(66.0, True, id="fewer than that"),
        pytest.param(0.0, True, id="none"),
    ],
)
def test_volume_is_compared_with_the_same_weekday(rows: float, *, is_anomalous: bool) -> None:
    weeks = np.tile([10.0, 20.0, 30.0, 40.0, 100.0, 60.0, 70.0], 3)
    days = np.append(weeks, [10.0, 20.0, 30.0, 40.0, rows])
    assert [found.day for found in volume_anomalies(days, 21)] == ([25] if is_anomalous else [])


def test_one_week_with_rows_is_no_baseline() -> None:
    assert volume_anomalies(np.array([0.0] * 7 + [10.0] * 7 + [99.0]), 14) == []
    assert volume_anomalies(np.array([99.0]), 0) == []


@pytest.mark.parametrize("anomalies", [latency_anomalies, failure_anomalies])
def test_without_days_before_nothing_is_anomalous(
    anomalies: Callable[[Floats, int], list[Anomaly]],
) -> None:
    assert anomalies(np.array([9.0]), 0) == []
    assert anomalies(np.array([np.nan] * 5 + [9.0]), 5) == []
    assert anomalies(np.array([1.0] * 5 + [np.nan]), 5) == []


def test_a_slower_day_is_distinguished_from_the_width_of_a_bin() -> None:
    assert latency_anomalies(np.array([1.0] * 5 + [1.59, 1.61]), 5)[0].day == 6


def test_few_failures_are_no_anomaly_however_many_times_the_baseline() -> None:
    assert failure_anomalies(np.array([0.0001] * 5 + [0.009]), 5) == []
    assert len(failure_anomalies(np.array([0.0001] * 5 + [0.011]), 5)) == 1
    assert failure_anomalies(np.array([0.2] * 5 + [0.5]), 5) == []


def office(n_days: int, absent: Ints) -> Daily:
    """Values in the hours from 8 to 17, but for those that are absent."""
    hours = np.array([day * 24 + hour for day in range(n_days) for hour in range(8, 18)])
    hours = np.setdiff1d(hours, absent)
    column = Column(
        values=np.ones(hours.size), chunks=hours, repeats=np.zeros(hours.size, dtype=np.bool_)
    )
    seen = summarise([column], Edges(names=("x",), values=np.array([[0.0, 1.0]])))
    return daily(seen, ("x",), EPOCH, EPOCH + timedelta(days=n_days))


def test_only_hours_that_always_had_a_value_are_absent() -> None:
    days = office(29, absent=np.array([28 * 24 + 9, 28 * 24 + 17]))
    assert np.flatnonzero(absent_hours(days, 28)).tolist() == [9, 17]


def test_an_hour_that_was_absent_once_before_is_not_expected() -> None:
    days = office(29, absent=np.array([21 * 24 + 9, 28 * 24 + 9]))
    assert not absent_hours(days, 28).any()


def test_a_day_that_is_not_known_lacks_nothing() -> None:
    assert not absent_hours(office(28, absent=np.array([0])), 28).any()
