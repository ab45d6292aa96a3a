import math

import numpy as np
import pytest

from monitors.statistics.false_discovery_rate import WRONG_SHARE, moved
from monitors.summaries.summary import Bools, Floats

N_EVALUATIONS = 400
BASELINE = np.tile(np.linspace(0.0, 1.0, N_EVALUATIONS)[:, np.newaxis], 4)
NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([0.5, 0.5, 0.5, 0.5], [], id="nothing"),
        pytest.param([3.0, 0.5, 0.5, 0.5], [0], id="one"),
        pytest.param([3.0, 0.99, 0.5, 0.5], [0, 1], id="one below the limit, too"),
        pytest.param([0.99, 0.5, 0.5, 0.5], [0], id="far for its own past"),
        pytest.param([NAN, 3.0, NAN, 0.5], [1], id="no data is not named"),
        pytest.param([NAN] * 4, [], id="no data at all"),
    ],
)
def test_who_is_named(scores: list[float], expected: list[int]) -> None:
    found = moved(np.array(scores), BASELINE, limit=2.0)
    assert np.flatnonzero(found).tolist() == expected


def test_a_past_too_short_for_a_list_still_names_what_is_above_the_limit() -> None:
    short, scores = BASELINE[:: N_EVALUATIONS // 5], np.array([3.0, 1.5, 0.5, 0.5])
    assert np.flatnonzero(moved(scores, short, limit=2.0)).tolist() == [0]


def test_a_past_with_gaps_is_counted_without_them() -> None:
    gaps = BASELINE.copy()
    gaps[::2, 1] = NAN
    gaps[:, 2] = NAN
    found = moved(np.array([0.5, 3.0, 3.0, 0.5]), gaps, limit=9.0)
    assert np.flatnonzero(found).tolist() == [1]


def one_plant(rng: np.random.Generator, n_moved: int) -> tuple[Bools, Bools]:
    """Return who moved and who is named, of twenty sensors that share half of their mood."""
    shared = rng.normal(size=(N_EVALUATIONS + 1, 1))
    own = rng.normal(size=(N_EVALUATIONS + 1, 20))
    scores: Floats = np.abs(np.sqrt(0.5) * shared + np.sqrt(0.5) * own)
    truly = np.arange(20) < n_moved
    scores[-1, truly] += 4.0
    limit = float(np.quantile(scores[:-1].max(axis=1), 0.99))
    return truly, moved(scores[-1], scores[:-1], limit)


@pytest.mark.parametrize("n_moved", [1, 3, 10])
def test_at_most_a_tenth_of_the_names_are_wrong(n_moved: int) -> None:
    rng, n = np.random.default_rng(16), 600
    wrong, right = [], []
    for _ in range(n):
        truly, named = one_plant(rng, n_moved)
        wrong.append((named & ~truly).sum() / max(named.sum(), 1))
        right.append((named & truly).sum() / n_moved)
    assert np.mean(wrong) <= WRONG_SHARE + 2.6 * np.std(wrong) / math.sqrt(n)
    assert np.mean(right) > 0.9
