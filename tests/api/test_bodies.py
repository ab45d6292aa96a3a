"""An error of a body names the field, with what is known."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import CONTRACT, Clients


@pytest.fixture
def admin(as_key: Clients, model: str) -> TestClient:
    return as_key("admin")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        pytest.param(
            "/v1/models/grid",
            {"contract": CONTRACT, "colour": "red"},
            "unknown colour; known: description, runbook_url, group, tags, owner",
            id="a field of a model",
        ),
        pytest.param(
            "/v1/models/grid",
            {"contract": CONTRACT, "policy": {"gate": 3}},
            "policy: unknown gate; known: days_between_false_alarms",
            id="an entry of a policy",
        ),
        pytest.param(
            "/v1/models/grid",
            {"contract": {**CONTRACT, "padding": "middle"}},
            "contract: $.padding: expected one of none, left, right",
            id="a choice of a contract",
        ),
        pytest.param(
            "/v1/models/grid",
            {"contract": {**CONTRACT, "features": [{"name": "load", "dtype": "text"}]}},
            "contract: $.features[0].dtype: expected one of number, category",
            id="a choice of a feature",
        ),
        pytest.param(
            "/v1/models/grid",
            {"contract": {**CONTRACT, "sensitive_fields": {"entity": "burn"}}},
            "expected one of none, drop, hash, bucket",
            id="a choice by name",
        ),
        pytest.param(
            "/v1/models/grid/monitors/own",
            {"kind": "drift"},
            "no kind of monitor 'drift'; known: accuracy, ",
            id="a kind of monitor",
        ),
        pytest.param(
            "/v1/channels/me",
            {"url": "https://hooks.example", "color": "red"},
            "unknown color; known: kind, config, url, secret, severities",
            id="a field of a channel",
        ),
    ],
)
def test_what_is_unknown_is_named_with_what_is_known(
    admin: TestClient, path: str, body: dict[str, Any], reason: str
) -> None:
    answer = admin.put(path, json=body)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_choices_of_a_scope_and_an_outcome_are_listed(admin: TestClient) -> None:
    made = admin.post("/v1/keys", json={"name": "x", "scopes": ["write"]})
    assert "'ingest', 'read', 'operate' or 'admin'" in made.json()["detail"]
    found = admin.get("/v1/models/grid/findings", params={"outcome": "bad"})
    assert "'ok', 'breach'" in found.json()["detail"]
