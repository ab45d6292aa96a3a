"""Anomalies around the time of a finding: volume, gaps, latency, failures.

These describe and decide nothing: they stand beside a finding so that nobody
has to search for them. Their limits are round numbers, not calibrated.
"""

from dataclasses import dataclass

import numpy as np

from monitors.data_quality.baseline import WEEK, habit
from monitors.summaries.daily import Daily
from monitors.summaries.summary import Bools, Floats

WEEKS = 5  # of the same weekday, from which the typical number of rows is estimated
_LEAST_WEEKS = 2  # with rows
VOLUME = 1.5  # times as many, or as few
SLOWER = 1.6  # times the typical p95: more than the width of one bin of latencies can feign
FAILING = 3.0  # times the typical share
LEAST_FAILING = 0.01  # share of the rows of a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A day that differs from its baseline; `day` counts from the first day given."""

    day: int
    value: float
    baseline: float


def volume_anomalies(rows: Floats, from_day: int) -> list[Anomaly]:
    """Return the days with far more or far fewer rows than is typical on their weekday.

    Parameters
    ----------
    rows : (day,)
        Rows of each day.
    from_day
        The first that is evaluated; those before it are the baseline, at most
        five weeks back.

    Examples
    --------
    >>> volume_anomalies(np.array([10.0] * 14 + [31.0]), from_day=14)
    [Anomaly(day=14, value=31.0, baseline=10.0)]
    """
    found = []
    for day in range(from_day, len(rows)):
        before = rows[day - WEEK :: -WEEK][:WEEKS] if day >= WEEK else rows[:0]
        before = before[before > 0]
        if before.size < _LEAST_WEEKS:
            continue
        baseline = float(np.median(before))
        if not baseline / VOLUME <= rows[day] <= baseline * VOLUME:
            found.append(Anomaly(day=day, value=float(rows[day]), baseline=baseline))
    return found


def latency_anomalies(p95: Floats, from_day: int) -> list[Anomaly]:
    """Return the days that were far slower than the two weeks before `from_day`.

    Parameters
    ----------
    p95 : (day,)
        In seconds; NaN: not known.
    from_day
        The first that is evaluated.

    Examples
    --------
    >>> latency_anomalies(np.array([0.01] * 7 + [0.04]), from_day=7)
    [Anomaly(day=7, value=0.04, baseline=0.01)]
    """
    baseline = _baseline(p95, from_day)
    return [
        Anomaly(day=day, value=float(p95[day]), baseline=baseline)
        for day in range(from_day, len(p95))
        if p95[day] >= SLOWER * baseline
    ]


def failure_anomalies(share: Floats, from_day: int) -> list[Anomaly]:
    """Return the days on which far more failed than in the two weeks before `from_day`.

    Parameters
    ----------
    share : (day,)
        Of the rows; NaN: there were none.
    from_day
        The first that is evaluated.

    Examples
    --------
    >>> failure_anomalies(np.array([0.001] * 7 + [0.02]), from_day=7)
    [Anomaly(day=7, value=0.02, baseline=0.001)]
    """
    baseline = _baseline(share, from_day)
    return [
        Anomaly(day=day, value=float(share[day]), baseline=baseline)
        for day in range(from_day, len(share))
        if share[day] >= max(FAILING * baseline, LEAST_FAILING)
    ]


def _baseline(days: Floats, from_day: int) -> float:
    before = days[max(from_day - 2 * WEEK, 0) : from_day]
    before = before[np.isfinite(before)]
    return float(np.median(before)) if before.size else float("nan")


def absent_hours(days: Daily, day: int) -> Bools:
    """Return the hours of a day that lack a value which they always had.

    Parameters
    ----------
    days
        With five weeks before the day, or fewer: three must agree.
    day
        In days since 1970.

    Returns
    -------
    (hour, feature)

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> from monitors.summaries.daily import daily
    >>> from monitors.summaries.summary import Edges
    >>> from monitors.summaries.values import Column, summarise
    >>> hours = np.delete(np.arange(24 * 29), 24 * 28 + 5)
    >>> flags, ones = np.zeros(hours.size, dtype=bool), np.ones(hours.size)
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
    >>> seen = summarise([Column(values=ones, chunks=hours, repeats=flags)], edges)
    >>> start = datetime(1970, 1, 1, tzinfo=UTC)
    >>> month = daily(seen, ("x",), start, start + timedelta(days=29))
    >>> np.flatnonzero(absent_hours(month, 28))
    array([5])
    """
    today = days.until(day + 1, 1)
    baseline = habit(days.until(day, WEEKS * WEEK), day).expected[day % WEEK]
    if not len(today) or today.first_day != day:
        return np.zeros_like(baseline)
    absent: Bools = baseline & ~today.has[0]
    return absent
