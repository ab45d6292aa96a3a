"""Standard deviations of values that lie far from zero, in any order and grouping."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Unprocessable
from monitors.performance.residual_statistics import ErrorDays, measure
from monitors.statistics.seasonality import window_moments
from monitors.summaries.hourly import HOURS, hourly
from monitors.summaries.serialization import from_many, to_bytes
from monitors.summaries.summary import Edges, Floats, Summary, chunk_start, merge
from monitors.summaries.totals import totals
from monitors.summaries.values import Column, summarise
from tasks import residual_sums
from tasks.residual_sums import RESIDUALS

EDGES = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
EPS = float(np.finfo(float).eps)


def hour(values: Floats, chunk: int = 0) -> Summary:
    """Summarise the values of one hour."""
    n = values.size
    column = Column(values=values, chunks=np.full(n, chunk), repeats=np.zeros(n, dtype=bool))
    return summarise([column], EDGES)


def sd(summary: Summary) -> float:
    return float(totals(summary).sd[0])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    offset=st.sampled_from([0.0, 1.0, 1e4, 1e9, 1e12]),
    scale=st.sampled_from([1e-12, 1.0, 1e9]),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8),
)
def test_merging_in_any_order_and_grouping_gives_the_variance_of_the_whole(
    seed: int, offset: float, scale: float, sizes: list[int]
) -> None:
    """Offsets are in standard deviations, of which the float keeps 1 / (EPS * offset) parts."""
    rng = np.random.default_rng(seed)
    values = (offset + rng.normal(size=sum(sizes))) * scale
    bounds = np.cumsum([0, *sizes]).tolist()
    parts = [hour(values[start:end]) for start, end in pairwise(bounds)]
    left = parts[0]
    for part in parts[1:]:
        left = merge(left, part)
    order = rng.permutation(len(parts))
    shuffled = merge(*(parts[i] for i in order))
    right = from_many([to_bytes(parts[i]) for i in order])
    exact = float((values - values[0]).std())
    # A mean is off by EPS * offset at most, which a variance has squared.
    tolerance = max(1e-9, len(values) * (4 * EPS * offset) ** 2)
    for whole in (left, shuffled, right, hour(values)):
        assert sd(whole) == pytest.approx(exact, rel=tolerance, abs=4 * EPS * offset * scale)


def test_a_level_that_jumps_far_away_keeps_its_spread() -> None:
    noise = np.random.default_rng(1).normal(size=5_000)
    later = hour(1e9 + noise, chunk=1)
    both = merge(hour(noise), later)
    seen = hourly(both, ("x",), chunk_start(0), chunk_start(2))
    assert seen.sd[:, 0] == pytest.approx([noise.std(), noise.std()], rel=1e-6)


@pytest.mark.parametrize(
    ("values", "spread"),
    [
        pytest.param(1.7e9 + np.array([0.0, 0.5, 1.5, 2.0]), 0.790569415, id="a time stamp"),
        pytest.param(2.0**53 - np.array([2000.0, 1000.0, 0.0]), 816.496581, id="ids"),
        pytest.param(np.full(7, 0.1), 0.0, id="a constant"),
        pytest.param(np.full(3, 2.0**53), 0.0, id="one id"),
    ],
)
def test_a_standard_deviation_is_right_however_far_from_zero(
    values: Floats, spread: float
) -> None:
    assert sd(hour(values)) == pytest.approx(spread, rel=1e-8)
    assert sd(merge(hour(values[:2]), hour(values[2:]))) == pytest.approx(spread, rel=1e-8)
    assert totals(hour(values)).mean[0] == pytest.approx(values.mean(), rel=1e-15)


def test_missing_values_are_no_part_of_the_spread() -> None:
    values = np.array([np.nan, 1e9, np.inf, 1e9 + 2.0, np.nan])
    assert sd(hour(values)) == 1.0


def test_one_far_value_costs_later_windows_no_digits() -> None:
    values = np.random.default_rng(2).normal(size=(40 * HOURS, 1))
    values[5 * HOURS] += 1e9
    _, found = window_moments(values, 7 * HOURS, HOURS)
    assert found[-1, 0] == pytest.approx(values[-7 * HOURS :].std(), rel=1e-9)


def errors_of(bias: float, scatter: Floats) -> Floats:
    hours = np.repeat(np.arange(HOURS), len(scatter) // HOURS)
    error = (bias + scatter).reshape(-1, 1, 1)
    return residual_sums.sums(error, np.ones(error.shape, dtype=bool), hours)


def test_the_scatter_of_errors_survives_a_large_bias() -> None:
    scatter = np.random.default_rng(3).normal(size=(7, 48))
    cells = [RESIDUALS.from_bytes(RESIDUALS.to_bytes(errors_of(1e4, day))) for day in scatter]
    days = ErrorDays(names=("x+1",), ahead=(1,), first_day=0, cells=np.array(cells))
    _, spread, _ = measure(days, 7, 0.8)
    assert np.exp(spread[0, 0, 0]) == pytest.approx(scatter.std(), rel=1e-2)


def test_stored_errors_of_another_format_are_refused() -> None:
    with pytest.raises(Unprocessable, match="another format"):
        RESIDUALS.from_bytes(b"\0" * 400)
