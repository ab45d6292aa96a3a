import numpy as np
import pytest
from numpy.typing import NDArray

from retrain.windows import join, spread, whole

N_ENTITIES, N_STEPS, INPUT, HORIZON = 2, 40, 6, 3


def _series() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inputs = np.zeros((N_ENTITIES, N_STEPS, 2))
    return inputs, inputs.copy()


def test_windows_of_a_whole_series_all_fit() -> None:
    inputs, targets = _series()
    windows = whole(spread(N_ENTITIES, 0, N_STEPS, 1), inputs, targets, INPUT, HORIZON)
    assert len(windows) == N_ENTITIES * (N_STEPS - INPUT - HORIZON + 1)
    assert windows.origin.min() == INPUT
    assert windows.origin.max() == N_STEPS - HORIZON


@pytest.mark.parametrize("gap", [0, INPUT, 20, N_STEPS - 1])
def test_a_window_with_a_hole_in_its_input_is_left_out(gap: int) -> None:
    inputs, targets = _series()
    inputs[1, gap, 1] = np.nan
    windows = whole(spread(N_ENTITIES, 0, N_STEPS, 1), inputs, targets, INPUT, HORIZON)
    over_the_hole = (windows.origin - INPUT <= gap) & (gap < windows.origin)
    assert set(windows.entity[over_the_hole]) <= {0}
    everywhere = N_STEPS - INPUT - HORIZON + 1
    lost = sum(
        INPUT <= origin <= N_STEPS - HORIZON for origin in range(gap + 1, gap + 1 + INPUT)
    )
    assert (windows.entity == 1).sum() == everywhere - lost


def test_a_window_may_lack_labels_but_not_all_of_them() -> None:
    inputs, targets = _series()
    targets[:, 20:24] = np.nan
    windows = whole(spread(N_ENTITIES, 0, N_STEPS, 1), inputs, targets, INPUT, HORIZON)
    lost = set(range(INPUT, N_STEPS - HORIZON + 1)) - set(windows.origin.tolist())
    assert lost == {20, 21}


def test_an_empty_range_has_no_windows() -> None:
    assert len(spread(3, 10, 5, 2)) == 0
    assert len(join(spread(3, 10, 5, 2), spread(3, 0, 4, 2))) == 6
