"""Metrics in text are those of the client library of Prometheus."""

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from services.read_models.exposition import Counter, Gauge, Histogram

TEXTS = [
    "plain",
    'with "quotes"',
    "two\nlines",
    "back\\slash",
    "\\n",
    "100 %s",
    "",
    "größe,{}=",
]
NUMBERS = [0.0, 1, -2.5, 1e-9, 123_456_789.25, 1e21, math.inf, -math.inf, math.nan]


def text_of_library(metric: Metric, is_open: bool = False) -> str:
    class Once:
        def collect(self) -> list[Metric]:
            return [metric]

    registry = CollectorRegistry()
    registry.register(Once())
    return (open_metrics if is_open else generate_latest)(registry).decode()


def parsed(text: str) -> list[tuple[str, str, str, list[tuple[str, dict[str, str], str]]]]:
    return [
        (
            family.name,
            family.type,
            family.documentation,
            [(one.name, one.labels, repr(one.value)) for one in family.samples],
        )
        for family in text_string_to_metric_families(text)
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"), [(Gauge, GaugeMetricFamily), (Counter, CounterMetricFamily)]
)
def test_any_label_and_any_number_is_read_as_from_the_client_library(
    ours: type[Gauge], theirs: type[GaugeMetricFamily]
) -> None:
    one = ours("size_bytes", "Its size.", labels=["model", "store"])
    other = theirs("size_bytes", "Its size.", labels=["model", "store"])
    for text in TEXTS:
        for number in NUMBERS:
            one.add_metric([text, "disk"], number)
            other.add_metric([text, "disk"], number)
    assert parsed(one.text()) == parsed(text_of_library(other))
    ((_, _, _, samples),) = parsed(one.text())
    assert {labels["model"] for _, labels, _ in samples} == {*TEXTS}


def test_a_metric_without_labels_or_samples_is_read_as_from_the_client_library() -> None:
    pairs = [
        (Gauge("up", "Whether.", value=1), GaugeMetricFamily("up", "Whether.", value=1)),
        (Gauge("no", "None.", labels=["a"]), GaugeMetricFamily("no", "None.", labels=["a"])),
        (Counter("rows", "All.", value=7), CounterMetricFamily("rows", "All.", value=7)),
    ]
    for ours, theirs in pairs:
        assert ours.text() == text_of_library(theirs)
        assert ours.text(is_open=True) + "# EOF\n" == text_of_library(theirs, is_open=True)


def test_a_sample_with_too_few_labels_is_an_error() -> None:
    gauge = Gauge("size_bytes", "Its size.", labels=["model", "store"])
    with pytest.raises(TypeError):
        gauge.add_metric(["a"], 1)


@pytest.mark.parametrize("is_open", [False, True])
def test_a_histogram_is_read_in_both_formats(is_open: bool) -> None:
    one = Histogram("wait_seconds", "Wait.", labels=["model"])
    for text in TEXTS:
        one.add_buckets([text], [(0.1, 2), (1e-5 + 1, 5)], 6)
    read = open_families if is_open else text_string_to_metric_families
    [family] = read(one.text(is_open) + ("# EOF\n" if is_open else ""))
    assert family.type == "histogram"
    assert {each.labels["model"] for each in family.samples} == {*TEXTS}
    samples = [(each.name, each.labels.get("le"), each.value) for each in family.samples[:3]]
    assert samples == [
        ("wait_seconds_bucket", "0.1", 2),
        ("wait_seconds_bucket", "1.00001", 5),
        ("wait_seconds_bucket", "+Inf", 6),
    ]
