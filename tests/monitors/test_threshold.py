import math

import numpy as np
import pytest

from monitors.false_alarms.threshold import episodes, fit_threshold, p_value, symmetric_distance


@pytest.mark.parametrize(
    ("breaches", "gap", "n"),
    [
        pytest.param([0, 0, 0], 2, 0, id="quiet"),
        pytest.param([1, 1, 1], 2, 1, id="a run is one"),
        pytest.param([1, 0, 0, 1], 2, 2, id="a gap of three evaluations parts two"),
        pytest.param([1, 0, 1], 2, 1, id="a shorter gap does not"),
    ],
)
def test_episodes(breaches: list[int], gap: int, n: int) -> None:
    assert episodes(np.array(breaches, dtype=bool), gap) == n


@pytest.mark.parametrize(
    ("values", "p"),
    [
        pytest.param([1.0, 2.0, 3.0, 9.0], 0.25, id="the largest of four"),
        pytest.param([1.0, 2.0, 3.0, 0.0], 1.0, id="the smallest"),
        pytest.param([1.0, math.nan, 3.0, 9.0], 1 / 3, id="a window without data is no rival"),
        pytest.param([5.0, 5.0], 1.0, id="a tie is not unusual"),
        pytest.param([1.0, math.nan], math.nan, id="nothing to evaluate"),
    ],
)
def test_p_value(values: list[float], p: float) -> None:
    assert p_value(np.array(values)) == pytest.approx(p, nan_ok=True)


def test_no_window_is_special() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    order = rng.permutation(20)
    np.testing.assert_allclose(
        symmetric_distance(first, second)[order],
        symmetric_distance(first[order], second[order]),
    )


def test_a_feature_that_never_moved_gives_zero_and_not_nan() -> None:
    assert (symmetric_distance(np.ones((5, 1)), np.ones((5, 1))) == 0).all()


def test_a_longer_promise_is_a_higher_threshold() -> None:
    scores = np.random.default_rng(1).exponential(size=1000)
    found = [fit_threshold(scores, days, gap=7) for days in (20, 90, 365, 1000, 5000)]
    thresholds = [one.value for one in found]
    assert thresholds == sorted(thresholds)
    assert [one.extrapolated for one in found] == [False, False, False, True, True]
    assert all(one.replayed_episodes <= 1000 / one.promised_days for one in found)


def test_the_threshold_does_not_jump_where_extrapolation_begins() -> None:
    scores = np.random.default_rng(2).exponential(size=1000)
    shown, stretched = (fit_threshold(scores, days, gap=7).value for days in (621, 622))
    assert shown == pytest.approx(stretched, rel=0.01)


def test_without_evaluations_nothing_can_be_promised() -> None:
    with pytest.raises(ValueError, match="no evaluation"):
        fit_threshold(np.array([math.nan]), 90.0, 7)
