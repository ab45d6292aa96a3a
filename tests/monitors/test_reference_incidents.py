from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from monitors.baselines.reference_incidents import LEVEL, incidents
from monitors.drift.input_drift_baseline import InputDriftBaseline, InputDriftParams, fit
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats, chunk_at
from tests.monitors.streams import ar1, day, grid, plant

PARAMS = InputDriftParams()


def learnt(values: Floats) -> InputDriftBaseline:
    baseline = fit(grid(values), PARAMS)
    assert isinstance(baseline, InputDriftBaseline)
    return baseline


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_a_quiet_reference_loses_days_as_seldom_as_promised(phi: float) -> None:
    n = 60
    lost = sum(bool(learnt(ar1(phi, (365 * HOURS, 3), seed)).screened) for seed in range(n))
    assert lost <= stats.binom.ppf(0.999, n, LEVEL)


def test_an_exponential_tail_is_marked_as_often_as_promised() -> None:
    """The null of the test itself: then the level is exact for each number of incidents."""
    chance, n = np.random.default_rng(4), 2_000
    marked = 0
    for _ in range(n):
        scores = np.zeros(600)
        scores[::30] = 5.0 + chance.exponential(size=20)  # far apart: each is an episode
        marked += bool(incidents(scores, gap=7).any())
    # Three tests at a third of the level each: at most the level, at least a third of it.
    low, high = stats.binom.ppf([0.001, 0.999], n, [LEVEL / 3, LEVEL])
    assert low <= marked <= high


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda x: x * 1000.0, id="another unit"),
        pytest.param(lambda x: x - 40.0, id="a dead amplifier"),
    ],
)
def test_an_incident_is_left_out_and_leaves_the_limit_as_it_was(
    spoil: Callable[[Floats], Floats],
) -> None:
    values = plant(365)
    clean = learnt(values)
    spoilt = values.copy()
    spoilt[100 * HOURS : 103 * HOURS, 1] = spoil(values[100 * HOURS : 103 * HOURS, 1])
    baseline = learnt(spoilt)
    [(start, end)] = baseline.screened
    first = chunk_at(day(100)) // HOURS
    assert start <= first
    assert end >= first + 3
    assert end - start < 40
    assert 0.75 <= baseline.alarm_threshold.value / clean.alarm_threshold.value <= 1.25
    np.testing.assert_allclose(baseline.level_sd, clean.level_sd, rtol=0.1)


def test_of_a_change_that_lasts_only_the_weeks_around_it_are_left_out() -> None:
    values = plant(365)
    values[180 * HOURS :, 0] += 30.0
    left_out = learnt(values).screened
    assert any(start <= chunk_at(day(180)) // HOURS < end for start, end in left_out)
    assert sum(end - start for start, end in left_out) < 40


def test_one_that_is_half_incidents_is_taken_as_it_is() -> None:
    values = plant(365)
    values[::2] *= 1000.0
    assert learnt(values).screened == ()


def test_too_few_episodes_are_no_incident() -> None:
    scores = np.zeros(60)
    scores[30] = 100.0
    assert not incidents(scores, gap=7).any()
    assert not incidents(np.full(60, np.nan), gap=7).any()
    assert not incidents(np.empty(0), gap=7).any()
