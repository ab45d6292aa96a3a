from datetime import timedelta

import numpy as np
import pytest

from core.durations import DAY
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Outcome
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats
from monitors.temporal.panel import TemporalPatternBaseline, TemporalPatternParams, fit
from monitors.temporal.temporal_pattern import evaluate
from tests.monitors.streams import day, days, grid, plant


@pytest.fixture(scope="module")
def stream() -> Floats:
    return plant(230)


@pytest.fixture(scope="module")
def baseline(stream: Floats) -> TemporalPatternBaseline:
    baseline = fit(grid(stream[: 200 * HOURS]), TemporalPatternParams(window=3 * DAY))
    assert isinstance(baseline, TemporalPatternBaseline)
    return baseline


def test_an_unchanged_stream_is_ok(stream: Floats, baseline: TemporalPatternBaseline) -> None:
    found = evaluate(baseline, days(grid(stream), 200, 220), day(220))
    assert (found.outcome, found.cause, found.detail.since) == (Outcome.OK, "", None)
    assert found.window.end - found.window.start == timedelta(days=3)


def test_a_held_sensor_is_named_with_what_it_does_and_since_when(
    stream: Floats, baseline: TemporalPatternBaseline
) -> None:
    held = stream.copy()
    held[216 * HOURS :, 2] = np.repeat(held[216 * HOURS :: 2, 2], 2)
    found = evaluate(baseline, days(grid(held), 203, 220), day(220))
    assert found.outcome is Outcome.BREACH
    assert found.cause.startswith("f2: mean of the hour before repeated more often")
    assert (found.detail.top, found.detail.to_json()["view"]) == ("f2", "first_difference")
    assert found.detail.since is not None
    assert day(216) <= found.detail.since <= day(218)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        pytest.param(217, 220, "shorter than a window", id="too short"),
        pytest.param(200, 215, "shorter than a window", id="it stopped"),
        pytest.param(220, 220, "shorter than a window", id="nothing at all"),
    ],
)
def test_without_a_window_there_is_no_data(
    stream: Floats, baseline: TemporalPatternBaseline, start: int, end: int, reason: str
) -> None:
    found = evaluate(baseline, days(grid(stream), start, end), day(220))
    assert found.outcome is Outcome.NO_DATA
    assert reason in found.cause


def test_an_empty_window_is_no_data(stream: Floats, baseline: TemporalPatternBaseline) -> None:
    gone = stream.copy()
    gone[216 * HOURS :] = np.nan
    found = evaluate(baseline, days(grid(gone), 200, 220), day(220))
    assert found.outcome is Outcome.NO_DATA
    assert "fewer than half" in found.cause


def test_a_short_reference_is_warming_up(stream: Floats) -> None:
    warming_up = WarmingUp(n_windows=12, window_days=3)
    found = evaluate(warming_up, days(grid(stream), 200, 220), day(220))
    assert (found.outcome, found.cause) == (Outcome.NO_DATA, str(warming_up))
