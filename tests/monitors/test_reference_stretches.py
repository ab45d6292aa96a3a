"""What lies between two stretches of a reference is neither quiet time nor a seam."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from core.window import Window
from monitors.data_quality.baseline import habit
from monitors.drift import input_drift_baseline, mean_shift
from monitors.drift.input_drift_baseline import InputDriftParams
from monitors.drift.mean_shift import MeanShiftParams
from monitors.input_fault import input_fault
from monitors.input_fault.input_fault import InputFaultParams
from monitors.statistics.block_bootstrap import _draw
from monitors.summaries.daily import Daily, daily
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Edges, Floats, chunk_at
from monitors.summaries.values import Column, summarise
from monitors.temporal import panel
from monitors.temporal.panel import TemporalPatternParams
from tests.monitors.streams import START, ar1, day, grid

N_DAYS, N_FIRST, HOLE = 280, 100, 728  # the hole in whole weeks, longer than all that is known

KINDS: dict[str, Callable[[Hourly], Any]] = {
    "input_drift": lambda hours: input_drift_baseline.fit(hours, InputDriftParams()),
    "mean_shift": lambda hours: mean_shift.fit(hours, MeanShiftParams()),
    "temporal_pattern": lambda hours: panel.fit(hours, TemporalPatternParams()),
    "input_fault": lambda hours: input_fault.fit(hours, InputFaultParams()),
}


def two_of(n_days: int, seed: int = 3) -> Floats:
    n = n_days * HOURS
    season = 3 * np.sin(2 * np.pi * np.arange(n) / HOURS)[:, np.newaxis]
    mood = ar1(0.9, (n, 1), seed)
    return 20 + season + mood + 0.5 * ar1(0.5, (n, 3), seed + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_of_years_leaves_the_threshold_as_it_was(kind: str) -> None:
    values = two_of(N_DAYS)
    first, second = values[: N_FIRST * HOURS], values[N_FIRST * HOURS :]
    hole = np.full((HOLE * HOURS, values.shape[1]), np.nan)
    whole = KINDS[kind](grid(values))
    apart = KINDS[kind](grid(np.concatenate([first, hole, second])))
    plain, limit = whole.alarm_threshold, apart.alarm_threshold
    assert plain.replayed_days - 60 <= limit.replayed_days <= plain.replayed_days
    assert limit.value == pytest.approx(plain.value, rel=0.2)


def test_stretches_too_short_for_one_evaluation_are_no_reference() -> None:
    values = two_of(40 * 14)
    is_hole = (np.arange(len(values)) // HOURS) % 14 >= 6
    values[is_hole] = np.nan  # 240 days, six at a time
    fitted = KINDS["input_fault"](grid(values))
    assert str(fitted) == "warming up: 0 of 19 windows of 10 days"


def days_of(*parts: tuple[int, int]) -> Daily:
    """Read some parts of sixty days with a value an hour."""
    edges = Edges(names=("f0",), values=np.zeros((1, 33)))
    hours = chunk_at(START) + np.arange(60 * HOURS)
    still = np.zeros(len(hours), dtype=np.bool_)
    seen = summarise([Column(values=two_of(60)[:, 0], chunks=hours, repeats=still)], edges)
    stretches = tuple(Window(day(start), day(end)) for start, end in parts)
    return daily(seen, edges.names, START, START + timedelta(days=60), stretches)


def test_days_that_were_cut_out_are_no_hours_that_may_be_absent() -> None:
    days = days_of((0, 30), (32, 60))
    assert days.n.sum() == 58 * HOURS
    assert habit(days, days.first_day).expected.all()


def test_no_block_goes_over_a_hole() -> None:
    goes_on = np.array([True, True, True, False, True, True])
    drawn = _draw(goes_on, (400, 50), length=20.0)
    after_hole = (drawn[:, :-1] == 2) & (drawn[:, 1:] == 3)
    inside = (drawn[:, :-1] == 1) & (drawn[:, 1:] == 2)
    assert after_hole.sum() < 0.4 * inside.sum()  # by chance alone, one in six
