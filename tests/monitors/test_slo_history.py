"""Prefix sums agree with the counts that they are made of, corrected and coarsened."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from core.durations import DAY, HOUR
from core.window import Window
from monitors.slo.burn_rate import evaluate
from monitors.slo.cells import SLICE
from monitors.slo.history import History, of_slices, slice_at, time_of
from monitors.slo.objective import BurnRateDetail, BurnRateParams
from monitors.slo.period import CalendarPeriod, of_calendar
from monitors.slo.trial.backtest import backtest
from monitors.slo.trial.linter import lint
from tests.monitors.slo_readings import NOW, outage, reading

END = slice_at(NOW)
N = 5 * DAY // SLICE


def sparse(seed: int, share: float = 0.3) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return good, bad and unknown events of five days, of which most slices are empty."""
    chance = np.random.default_rng(seed)
    counts = chance.integers(0, 50, size=(N, 3))
    counts[chance.random(N) > share] = 0
    return counts


def made(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> History:
    some = np.flatnonzero(counts.any(axis=1))
    return of_slices(END - N + some, counts[some])


def test_a_window_holds_what_was_counted_in_it() -> None:
    counts, chance = sparse(1), np.random.default_rng(2)
    history = made(counts)
    for _ in range(300):
        first, end = sorted(chance.integers(0, N, size=2).tolist())
        expected = tuple(counts[first:end].sum(axis=0).tolist())
        assert history.within(END - N + first, END - N + end) == expected


@pytest.mark.parametrize("seed", range(5))
def test_late_rows_change_every_window_by_their_difference(seed: int) -> None:
    counts, chance = sparse(seed), np.random.default_rng(seed)
    history = made(counts)
    hour = HOUR // SLICE
    for _ in range(20):
        first = int(chance.integers(0, N // hour)) * hour
        counts[first : first + hour] = sparse(int(chance.integers(1000)))[:hour]
        part = made(np.where((np.arange(N) // hour == first // hour)[:, None], counts, 0))
        history = history.replaced(END - N + first, END - N + first + hour, part)
    again = made(counts)
    for first in range(0, N, 997):
        assert history.within(END - N + first, END) == again.within(END - N + first, END)


def test_what_is_old_is_coarser_and_still_adds_up() -> None:
    counts = sparse(3, share=1.0)
    whole = made(counts)
    coarse = whole.coarsened(10 * DAY, pins=[END - N + 12_345])
    assert coarse.ends.size < whole.ends.size / 5
    for hours in (1, 6):  # exact, to the slice
        first = END - hours * HOUR // SLICE - 1
        assert coarse.within(first, END) == whole.within(first, END)
    for first in (END - N + 12_345, END - DAY // SLICE, END - 4 * DAY // SLICE):
        assert coarse.within(first, END) == whole.within(first, END)
    assert coarse.within(END - N, END) == whole.within(END - N, END)
    again = coarse.coarsened(10 * DAY, pins=[END - N + 12_345])
    assert again.ends.tolist() == coarse.ends.tolist()


def test_what_is_too_old_is_gone_and_windows_within_stay() -> None:
    whole = made(sparse(4))
    short = whole.coarsened(2 * DAY)
    assert short.within(END - DAY // SLICE, END) == whole.within(END - DAY // SLICE, END)
    assert short.ends[0] >= whole.end - 2 * DAY // SLICE - 30
    late = made(sparse(5))
    assert short.replaced(END - N, END - N + 360, late) is short, "beyond what is kept"


def test_a_month_at_5_45_begins_at_its_own_midnight() -> None:
    """Between two hours of UTC: what failed a minute before is no part of it."""
    params = BurnRateParams(
        objective=0.99, calendar=CalendarPeriod.MONTH, zone="Asia/Kathmandu"
    )
    month = of_calendar(CalendarPeriod.MONTH, "Asia/Kathmandu", NOW - 2 * DAY)
    start = slice_at(month.start)
    slices = np.arange(start - 6, start + 10 * DAY // SLICE)
    counts = np.tile([10, 0, 0], (slices.size, 1))
    counts[:6] = [0, 10, 0]
    at = time_of(int(slices[-1]) + 1)
    of = replace(reading(of_slices(slices, counts)), newest=at, now=at)
    for total in (of.total, of.total.coarsened(40 * DAY, pins=[start])):
        detail = evaluate(replace(of, total=total), params, at).detail
        assert isinstance(detail, BurnRateDetail)
        assert (detail.bad, detail.period) == (0, month)
        assert detail.total == 10 * (10 * DAY // SLICE)


def test_a_calendar_period_expects_the_events_of_the_weeks_before() -> None:
    """Two series: of the events so far, and of those that the whole month is to have."""
    params = BurnRateParams(objective=0.99, calendar=CalendarPeriod.WEEK)
    bad = outage(timedelta(hours=1), 1.0, before=28 * DAY, after=timedelta(0), per_slice=100)
    found = evaluate(bad, params, NOW).detail
    assert isinstance(found, BurnRateDetail)
    week = of_calendar(CalendarPeriod.WEEK, "UTC", NOW - SLICE)
    so_far = (NOW - week.start) / HOUR
    assert found.consumed == pytest.approx(1 / so_far / 0.01)
    assert found.consumed_of_forecast == pytest.approx(1 / 168 / 0.01, rel=0.01)


def test_a_backtest_fires_when_the_evaluation_does() -> None:
    params = BurnRateParams(objective=0.99)
    past = outage(HOUR, 0.5, before=10 * DAY, after=3 * HOUR, per_slice=20)
    window = Window(NOW - DAY, NOW)
    [quick, *_] = backtest(past.total, params, window)
    assert quick.tier == "page quick"
    assert quick.until is not None
    for at, burns in (
        (quick.since - SLICE, False),
        (quick.since, True),
        (quick.until - SLICE, True),
        (quick.until, False),
    ):
        found = evaluate(replace(past, newest=at, now=at), params, at).detail
        assert isinstance(found, BurnRateDetail)
        [one] = [tier for tier in found.tiers if tier.tier == "page quick"]
        assert one.burning is burns


@pytest.mark.parametrize(
    ("objective", "per_hour", "warning"),
    [
        pytest.param(0.999, None, "no traffic is known", id="no traffic"),
        pytest.param(0.99, 2, "page quick cannot fire: 2 events", id="two an hour"),
        pytest.param(0.8, 3600, "no total outage pages", id="no page tier"),
        pytest.param(0.9, 1, "a total outage pages after", id="after hours"),
    ],
)
def test_the_linter_names_what_is_doubtful(
    objective: float, per_hour: float | None, warning: str
) -> None:
    found = lint(BurnRateParams(objective=objective), per_hour)
    assert any(one.startswith(warning) for one in found.warnings), found.warnings


def test_at_good_traffic_the_linter_warns_of_nothing_and_detects_in_a_minute() -> None:
    found = lint(BurnRateParams(objective=0.999), 36_000)
    assert found.warnings == ()
    assert next(one.detects_after_seconds for one in found.tiers) == pytest.approx(55, abs=2)
    assert all((one.false_alarms_per_year or 0) < 1e-3 for one in found.tiers[:2])
