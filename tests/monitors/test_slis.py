"""What the built-in SLIs call good, bad and unknown."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from core.durations import HOUR
from core.schema.rows import Kind
from core.window import Window
from lake.lists import micros
from monitors.slo import sli
from services.aggregation import serving
from tests.streams import START, event, prediction, table

WINDOW = Window(START, START + HOUR)
TIMED = {"type": "cold_start"}
RESOURCES: dict[str, Any] = {"type": "resources"}


def counts(
    name: str, kind: Kind, rows: list[dict[str, Any]], **params: Any
) -> tuple[int, int, int]:
    """Return how many of some rows, a second after each other, are good, bad and unknown."""
    make = event if kind is Kind.EVENTS else prediction
    made = [make(START + timedelta(seconds=i), i, **row) for i, row in enumerate(rows)]
    of = table(kind, made)
    found = serving.count(of, micros(of["at"]), kind)
    one = sli.find(name)
    if one.stream.name not in found:
        return 0, 0, 0
    counted = found[one.stream.name].within(WINDOW)
    good, bad, unknown = one.count(counted, sli.parse(name, params))
    return good, bad, unknown


STATUSES = [{"status": status} for status in ("ok", "error", "timeout", "degraded", "degraded")]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, (3, 2, 0)),
        ({"degraded": "bad"}, (1, 4, 0)),
        ({"degraded": "unknown"}, (1, 2, 2)),
    ],
)
def test_a_degraded_prediction_is_good_bad_or_apart(
    params: Mapping[str, Any], expected: tuple[int, int, int]
) -> None:
    assert counts("availability", Kind.PREDICTIONS, STATUSES, **params) == expected


@pytest.mark.parametrize(
    ("name", "event_type", "seconds", "expected"),
    [
        ("cold_start", "cold_start", [0.2, 0.99, 1.0, 30.0], (2, 2, 0)),
        ("model_load", "load", [0.2, 4.9, 5.1, 30.0], (2, 2, 0)),
        ("state_restore", "restore", [0.2, 4.9, 5.1, 30.0], (2, 2, 0)),
    ],
)
def test_a_duration_is_bad_from_its_limit_on(
    name: str, event_type: str, seconds: list[float], expected: tuple[int, int, int]
) -> None:
    rows = [{"type": event_type, "duration_seconds": one} for one in seconds]
    others = [{"type": "checkpoint", "duration_seconds": 99.0}]
    assert counts(name, Kind.EVENTS, rows + others) == expected
    assert sum(counts(name, Kind.EVENTS, rows, slower_than="PT60S")[1:]) == 0


def test_a_sample_is_bad_where_one_resource_reaches_its_limit() -> None:
    rows = [
        RESOURCES | {"cpu_share": 0.5, "memory_share": 0.89},
        RESOURCES | {"cpu_share": 0.9},
        RESOURCES | {"gpu_share": 0.94},
        RESOURCES | {"gpu_share": 1.0, "cpu_share": 0.1},
        RESOURCES | {"memory_share": 0.9},
    ]
    assert counts("saturation", Kind.EVENTS, rows) == (2, 3, 0)
    assert counts("saturation", Kind.EVENTS, rows, cpu=0.95, memory=0.95) == (4, 1, 0)


@pytest.mark.parametrize(
    ("name", "event_type"), [("out_of_memory", "out_of_memory"), ("restarts", "restart")]
)
def test_ten_seconds_with_an_interruption_are_bad(name: str, event_type: str) -> None:
    rows = [RESOURCES | {"cpu_share": 0.1} for _ in range(30)]
    rows[12] = {"type": event_type}
    assert counts(name, Kind.EVENTS, rows) == (2, 1, 0)


def test_a_queue_is_counted_of_predictions_and_of_events() -> None:
    lengths = [{"queue_length": 10}] * 10 + [{"queue_length": 11}] + [{}] * 20
    assert counts("queue_length", Kind.PREDICTIONS, lengths) == (1, 1, 0)
    samples = [{"type": "queue", **one} for one in lengths if one]
    assert counts("queue_length", Kind.EVENTS, samples) == (1, 1, 0)
    assert counts("queue_length", Kind.PREDICTIONS, lengths, longer_than=11) == (2, 0, 0)


def test_a_prediction_without_a_cost_is_not_counted() -> None:
    rows: list[dict[str, Any]] = [{"cost": 0.001}, {"cost": 0.5}, {}]
    assert counts("cost", Kind.PREDICTIONS, rows) == (1, 1, 0)
