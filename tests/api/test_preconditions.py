"""Changes under `If-Match`: only of the state that the caller has read."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import CONTRACT, Clients
from tests.problems import error_of

THINGS = [
    pytest.param(
        "/v1/models/grid",
        {"contract": CONTRACT},
        {"contract": CONTRACT, "description": "Load of the grid."},
        id="model",
    ),
    pytest.param(
        "/v1/models/grid/monitors/own",
        {"kind": "input_drift"},
        {"kind": "input_drift", "params": {"window": "P14D"}},
        id="monitor",
    ),
    pytest.param(
        "/v1/models/grid/versions/v1",
        {"manifest": {"seed": 1}},
        {"manifest": {"seed": 2}, "objective": 0.4},
        id="version",
    ),
    pytest.param(
        "/v1/channels/on-call",
        {"url": "https://hooks.example/x"},
        {"url": "https://hooks.example/y"},
        id="channel",
    ),
]


@pytest.fixture
def admin(as_key: Clients, model: str) -> TestClient:
    return as_key("admin")


@pytest.mark.parametrize(("path", "first", "second"), THINGS)
def test_a_change_is_refused_once_somebody_else_has_changed_it(
    admin: TestClient, path: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    made = admin.put(path, json=first)
    read = admin.get(path).headers["etag"]
    assert made.headers["etag"] == read
    assert read.startswith('"')
    changed = admin.put(path, json=second, headers={"If-Match": read})
    assert changed.status_code == 200
    assert changed.headers["etag"] == admin.get(path).headers["etag"] != read
    stale = admin.put(path, json=first, headers={"If-Match": read})
    assert (stale.status_code, error_of(stale)) == (412, "PreconditionFailed")
    assert admin.get(path).headers["etag"] == changed.headers["etag"]
    either = f'"other", {changed.headers["etag"]}'
    assert admin.put(path, json=first, headers={"If-Match": either}).status_code == 200
    assert admin.get(path).headers["etag"] == read
    assert admin.put(path, json=second).status_code == 200


@pytest.mark.parametrize(("path", "first", "_"), THINGS)
def test_what_is_not_there_is_in_no_state(
    admin: TestClient, path: str, first: dict[str, Any], _: object
) -> None:
    path = path.replace("grid", "other") if path.endswith("grid") else path
    for named in ("*", '"other"'):
        answer = admin.put(path, json=first, headers={"If-Match": named})
        assert (answer.status_code, error_of(answer)) == (412, "PreconditionFailed")
    assert admin.get(path).status_code == 404


@pytest.mark.parametrize(("path", "first", "_"), THINGS)
def test_what_is_deleted_is_deleted_only_as_it_was_read(
    admin: TestClient, path: str, first: dict[str, Any], _: object
) -> None:
    tag = admin.put(path, json=first).headers["etag"]
    assert admin.delete(path, headers={"If-Match": '"other"'}).status_code == 412
    assert admin.delete(path, headers={"If-Match": tag}).status_code == 204
