"""Rules for Prometheus of an SLO: names and numbers."""

import re
from typing import Any

from core.durations import DAY
from monitors.slo.objective import BurnRateParams
from monitors.slo.prometheus_rules import rules


def every(params: BurnRateParams) -> dict[str, list[Any]]:
    found = rules("load", "availability", params)["groups"]
    return {group["name"].split("-")[1]: group["rules"] for group in found}


def test_sloth_s_window_factors_are_limits_of_the_error_ratio() -> None:
    [page, ticket] = every(BurnRateParams(objective=0.999))["alerts"]
    limits = [re.findall(r"> ([\d.]+)\)", alert["expr"]) for alert in (page, ticket)]
    assert limits == [
        ["0.0144", "0.0144", "0.006", "0.006"],
        ["0.003", "0.003", "0.001", "0.001"],
    ]
    assert [one["labels"]["severity"] for one in (page, ticket)] == ["page", "ticket"]


def test_no_number_has_the_noise_of_a_float() -> None:
    groups = every(BurnRateParams(objective=0.999))
    values = {rule["record"]: rule["expr"] for rule in groups["meta"]}
    assert values["slo:objective:ratio"] == "vector(0.999)"
    assert values["slo:error_budget:ratio"] == "vector(0.001)"
    assert values["slo:time_period:days"] == "vector(30)"


def test_sloth_231_a_window_without_events_has_no_sample_instead_of_nan() -> None:
    for rule in every(BurnRateParams())["sli"]:
        assert rule["expr"].endswith(" > 0)")


def test_the_period_is_a_quotient_of_counts_and_no_mean_of_quotients() -> None:
    sli = every(BurnRateParams(period=28 * DAY))["sli"]
    assert sli[-1]["record"] == "slo:sli_error:ratio_rate28d"
    assert "avg_over_time" not in sli[-1]["expr"]
    assert "[28d]" in sli[-1]["expr"]


def test_names_are_quoted() -> None:
    text = str(rules('a"b', "s\\l", BurnRateParams())["groups"])
    assert 'model="a\\\\"b"' in text
