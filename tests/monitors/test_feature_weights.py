from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.durations import DAY
from monitors.drift import input_drift, input_drift_baseline
from monitors.drift.input_drift_baseline import InputDriftParams
from monitors.false_alarms.warm_up import WarmingUp
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats
from monitors.temporal import panel
from monitors.temporal.panel import TemporalPatternParams
from tests.monitors.streams import days, grid, plant

N_REFERENCE, N_DAYS = 200, 230
METHODS = [
    pytest.param(input_drift, InputDriftParams, id="input_drift"),
    pytest.param(panel, TemporalPatternParams, id="panel"),
]
NAMES = grid(plant(1)).names


def evaluations(room: Any, params: Callable[..., Any], stream: Floats, **weights: Any) -> Any:
    """Learn from the first days, and look at the others."""
    reference = grid(stream[: N_REFERENCE * HOURS])
    fit = input_drift_baseline.fit if room is input_drift else room.fit
    baseline = fit(reference, params(window=3 * DAY, **weights))
    assert not isinstance(baseline, WarmingUp)
    return room.evaluate_days(baseline, days(grid(stream), N_REFERENCE + 3, N_DAYS))


@pytest.mark.parametrize(("room", "params"), METHODS)
def test_a_weight_multiplies_the_scores_of_its_feature(
    room: Any, params: Callable[..., Any]
) -> None:
    plain = evaluations(room, params, plant(N_DAYS))
    weighed = evaluations(room, params, plant(N_DAYS), feature_weights={NAMES[1]: 2.0})
    assert np.allclose(weighed.scores[:, 1], 2 * plain.scores[:, 1], equal_nan=True)
    assert np.array_equal(weighed.scores[:, 2:], plain.scores[:, 2:], equal_nan=True)


@pytest.mark.parametrize(("room", "params"), METHODS)
def test_what_weighs_nothing_is_not_evaluated(room: Any, params: Callable[..., Any]) -> None:
    stream = plant(N_DAYS)
    broken = stream.copy()
    broken[220 * HOURS :, 0] = np.repeat(broken[220 * HOURS :: 4, 0], 4) * 3
    without = {"feature_weights": {NAMES[0]: 0.0}}
    quiet = evaluations(room, params, stream, **without).joint
    assert evaluations(room, params, broken).joint[-1] > 2 * quiet[-1]
    if room is input_drift:  # the panel evaluates each together with the others
        assert np.array_equal(evaluations(room, params, broken, **without).joint, quiet)


def test_a_view_can_weigh_nothing() -> None:
    found = evaluations(
        panel, TemporalPatternParams, plant(N_DAYS), view_weights={"arrival": 0.0}
    )
    names = [view.name for view in panel.panel_views()]
    assert (found.scores[..., names.index("arrival")] == 0).all()
    assert (found.scores[..., names.index("spectrum")] > 0).any()


@pytest.mark.parametrize(
    ("params", "weights", "reason"),
    [
        pytest.param(
            InputDriftParams, {"feature_weights": {"a": -1.0}}, "negative", id="negative"
        ),
        pytest.param(
            TemporalPatternParams,
            {"feature_weights": {"a": float("inf")}},
            "infinite",
            id="infinite",
        ),
        pytest.param(
            TemporalPatternParams,
            {"view_weights": {"smell": 1.0}},
            "known: daily_profile",
            id="unknown",
        ),
        pytest.param(
            TemporalPatternParams,
            {"view_weights": {view.name: 0.0 for view in panel.panel_views()}},
            "no view is left",
            id="none left",
        ),
    ],
)
def test_weights_that_mean_nothing_are_refused(
    params: Callable[..., Any], weights: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        params(**weights)
