"""Input health: the baseline is learnt, and only what goes well beyond it is a fault."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitors.data_quality import input_health
from monitors.data_quality.input_health import FEWEST, InputHealthParams
from monitors.finding import Outcome
from monitors.summaries.grains import Grains
from monitors.summaries.summary import Floats

MINUTE, START = timedelta(minutes=1), datetime(2026, 1, 1, tzinfo=UTC)
PARAMS = InputHealthParams()


def grains(values: Floats) -> Grains:
    """Lay values on grains: (grain, value, feature); NaN is missing."""
    there = np.isfinite(values)
    n = there.sum(axis=1).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, values, 0).sum(axis=1) / n
        sd = np.sqrt(np.where(there, (values - mean[:, np.newaxis]) ** 2, 0).sum(axis=1) / n)
    low = np.where(there, values, np.inf).min(axis=1)
    high = np.where(there, values, -np.inf).max(axis=1)
    return Grains(
        names=tuple(f"x{i}" for i in range(values.shape[2])),
        start=START,
        grain=MINUTE,
        n=n,
        n_missing=values.shape[1] - n,
        mean=mean,
        sd=sd,
        low=np.where(n > 0, low, np.nan),
        high=np.where(n > 0, high, np.nan),
    )


def noise(n: int, n_values: int = 10, n_features: int = 3, seed: int = 5) -> Floats:
    return 50 + np.random.default_rng(seed).normal(size=(n, n_values, n_features))


def faults(
    before: Floats, recent: Floats, params: InputHealthParams = PARAMS
) -> list[tuple[str, str]]:
    found = input_health.evaluate(input_health.fit(grains(before)), grains(recent), params)
    listed = found.detail.implicated_features
    assert (found.outcome is Outcome.BREACH) == bool(listed)
    return [(one.feature, one.message.replace(" ", "_")) for one in listed]


def test_what_goes_on_as_before_is_healthy() -> None:
    assert faults(noise(1440), noise(60, seed=6)) == []


@pytest.mark.parametrize(
    ("n_broken", "found"), [(1, []), (2, [("x1", "missing")]), (30, [("x1", "missing")])]
)
def test_an_input_without_values_is_missing_from_the_second_grain_on(
    n_broken: int, found: list[tuple[str, str]]
) -> None:
    recent = noise(60)
    recent[-n_broken:, :, 1] = np.nan
    assert faults(noise(1440), recent) == found


def test_an_input_that_often_lacks_values_must_lack_them_for_longer() -> None:
    before, recent = noise(1440), noise(60)
    before[100:110, :, 1] = np.nan
    recent[-20:, :, 1] = np.nan
    assert faults(before, recent) == []
    recent[-21:, :, 1] = np.nan
    assert faults(before, recent) == [("x1", "missing")]


def test_an_input_that_never_had_a_value_is_not_missing() -> None:
    before, recent = noise(1440), noise(60)
    before[:, :, 1] = recent[:, :, 1] = np.nan
    assert faults(before, recent) == []


def test_an_input_that_lacks_more_of_its_values_than_before_is_incomplete() -> None:
    before, recent = noise(1440), noise(60)
    before[100:140, :2, 1] = np.nan
    recent[-1:, :5, 1] = np.nan
    assert faults(before, recent) == []
    recent[-2:, :5, 1] = np.nan
    assert faults(before, recent) == [("x1", "incomplete")]
    recent[-2:, 4, 1] = 50.0  # 40 %, after up to 20 %
    assert faults(before, recent) == []


def test_a_value_that_stands_still_is_stuck_unless_it_often_does() -> None:
    before, recent = noise(1440), noise(60)
    recent[-3:, :, 0] = 51.0
    assert faults(before, recent) == [("x0", "stuck")]
    before[:300, :, 0] = 0.0  # a night without sun
    recent[-60:, :, 0] = 0.0
    assert faults(before, recent) == []


def test_a_grain_without_rows_is_about_no_input() -> None:
    recent = noise(60)
    found = grains(recent)
    silent = replace(found, n=found.n.copy(), n_missing=found.n_missing.copy())
    silent.n[-2:] = silent.n_missing[-2:] = 0
    baseline = input_health.fit(grains(noise(1440)))
    assert input_health.evaluate(baseline, silent, PARAMS).cause == "no rows"


@pytest.mark.parametrize(
    ("factor", "fault"), [(10.0, "out_of_range"), (1.01, ""), (0.1, "out_of_range")]
)
def test_a_rescaled_input_is_out_of_range(factor: float, fault: str) -> None:
    recent = noise(60)
    recent[-5:, :, 2] *= factor
    assert faults(noise(1440), recent) == ([("x2", fault)] if fault else [])


def test_a_rescaled_input_around_zero_has_another_spread() -> None:
    before, recent = noise(1440) - 50, noise(60) - 50
    recent[-5:, :, 2] *= 10
    [(feature, fault)] = faults(before, recent)
    assert feature == "x2"
    assert fault in ("spread", "out_of_range")


def test_one_anomalous_grain_is_no_fault() -> None:
    recent = noise(60)
    recent[-1, :, 0] = 1e9
    assert faults(noise(1440), recent) == []


def test_the_start_reports_what_is_waited_for() -> None:
    few = input_health.fit(grains(noise(FEWEST - 1)))
    found = input_health.evaluate(few, grains(noise(5)), PARAMS)
    assert (found.outcome, "warming up" in found.cause) == (Outcome.NO_DATA, True)
    young = input_health.fit(grains(noise(FEWEST)), knows_a_day=False)
    recent = noise(60)
    recent[-5:, :, 0] *= 10  # not yet
    recent[-5:, :, 1] = np.nan
    found = input_health.evaluate(young, grains(recent), PARAMS)
    assert [one.feature for one in found.detail.implicated_features] == ["x1"]


@pytest.mark.slow
def test_two_weeks_of_a_plant_without_a_fault_raise_at_most_one_alarm() -> None:
    """20 sensors at one-minute grain: a daily course, a level that wanders, noise."""
    chance = np.random.default_rng(2026)
    n_days, n = 15, 15 * 1440
    level = np.zeros((n, 20))
    shocks = 0.09 * chance.standard_normal((n, 20))
    for i in range(1, n):
        level[i] = 0.996 * level[i - 1] + shocks[i]
    day = 2 * np.pi * np.arange(n)[:, np.newaxis] / 1440
    mean = 20 + 3 * np.sin(day + chance.uniform(0, 6, 20)) + level
    n_alarms, was = 0, False
    whole = grains(mean[:, np.newaxis] + chance.standard_normal((n, 10, 20)))
    for at in range(1, n_days):
        start = max(at - 7, 0) * 1440
        baseline = input_health.fit(part(whole, start, at * 1440))
        for minute in range(at * 1440, (at + 1) * 1440):
            recent = part(whole, minute - 359, minute + 1)
            is_breach = bool(input_health.evaluate(baseline, recent, PARAMS).value)
            n_alarms += is_breach and not was
            was = is_breach
    assert n_alarms <= 1


def part(of: Grains, start: int, end: int) -> Grains:
    fields = ("n", "n_missing", "mean", "sd", "low", "high")
    cut = {name: getattr(of, name)[start:end] for name in fields}
    return replace(of, start=of.start + start * MINUTE, **cut)
