"""OpenSLO v1: what is read means the same when it is written, and what cannot is refused."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
import yaml

from monitors import registry
from monitors.slo.objective import BurnRateParams
from monitors.slo.openslo.reading import read
from monitors.slo.openslo.writing import written

SOURCE = {"type": "seqwatch", "spec": {"sli": "availability"}}
DOCUMENT: dict[str, Any] = {
    "apiVersion": "openslo/v1",
    "kind": "SLO",
    "metadata": {"name": "load-availability", "displayName": "Load"},
    "spec": {
        "service": "load",
        "indicator": {"spec": {"ratioMetric": {"raw": {"metricSource": SOURCE}}}},
        "timeWindow": [{"duration": "4w", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"targetPercent": 99.9}],
    },
}


def parsed(params: Mapping[str, Any]) -> BurnRateParams:
    found = registry.parse("burn_rate", params)
    assert isinstance(found, BurnRateParams)
    return found


NEW_YORK = {"startTime": "2022-01-01 12:00:00", "timeZone": "America/New_York"}


def document(**changes: Any) -> dict[str, Any]:
    found = deepcopy(DOCUMENT)
    for path, value in changes.items():
        at: Any = found["spec"]
        *parts, last = path.split("__")
        for part in parts:
            at = at[int(part) if part.isdecimal() else part]
        at[last] = value
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, {"objective": 0.999, "period": "P28D"}, id="a percentage is exact"),
        pytest.param(
            {"timeWindow": [{"duration": "1M", "calendar": NEW_YORK}]},
            {"calendar": "month", "zone": "America/New_York"},
            id="a month is of the calendar",
        ),
        pytest.param(
            {
                "budgetingMethod": "Timeslices",
                "objectives": [{"target": 0.95, "timeSliceTarget": 0.99, "timeSliceWindow": 5}],
            },
            {"method": "time_slices", "slice_width": "PT5M", "slice_target": 0.99},
            id="a width without unit is in minutes",
        ),
    ],
)
def test_a_document_is_read(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    [slo] = read([document(**changes)])
    assert (slo.name, slo.model) == ("load-availability", "load")
    assert {name: slo.params.get(name) for name in expected} == expected
    assert parsed(slo.params).sli == "availability"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"timeWindow": [{"duration": "1M", "isRolling": True}]},
            "a rolling timeWindow has m, h, d or w, not '1M'",
            id="OpenSLO 267: a month is not 30 days",
        ),
        pytest.param(
            {"timeWindow": [{"duration": "28d", "calendar": NEW_YORK}]},
            "a calendar period is 1w, 1M, 1Q or 1Y, not '28d'",
            id="days have no calendar",
        ),
        pytest.param(
            {"objectives": [{"target": 0.9, "targetPercent": 90}]},
            "either target or targetPercent",
            id="two targets",
        ),
        pytest.param(
            {"objectives": [{"target": 0.9}, {"target": 0.99}]},
            "composite SLOs are not evaluated",
            id="a composite",
        ),
        pytest.param(
            {"indicator__spec__ratioMetric__raw__metricSource": {"type": "Prometheus"}},
            "only 'seqwatch' can be evaluated",
            id="the metric of another product",
        ),
        pytest.param(
            {
                "alertPolicies": [
                    {
                        "kind": "AlertPolicy",
                        "spec": {
                            "conditions": [
                                {
                                    "spec": {
                                        "condition": {
                                            "kind": "burnrate",
                                            "op": "lte",
                                            "threshold": 2,
                                            "lookbackWindow": "1h",
                                        }
                                    }
                                }
                            ]
                        },
                    }
                ]
            },
            "op lte fires while all is well",
            id="a burn rate at most 2, as in the specification's examples",
        ),
        pytest.param(
            {"budgetingMethod": "Timeslices"}, "timeSliceTarget", id="no slice target"
        ),
        pytest.param({"services": "load"}, "unknown field `services`", id="a misspelt field"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match="SLO 'load-availability'") as refused:
        read([document(**changes)])
    assert message in str(refused.value)


def test_every_fault_of_every_document_is_named() -> None:
    others = ["text", {"apiVersion": "openslo/v2"}, DOCUMENT | {"kind": "Slo"}]
    with pytest.raises(ValueError, match="document 1: must be a mapping") as refused:
        read([*others, document(services=1)])
    assert len(str(refused.value).splitlines()) == 4


def test_a_latency_objective_has_its_limit_in_seconds() -> None:
    latency = {"type": "seqwatch", "spec": {"sli": "latency"}}
    indicator = {"spec": {"thresholdMetric": {"metricSource": latency}}}
    objectives = [{"op": "lte", "value": 0.5, "target": 0.99}]
    [slo] = read([document(indicator=indicator, objectives=objectives)])
    assert slo.params["sli_params"] == {"slower_than": "PT0.5S"}


def test_an_indicator_may_be_a_document_of_its_own() -> None:
    sli = DOCUMENT | {
        "kind": "SLI",
        "metadata": {"name": "up"},
        "spec": {"thresholdMetric": {"metricSource": SOURCE}},
    }
    slo = document(indicatorRef="up")
    del slo["spec"]["indicator"]
    assert read([slo, sli])[0].params["sli"] == "availability"
    with pytest.raises(ValueError, match="no SLI 'up' among the documents"):
        read([slo])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"sli": "latency", "sli_params": {"slower_than": "PT0.25S"}, "objective": 0.995},
        {"calendar": "quarter", "zone": "Asia/Kathmandu"},
        {"method": "time_slices", "slice_width": "PT5M", "slice_target": 0.9},
        {"method": "ratio_time_slices", "period": "P90D"},
    ],
)
def test_what_is_written_is_read_again(params: dict[str, Any]) -> None:
    before = parsed(params)
    text = yaml.safe_dump(written("load_slo", "load", before), sort_keys=False)
    [slo] = read(yaml.safe_load_all(text))
    after = parsed(slo.params)
    assert after.share == before.share
    assert (after.sli, after.period, after.calendar, after.zone, after.method) == (
        before.sli,
        before.period,
        before.calendar,
        before.zone,
        before.method,
    )
    if before.sli_params:
        assert after.sli_params == before.sli_params


def test_each_tier_is_an_alert_policy_with_its_short_window() -> None:
    policies = written("slo", "load", BurnRateParams(objective=0.999))["spec"]["alertPolicies"]
    found = [
        (
            policy["spec"]["conditions"][0]["spec"]["condition"]["threshold"],
            policy["spec"]["conditions"][0]["spec"]["condition"]["lookbackWindow"],
            policy["metadata"]["annotations"]["seqwatch/short-window"],
        )
        for policy in policies
    ]
    assert found == [
        (14.4, "1h", "5m"),
        (6.0, "6h", "30m"),
        (3.0, "1d", "2h"),
        (1.0, "3d", "6h"),
    ]
