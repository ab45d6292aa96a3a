from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from retrain import plan
from retrain.plan import MAX_WINDOWS, Plan, Sizes
from retrain.windows import Windows

SIZES = Sizes(input_length=96, horizon=24, day=24)
N_ENTITIES, N_STEPS = 3, 200 * 24
END = N_STEPS - 48


@pytest.fixture(scope="module")
def series() -> NDArray[np.float64]:
    return np.zeros((N_ENTITIES, N_STEPS, 2))


def _targets(windows: Windows) -> set[int]:
    return {int(o) + step for o in np.unique(windows.origin) for step in range(SIZES.horizon)}


def _assert_in_order(planned: Plan) -> None:
    parts = (planned.learn, planned.validate, planned.gate)
    assert all(len(part) for part in parts)
    for earlier, later in combinations(parts, 2):
        assert max(_targets(earlier)) < min(_targets(later))
    assert max(_targets(planned.gate)) < END
    assert planned.gate.origin.min() >= planned.gate_start


def test_a_first_version_is_evaluated_on_what_came_later(series: NDArray[np.float64]) -> None:
    planned = plan.first(series, series, END, SIZES)
    _assert_in_order(planned)
    assert len(planned.learn) <= MAX_WINDOWS


@pytest.mark.parametrize("days_since", [8, 10, 14, 17, 40])
def test_a_renewal_is_evaluated_on_what_came_later(
    series: NDArray[np.float64], days_since: int
) -> None:
    onset = END - days_since * 24 - 5
    planned = plan.renewal(series, series, onset, 4, END, SIZES)
    _assert_in_order(planned)
    assert planned.gate_start == END - 4 * 24


def test_a_renewal_learns_the_new_and_replays_the_old(series: NDArray[np.float64]) -> None:
    onset = END - 17 * 24
    learn = plan.renewal(series, series, onset, 4, END, SIZES).learn
    old, new = learn.origin < onset, learn.origin >= onset
    assert (learn.origin[old] + SIZES.horizon <= onset).all(), "the old must not hold the new"
    assert (learn.origin[new] >= onset + SIZES.day).all(), "a mixed context teaches neither"
    assert old.sum() > 500
    assert new.sum() > 500


def test_every_season_is_tested_by_a_network_that_has_not_seen_it(
    series: NDArray[np.float64],
) -> None:
    tested: set[int] = set()
    for learn, validate, test in plan.folds(series, series, END, SIZES):
        seen = {
            int(o) + step
            for part in (learn, validate)
            for o in np.unique(part.origin)
            for step in range(-SIZES.input_length, SIZES.horizon)
        }
        assert not seen & _targets(test)
        assert not _targets(learn) & _targets(validate)
        assert not tested & set(test.origin.tolist())
        tested |= set(test.origin.tolist())
    assert min(tested) == SIZES.input_length
    assert max(tested) > END - 2 * SIZES.horizon


@pytest.mark.parametrize("n_steps", [130, 300])
def test_a_log_too_short_for_folds_leaves_nothing_to_learn(n_steps: int) -> None:
    short = np.zeros((1, n_steps, 1))
    cuts = plan.folds(short, short, n_steps, SIZES)
    assert not all(len(learn) for learn, _, _ in cuts)


def test_a_log_too_short_for_a_plan_has_no_windows() -> None:
    short = np.zeros((1, 50, 1))
    planned = plan.first(short, short, 50, SIZES)
    assert (len(planned.learn), len(planned.validate), len(planned.gate)) == (0, 0, 0)


@pytest.mark.parametrize("n_steps", [150, 350, 360])
def test_a_log_too_short_for_folds_has_no_windows_to_learn_from(n_steps: int) -> None:
    short = np.zeros((2, n_steps, 1))
    cuts = plan.folds(short, short, n_steps, SIZES)
    assert any(len(learn) == 0 for learn, _, _ in cuts)
