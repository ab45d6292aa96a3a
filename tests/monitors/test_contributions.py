"""What the contributions add up to, and what the bars keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_arrays

from monitors.explanation.contributions import (
    Parts,
    bars,
    by_day,
    by_hour,
    category_shares,
    days_moved,
    parts_moved,
)
from monitors.summaries.categories import EDGES
from monitors.summaries.summary import Edges, Floats, Ints, Summary, empty, freeze
from monitors.summaries.totals import totals
from monitors.summaries.values import Column, summarise

COUNTS = of_arrays.arrays(np.float64, 6, elements=st.integers(0, 50).map(float))
MEANS = of_arrays.arrays(np.float64, 6, elements=st.floats(-100, 100))


def window(values: Floats, edges: Edges, hours: Ints | None = None) -> Summary:
    chunks = np.arange(values.size) if hours is None else hours
    flags = np.zeros(values.size, dtype=np.bool_)
    return summarise([Column(values=values, chunks=chunks, repeats=flags)], edges)


def parts(n: Floats, mean: Floats) -> Parts:
    return Parts(n=n, total=n * mean, n_days=1)


def mean(of: Parts) -> float:
    return float(of.total.sum() / of.n.sum())


@given(COUNTS, MEANS, COUNTS, MEANS)
def test_parts_add_up_to_what_the_mean_moved(
    n: Floats, level: Floats, n_before: Floats, level_before: Floats
) -> None:
    now, before = parts(n, level), parts(n_before, level_before)
    moved = parts_moved(now, before)
    if not n.any() or not n_before.any():
        assert np.isnan(moved).all()
        return
    assert moved.sum() == pytest.approx(mean(now) - mean(before), abs=1e-9)
    assert not moved[(n + n_before) == 0].any()
    days = days_moved(now, before)
    assert days.sum() == pytest.approx(mean(now) - mean(before), abs=1e-9)


def test_an_hour_that_only_became_rarer_is_distinguished_from_one_that_rose() -> None:
    before = parts(np.array([1.0, 1.0]), np.array([0.0, 10.0]))
    rose = parts_moved(parts(np.array([1.0, 1.0]), np.array([0.0, 14.0])), before)
    assert rose.tolist() == [0.0, 2.0]
    rarer = parts_moved(parts(np.array([1.0, 3.0]), np.array([0.0, 10.0])), before)
    # Nothing rose: both had their share in it that high values came more often.
    assert rarer.sum() == pytest.approx(2.5)
    assert (rarer > 0).all()


def test_bars_hold_all_values_and_equal_a_histogram() -> None:
    chance = np.random.default_rng(2)
    before, now = chance.normal(0, 1, 20_000), chance.normal(1, 2, 20_000)
    edges = freeze({"x": before})
    found = bars(totals(window(now, edges)), totals(window(before, edges)), edges, 0)
    assert found.current.sum() == pytest.approx(1.0)
    assert found.reference.sum() == pytest.approx(1.0)
    raw, _ = np.histogram(before, found.borders)
    # Within a bin of a 32nd part values are taken as even: no bar is off by more than that.
    assert np.abs(found.reference[1:-1] - raw[1:-1] / before.size).max() < 1 / 32
    assert now.min() < found.borders[0] < np.quantile(before, 0.005)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(np.full(50, 3.0), np.full(9, 3.0), id="a constant"),
        pytest.param(np.full(50, 3.0), np.full(9, 4.0), id="another constant"),
        pytest.param(np.arange(50.0), np.array([1e9]), id="far out"),
        pytest.param(np.repeat([0.0, 1.0], 25), np.array([0.0, 1.0, 1.0]), id="two values"),
    ],
)
def test_bars_of_unexpected_distributions_lose_nothing(before: Floats, now: Floats) -> None:
    edges = freeze({"x": before})
    found = bars(totals(window(now, edges)), totals(window(before, edges)), edges, 0)
    assert (np.diff(found.borders) > 0).all()
    assert found.current.sum() == pytest.approx(1.0)
    assert found.reference.sum() == pytest.approx(1.0)
    assert (found.current >= 0).all()


def test_an_empty_window_has_no_bars_and_the_other_keeps_its_own() -> None:
    edges = freeze({"x": np.arange(100.0)})
    none, some = totals(empty(1, 34)), totals(window(np.arange(100.0), edges))
    found = bars(none, some, edges, 0)
    assert np.isnan(found.current).all()
    assert found.reference.sum() == pytest.approx(1.0)


def test_categories_beyond_the_codes_count_as_one() -> None:
    edges = Edges(names=("area",), values=EDGES[np.newaxis])
    now = totals(window(np.array([0.0, 31.0, 40.0, 50.0]), edges))
    before = totals(window(np.array([2.0]), edges))
    codes, current, reference = category_shares(now, before, 0)
    assert codes.tolist() == [0, 2, 31, 32]
    assert current.tolist() == [0.25, 0.0, 0.25, 0.5]
    assert reference.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_days_without_values_are_days_too() -> None:
    edges = freeze({"x": np.arange(10.0)})
    seen = window(np.array([1.0, 3.0]), edges, hours=np.array([240, 290]))
    days = by_day(seen, 0, first_day=9, n_days=5)
    assert days.n.tolist() == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert by_hour(seen, 0).n_days == 2
