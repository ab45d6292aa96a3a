"""Every list is read page by page."""

from datetime import datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from db.queries import models
from db.session import unit_of_work
from db.tables import Rollout
from retrain.rollout import Phase
from tests.api.conftest import CONTRACT, Clients
from tests.problems import error_of

NAMES = ["a", "b", "c", "d", "e"]


def pages(client: TestClient, path: str, **params: Any) -> list[Any]:
    """Return the items of all pages of a list."""
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(path, params={**params, "cursor": cursor} if cursor else params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= params.get("limit", 100)
        found += page["items"]
        cursor = page["next_cursor"]
    return found


def lists_of(app: FastAPI) -> dict[str, Any]:
    return {
        path: verbs["get"]
        for path, verbs in app.openapi()["paths"].items()
        if verbs.get("get", {}).get("operationId", "").startswith("list_")
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_list_has_pages(app: FastAPI, as_key: Clients, model: str) -> None:
    admin = as_key("admin")
    lists = lists_of(app)
    assert len(lists) >= 13
    for path, operation in lists.items():
        assert {"limit", "cursor"} <= {one["name"] for one in operation["parameters"]}, path
        path = path.replace("{model}", model).replace("{name}", "availability")
        assert {"items", "next_cursor"} <= admin.get(path).json().keys(), path
        for cursor in ("no cursor", "bm9uZQ", "WzEsMl0"):
            answer = admin.get(path, params={"cursor": cursor})
            assert (answer.status_code, error_of(answer)) == (422, "Unprocessable"), path


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 100])
def test_pages_together_are_the_list(as_key: Clients, limit: int) -> None:
    admin = as_key("admin")
    for name in NAMES:
        admin.put(f"/v1/models/{name}", json={"contract": CONTRACT})
        admin.post("/v1/models/a/erasures", json={"entity": name})
        admin.put(f"/v1/channels/{name}", json={"url": "https://hooks.example/x"})
    assert [one["name"] for one in pages(admin, "/v1/models", limit=limit)] == NAMES
    assert [one["name"] for one in pages(admin, "/v1/channels", limit=limit)] == NAMES
    ids = [one["id"] for one in pages(admin, "/v1/models/a/erasures", limit=limit)]
    assert len({*ids}) == len(ids) == len(NAMES)


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_rollouts_of_one_moment_come_once_each(
    as_key: Clients, model: str, limit: int, sessions: sessionmaker[Session], now: datetime
) -> None:
    with unit_of_work(sessions) as session:
        session.add_all(
            Rollout(
                model_id=models.find(session, model).id,
                idempotency_key=f"r{i}",
                reason="test",
                phase=Phase.FAILED,
                champion_rev=0,
                requested_at=now,
                not_before=now,
                created_at=now,
                finished_at=now,
            )
            for i in range(7)
        )
    found = [one["id"] for one in pages(as_key("read"), "/v1/rollouts", limit=limit)]
    assert (len({*found}), len(found)) == (7, 7)
