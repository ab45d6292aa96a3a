import math

import numpy as np
import pytest
from scipy import stats

from monitors.false_alarms.false_alarm_rate import Achieved


@pytest.mark.parametrize("expected", [0.5, 2.0, 5.0, 20.0])
def test_the_bounds_hold_the_rate_at_their_confidence(expected: float) -> None:
    """Exactly: over all counts that are likely enough to matter."""
    days, counts = 360.0, np.arange(200)
    chance = stats.poisson.pmf(counts, expected)
    bounds = [Achieved(n_alarms=int(n), days=days).interval(0.9) for n in counts]
    holds = [low <= days / expected <= high for low, high in bounds]
    covered = chance[holds].sum()
    assert 0.9 <= covered <= 1.0
    shortest = [Achieved(n_alarms=int(n), days=days).interval(0.5) for n in counts]
    assert chance[[low <= days / expected <= high for low, high in shortest]].sum() < covered


def test_a_promise_is_called_broken_as_seldom_as_the_level_allows() -> None:
    counts = np.arange(200)
    kept = stats.poisson.pmf(counts, 360 / 90)  # just as promised
    broken = [Achieved(n_alarms=int(n), days=360.0).interval()[1] < 90.0 for n in counts]
    assert 0.0 < kept[broken].sum() <= 0.05
    thrice = stats.poisson.pmf(counts, 3 * 360 / 90)
    assert thrice[broken].sum() > 0.8


def test_without_a_day_there_is_no_interval() -> None:
    nothing = Achieved(n_alarms=0, days=0.0)
    assert all(math.isnan(bound) for bound in nothing.interval())
