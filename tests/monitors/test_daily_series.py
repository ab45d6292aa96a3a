"""A series of daily values has verdicts: its value stands until the next one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from monitors.drift import input_drift, input_drift_baseline, mean_shift_evaluation
from monitors.drift.input_drift_baseline import InputDriftParams
from monitors.drift.mean_shift import MeanShiftParams
from monitors.drift.mean_shift import fit as fit_mean_shift
from monitors.finding import Finding, Outcome
from monitors.summaries.hourly import HOURS, Hourly, held
from monitors.summaries.summary import Floats
from monitors.temporal import panel, temporal_pattern
from monitors.temporal.panel import TemporalPatternParams
from tests.monitors.streams import ar1, day, grid

N_REFERENCE, N_DAYS = 730, 1095
KINDS = ("input_drift", "mean_shift", "temporal_pattern")


def daily(shift: float = 0.0, since: int = N_DAYS) -> Hourly:
    """Three years of two series: a week's course and noise with memory, at 06:00."""
    week = np.array([0.0, 0.2, 0.3, 0.2, 0.0, -1.5, -2.0])[np.arange(N_DAYS) % 7]
    values = 50 + 2 * week[:, np.newaxis] + ar1(0.6, (N_DAYS, 2), 4)
    values[since:, 0] += shift
    hours = np.full((N_DAYS * HOURS, 2), np.nan)
    hours[6::HOURS] = values
    whole = grid(hours)
    return held(replace(whole, sd=np.where(np.isfinite(hours), 0.0, np.nan)), HOURS)


def finder(kind: str, hours: Hourly) -> Callable[[int], Finding]:
    reference = hours.until(hours.first + N_REFERENCE * HOURS, N_REFERENCE * HOURS)
    if kind == "input_drift":
        drift = input_drift_baseline.fit(reference, InputDriftParams())
        return lambda at: input_drift.evaluate(drift, hours, day(at))
    if kind == "mean_shift":
        shift = fit_mean_shift(reference, MeanShiftParams())
        return lambda at: mean_shift_evaluation.evaluate(shift, hours, day(at))
    order = panel.fit(reference, TemporalPatternParams())
    return lambda at: temporal_pattern.evaluate(order, hours, day(at))


@pytest.mark.parametrize("kind", KINDS)
def test_a_quiet_year_of_daily_values_is_evaluated_and_found_quiet(kind: str) -> None:
    find = finder(kind, daily())
    outcomes = [find(at).outcome for at in range(N_REFERENCE + 30, N_DAYS, 7)]
    assert Outcome.NO_DATA not in outcomes
    # One episode in 90 days is promised: in eleven months, four; an episode is a week or two.
    assert outcomes.count(Outcome.BREACH) <= 8


@pytest.mark.parametrize(("kind", "shift"), [("input_drift", 6.0), ("mean_shift", 3.0)])
def test_a_shift_of_a_daily_series_is_found_and_its_input_named(
    kind: str, shift: float
) -> None:
    since = N_REFERENCE + 120
    find = finder(kind, daily(shift=shift, since=since))
    evaluated = map(find, range(since, since + 30))
    found = [one for one in evaluated if one.outcome is Outcome.BREACH]
    assert found
    assert "f0" in found[0].cause


def test_a_value_stands_for_its_step_and_no_longer() -> None:
    hours = np.full((8, 1), np.nan)
    hours[1], hours[5] = 3.0, 4.0
    stands: Floats = held(grid(hours), 3).mean[:, 0]
    np.testing.assert_array_equal(stands, [np.nan, 3, 3, 3, np.nan, 4, 4, 4])
