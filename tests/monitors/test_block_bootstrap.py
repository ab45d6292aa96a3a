import math

import numpy as np
import pytest

from monitors.statistics.block_bootstrap import MIN_DAYS, Resampled, block_length, resampled
from monitors.statistics.distances import borders
from monitors.summaries.summary import Edges, Floats, freeze
from tests.monitors.streams import ar1

WINDOW = 7  # days


# The `stationary` column of arch 8.0.0's optimal_block_length on the same series.
@pytest.mark.parametrize(
    ("phi", "n", "seed", "expected"),
    [
        (0.0, 500, 1, 1.4923439787374408),
        (0.5, 500, 2, 7.126535778798472),
        (0.9, 500, 3, 30.308079846651342),
        (0.5, 60, 4, 4.458726440005001),
        (0.9, 60, 5, 6.208127425671205),
        (0.9, 21, 6, 2.5977572543807947),
        (0.8, 126, 7, 8.604514853379237),
        (0.97, 126, 8, 16.837432702341115),
    ],
)
def test_blocks_are_as_long_as_those_of_another_implementation(
    phi: float, n: int, seed: int, expected: float
) -> None:
    assert block_length(ar1(phi, (n,), seed)) == pytest.approx(expected, rel=1e-9)


def test_a_series_that_never_moves_needs_no_blocks() -> None:
    assert block_length(np.ones(30)) == 1.0


def counted(values: Floats, edges: Edges) -> Floats:
    """Return the values of each day per feature and bin, an hour a value."""
    n_bins = edges.values.shape[1] + 1
    columns = []
    for i in range(values.shape[1]):
        at = np.searchsorted(edges.values[i], values[:, i], side="right").reshape(-1, 24)
        columns.append([np.bincount(day, minlength=n_bins) for day in at])
    return np.array(columns, dtype=float).swapaxes(0, 1)


def asked(values: Floats, n_days: int) -> Resampled:
    """Ask of the last days, behind a reference of `n_days`."""
    before = values[: n_days * 24]
    edges = freeze({f"x{i}": before[:, i] for i in range(values.shape[1])})
    days = counted(values, edges)
    around = borders(edges.values, values.min(axis=0), values.max(axis=0))
    return resampled(days[n_days:], days[:n_days], around)


def test_the_feature_that_moved_is_on_top_with_the_interval_of_its_shift() -> None:
    x = ar1(0.5, ((60 + WINDOW) * 24, 3), 1)
    x[60 * 24 :, 1] += 1.0
    found = asked(x, 60)
    assert (found.top, found.p) == (1, 1 / 400)
    assert found.low[1] < 1.0 < found.high[1]
    assert found.low[1] > 0.5
    assert (found.wasserstein_p[[0, 2]] > 0.05).all()


def test_what_befalls_all_features_alike_counts_once() -> None:
    x = ar1(0.5, ((60 + WINDOW) * 24, 1), 2)
    x[60 * 24 :] += 0.25
    alone, many = asked(x, 60), asked(np.repeat(x, 20, axis=1), 60)
    assert many.p == alone.p == alone.wasserstein_p[0]


def test_a_spread_that_grew_moves_no_median() -> None:
    x = ar1(0.3, ((60 + WINDOW) * 24, 1), 3)
    x[60 * 24 :] *= 2
    found = asked(x, 60)
    assert found.wasserstein_p[0] < 0.01
    assert found.median_p[0] > 0.05


def test_the_same_question_has_the_same_answer() -> None:
    x = ar1(0.5, ((30 + WINDOW) * 24, 2), 4)
    first, again = asked(x, 30), asked(x, 30)
    assert first.p == again.p
    assert (first.median == again.median).all()


GRID = np.array([[0.0, 1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("current", "reference"),
    [
        pytest.param(np.zeros((7, 1, 3)), np.ones((30, 1, 3)), id="an empty window"),
        pytest.param(np.ones((7, 1, 3)), np.ones((MIN_DAYS - 1, 1, 3)), id="too few days"),
        pytest.param(np.ones((7, 1, 3)), np.zeros((30, 1, 3)), id="an empty reference"),
        pytest.param(
            np.tile([0.0, 5.0, 0.0], (7, 1, 1)),
            np.tile([0.0, 9.0, 0.0], (30, 1, 1)),
            id="one bin",
        ),
        pytest.param(np.ones((0, 1, 3)), np.ones((30, 1, 3)), id="no day"),
    ],
)
def test_where_nothing_can_be_tested(current: Floats, reference: Floats) -> None:
    found = resampled(current, reference, GRID)
    assert found.top is None
    assert math.isnan(found.p)
    assert np.isnan(found.wasserstein_p).all()


def test_days_without_a_value_do_no_harm() -> None:
    x = ar1(0.5, ((40 + WINDOW) * 24, 2), 5)
    edges = freeze({f"x{i}": x[:, i] for i in range(2)})
    days = counted(x, edges)
    days[:25:2, 0] = 0.0
    around = borders(edges.values, x.min(axis=0), x.max(axis=0))
    found = resampled(days[40:], days[:40], around)
    assert np.isfinite(found.wasserstein_p).all()
    assert found.p > 0.05


def rates(phi: float, n_days: int, shift: float, n: int) -> tuple[float, float]:
    """Return how often the last week is called at 5 %, and its interval holds the shift."""
    n_called = n_held = 0
    for no in range(n):
        x = ar1(phi, ((n_days + WINDOW) * 24, 1), 7000 + no)
        x[n_days * 24 :] += shift
        found = asked(x, n_days)
        n_called += found.p < 0.05
        n_held += bool(found.low[0] <= shift <= found.high[0])
    return n_called / n, n_held / n


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("n_days", [21, 42, 126])
def test_its_size_is_near_its_nominal_size(phi: float, n_days: int) -> None:
    n = 400
    called, held = rates(phi, n_days, 0.0, n)
    # The docs have .03 to .10 of quiet weeks and .83 to .92 of intervals, of other streams.
    assert 0.03 - 2.6 * math.sqrt(0.03 * 0.97 / n) <= called
    assert called <= 0.10 + 2.6 * math.sqrt(0.1 * 0.9 / n)
    assert abs(held - 0.875) <= 0.045 + 2.6 * math.sqrt(0.875 * 0.125 / n)


@pytest.mark.slow
def test_it_sees_half_a_deviation_where_memory_is_short() -> None:
    assert rates(0.5, 42, 0.5, 150)[0] > 0.9
