import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitors.summaries.binning import Bins

Floats = NDArray[np.float64]

MANY = 10_000
RNG = np.random.default_rng(1)
TINY, HUGE = np.finfo(float).tiny, 1e150

EDGES = [
    pytest.param(np.linspace(-1.0, 1.0, 33), id="even"),
    pytest.param(np.sort(RNG.normal(size=33)), id="normal"),
    pytest.param(np.exp(3 * np.sort(RNG.normal(size=33))), id="a far tail"),
    pytest.param(np.exp(40 * np.sort(RNG.normal(size=33))), id="a tail beyond all cells"),
    pytest.param(np.repeat([0.0, 1.0, 5.0], [20, 10, 3]), id="counts"),
    pytest.param(np.zeros(33), id="all equal"),
    pytest.param(np.array([2.0]), id="one"),
    pytest.param(np.array([-HUGE, 0.0, HUGE]), id="huge"),
    pytest.param(np.array([0.0, TINY, 2 * TINY]), id="tiny"),
    pytest.param(np.nextafter(1.0, [0, 1, 2]), id="neighbours"),
]


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("n_values", [1, MANY])
def test_bins_are_those_that_a_search_finds(edges: Floats, n_values: int) -> None:
    beside = [edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)]
    extreme = [[0.0, -0.0, np.inf, -np.inf, HUGE, -HUGE, TINY], RNG.normal(size=1000)]
    values = np.concatenate([*beside, *extreme])
    found = Bins(edges, n_values).of(values)
    assert np.array_equal(found, np.searchsorted(edges, values, side="right"))


numbers = st.floats(-HUGE, HUGE)


@given(edges=st.lists(numbers, min_size=1, max_size=40), values=st.lists(numbers, min_size=1))
def test_whatever_the_edges(edges: list[float], values: list[float]) -> None:
    ascending = np.sort(edges)
    every = np.array([*values, *edges])
    found = Bins(ascending, MANY).of(every)
    assert np.array_equal(found, np.searchsorted(ascending, every, side="right"))
