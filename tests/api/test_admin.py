from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from core.settings import Settings
from notify.signing import new_secret, sign
from tests.api.conftest import Clients
from tests.notify.receiver import Receiver, running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running() as receiver:
        yield receiver


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return Settings(**{**settings.model_dump(), "webhook_allow": "127.0.0.0/8"})


@pytest.fixture
def admin(as_key: Clients) -> TestClient:
    return as_key("admin")


def test_a_made_key_works_until_it_is_revoked(
    app: FastAPI, admin: TestClient, model: str
) -> None:
    body = {"name": "ci", "scopes": ["read"], "model": model}
    made = admin.post("/v1/keys", json=body)
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    assert TestClient(app, headers=headers).get(f"/v1/models/{model}").status_code == 200
    assert made.json()["token"] not in admin.get("/v1/keys").text
    assert admin.delete("/v1/keys/ci").status_code == 204
    revoked = {one["name"]: one["revoked_at"] for one in admin.get("/v1/keys").json()["items"]}
    assert revoked["ci"] is not None
    assert admin.post("/v1/keys", json=body).status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"name": "x", "scopes": []}, 422, id="no scope"),
        pytest.param({"name": "x", "scopes": ["write"]}, 422, id="unknown scope"),
        pytest.param({"name": "", "scopes": ["read"]}, 422, id="no name"),
        pytest.param({"name": "x", "scopes": ["read"], "model": "absent"}, 404, id="no model"),
    ],
)
def test_bad_keys_are_refused(admin: TestClient, body: dict[str, Any], status: int) -> None:
    assert admin.post("/v1/keys", json=body).status_code == status


def test_a_channel_shows_its_secret_once(admin: TestClient) -> None:
    body = {"url": "https://hooks.example/x", "severities": ["page"]}
    made = admin.put("/v1/channels/on-call", json=body)
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    again = admin.put("/v1/channels/on-call", json=body)
    assert (again.status_code, again.json()["secret"]) == (200, None)
    read = admin.get("/v1/channels/on-call").json()
    assert "secret" not in read
    assert read["severities"] == ["page"]
    assert admin.delete("/v1/channels/on-call").status_code == 204
    assert [one["enabled"] for one in admin.get("/v1/channels").json()["items"]] == [False]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"url": "ftp://x"}, id="no webhook"),
        pytest.param({"url": "https://u:p@hooks.example"}, id="user name"),
        pytest.param({"url": "https://hooks.example", "secret": "hunter2"}, id="secret"),
        pytest.param({"url": "https://hooks.example", "severities": ["loud"]}, id="severity"),
        pytest.param({"url": "https://hooks.example", "severities": []}, id="no severity"),
    ],
)
def test_bad_channels_are_refused(admin: TestClient, body: dict[str, Any]) -> None:
    answer = admin.put("/v1/channels/x", json=body)
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


def test_a_channel_can_be_tried(admin: TestClient, receiver: Receiver) -> None:
    secret = new_secret()
    admin.put("/v1/channels/me", json={"url": receiver.url, "secret": secret})
    tried = admin.post("/v1/channels/me/test").json()
    assert tried["status"] == 204
    [one] = receiver.received
    assert one.content["type"] == "channel.test"
    headers = one.headers
    assert headers["webhook-id"] == tried["message_id"]
    assert headers["webhook-signature"] == sign(
        secret, headers["webhook-id"], int(headers["webhook-timestamp"]), one.body
    )


def test_a_test_notification_reports_what_is_wrong(admin: TestClient) -> None:
    admin.put("/v1/channels/me", json={"url": "https://10.1.2.3/"})
    tried = admin.post("/v1/channels/me/test").json()
    assert (tried["status"], tried["error"]) == (None, "10.1.2.3 is not a public address")


def test_only_administrators_see_keys_and_channels(operator: TestClient) -> None:
    for path in ("/v1/keys", "/v1/channels"):
        assert operator.get(path).status_code == 403
