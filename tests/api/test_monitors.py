from typing import Any

import pytest
from fastapi.testclient import TestClient


def test_every_model_begins_with_the_default_monitors(operator: TestClient) -> None:
    body = {
        "contract": {
            "features": [{"name": "load"}],
            "targets": ["load"],
            "step": "PT1H",
            "input_length": 96,
            "horizon": 24,
        },
        "policy": {"days_between_false_alarms": 30},
    }
    made = operator.put("/v1/models/grid", json=body).json()
    monitors = {one["name"]: one for one in made["monitors"]}
    assert {name: one["kind"] for name, one in monitors.items()} == {
        "accuracy": "accuracy",
        "availability": "burn_rate",
        "data_quality": "data_quality",
        "entity_health": "entity_health",
        "input_health": "input_health",
        "silence": "silence",
        "input_drift": "input_drift",
        "input_fault": "input_fault",
        "latency": "burn_rate",
        "contract_violations": "contract_violations",
        "temporal_pattern": "temporal_pattern",
    }
    assert {name: one["severity"] for name, one in monitors.items()} == {
        "accuracy": "page",
        "availability": "page",
        "data_quality": "ticket",
        "entity_health": "ticket",
        "input_health": "ticket",
        "silence": "page",
        "input_drift": "ticket",
        "input_fault": "page",
        "latency": "page",
        "contract_violations": "ticket",
        "temporal_pattern": "ticket",
    }
    for name in ("input_drift", "temporal_pattern"):
        assert monitors[name]["params"] == {"days_between_false_alarms": 30}
    assert {one["phase"] for one in made["monitors"]} == {"quiet"}


def test_a_monitor_can_be_added_and_changed(operator: TestClient, model: str) -> None:
    path = f"/v1/models/{model}/monitors/yearly"
    params = {"days_between_false_alarms": 365, "feature_weights": {"load": 2}}
    body = {"kind": "input_drift", "params": params}
    assert operator.put(path, json=body).status_code == 201
    changed = operator.put(path, json={**body, "severity": "page", "enabled": False})
    assert changed.status_code == 200
    assert operator.get(path).json() == changed.json()
    assert (changed.json()["severity"], changed.json()["enabled"]) == ("page", False)
    assert len(operator.get(f"/v1/models/{model}/monitors").json()["items"]) == 12


@pytest.mark.parametrize(
    ("name", "body", "status", "hint"),
    [
        pytest.param(
            "x", {"kind": "magic"}, 422, "input_drift", id="unknown kind lists the known"
        ),
        pytest.param(
            "x", {"kind": "input_drift", "params": {"x": 1}}, 422, "x", id="unknown param"
        ),
        pytest.param(
            "x", {"kind": "input_drift", "severity": "loud"}, 422, "ticket", id="severity"
        ),
        pytest.param(
            "x",
            {"kind": "temporal_pattern", "params": {"feature_weights": {"moon": 2}}},
            422,
            "no feature 'moon' to weigh; known: load",
            id="a weight for no feature",
        ),
        pytest.param(
            "x",
            {"kind": "input_drift", "params": {"feature_weights": {"load": "much"}}},
            422,
            "feature_weights",
            id="a weight that is no number",
        ),
        pytest.param(
            "input_drift",
            {"kind": "burn_rate"},
            409,
            "of kind 'input_drift'",
            id="another kind",
        ),
        pytest.param(".x", {"kind": "input_drift"}, 422, "monitor name", id="name"),
    ],
)
def test_bad_monitors_are_refused(
    operator: TestClient, model: str, name: str, body: dict[str, Any], status: int, hint: str
) -> None:
    answer = operator.put(f"/v1/models/{model}/monitors/{name}", json=body)
    assert answer.status_code == status, answer.text
    assert hint in answer.json()["detail"]


def test_an_absent_monitor_is_not_found(operator: TestClient, model: str) -> None:
    assert operator.get(f"/v1/models/{model}/monitors/absent").status_code == 404
