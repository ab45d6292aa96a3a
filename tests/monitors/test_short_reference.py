import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from core.durations import DAY
from core.window import Window
from monitors.baselines.daily_evaluations import no_data
from monitors.drift.input_drift import DriftDetail
from monitors.drift.short_reference import with_first_impression
from monitors.finding import Finding
from monitors.summaries.daily import Daily, daily
from monitors.summaries.summary import Edges, Floats, chunk_at, freeze
from monitors.summaries.values import Column, summarise
from tests.monitors.streams import ar1

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("load", "wind")
N_REFERENCE, N_NOW = 40, 7


def on_days(stream: Floats, n_reference: int) -> tuple[Daily, Daily, Edges]:
    """Return the window, the reference before it, and the edges of both."""
    reference = n_reference * 24
    edges = freeze({name: stream[:reference, i] for i, name in enumerate(NAMES)})
    hours = chunk_at(START) + np.arange(len(stream))
    still = np.zeros(len(stream), dtype=bool)
    columns = [Column(values=values, chunks=hours, repeats=still) for values in stream.T]
    summary = summarise(columns, edges)
    middle = START + n_reference * DAY
    end = START + len(stream) // 24 * DAY
    return daily(summary, NAMES, middle, end), daily(summary, NAMES, START, middle), edges


def warming_up() -> Finding:
    found = no_data(Window(START, START + DAY), "warming up: 5 of 19 windows of 7 days")
    return replace(found, detail=DriftDetail())


def test_the_feature_that_moved_most_is_named_and_nobody_is_called() -> None:
    stream = ar1(0.5, ((N_REFERENCE + N_NOW) * 24, 2), 6)
    stream[N_REFERENCE * 24 :, 1] += 1.5
    found = with_first_impression(warming_up(), *on_days(stream, N_REFERENCE))
    assert found.outcome == warming_up().outcome
    assert found.cause.startswith(
        "warming up: 5 of 19 windows of 7 days; so far wind moved most"
    )
    assert "its median by +1.48" in found.cause
    assert found.cause.endswith("(bootstrap, provisional, no season modelled: never alerts)")
    provisional = found.detail.to_json()["provisional"]
    assert isinstance(provisional, dict)
    assert provisional["top"] == "wind"
    assert provisional["p"] < 0.01
    wind = provisional["features"]["wind"]
    assert wind["median_low"] < 1.5 < wind["median_high"]
    assert wind["p"] < 0.01 < provisional["features"]["load"]["p"]
    assert json.loads(json.dumps(provisional, allow_nan=False)) == provisional


def test_before_two_weeks_there_is_no_provisional_finding() -> None:
    stream = ar1(0.5, ((5 + N_NOW) * 24, 2), 7)
    assert with_first_impression(warming_up(), *on_days(stream, 5)) == warming_up()
