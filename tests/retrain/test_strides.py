"""Decision 7: a season must not decide which hours of the day are learned."""

import numpy as np
import pytest

from retrain.plan import STRIDES
from retrain.windows import spread

DAY = 24


@pytest.mark.parametrize("stride", STRIDES)
def test_windows_start_at_every_hour_of_the_day(stride: int) -> None:
    windows = spread(1, 96, 96 + DAY * stride, stride)
    assert np.array_equal(np.unique(windows.origin % DAY), np.arange(DAY))


def test_a_stride_that_divides_the_day_would_see_few_of_its_hours() -> None:
    """The control: what decision 7 was made for."""
    windows = spread(1, 96, 96 + DAY * 12, 12)
    assert len(np.unique(windows.origin % DAY)) == 2
