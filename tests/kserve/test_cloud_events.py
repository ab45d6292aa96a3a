"""Which CloudEvents are taken, in which forms, and with which keys."""

import base64
import gzip
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from db.session import unit_of_work
from services.access.api_keys import create_key
from tests.databases import ON_SQLITE
from tests.kserve.conftest import (
    ANSWERED_AT,
    ASKED_AT,
    REQUEST,
    RESPONSE,
    V1,
    Logger,
    Stored,
    waiting,
)

FOREIGN = [
    pytest.param({"type": "org.example.other"}, 422, "event type", id="another type"),
    pytest.param({"type": None}, 422, "event type", id="no type"),
    pytest.param({"id": None}, 422, "id:", id="no id"),
    pytest.param({"id": "x" * 151}, 422, "id:", id="endless id"),
    pytest.param({"time": "yesterday"}, 422, "time:", id="no time"),
    pytest.param({"time": "2026-01-01T00:00:00"}, 422, "zone", id="a time without zone"),
    pytest.param({"specversion": "0.3"}, 422, "specversion", id="an old CloudEvent"),
    pytest.param({"inferenceservicename": "nobody"}, 404, "nobody", id="an unknown model"),
    pytest.param({"inferenceservicename": None}, 422, "model", id="no model"),
]


@ON_SQLITE
@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize(("changes", "status", "detail"), FOREIGN)
def test_a_foreign_event_is_refused_with_a_clear_error(
    logger: Logger,
    sessions: sessionmaker[Session],
    mode: str,
    changes: dict[str, Any],
    status: int,
    detail: str,
) -> None:
    answer = getattr(logger, mode)(REQUEST, V1[0], **changes)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert waiting(sessions) == []


@ON_SQLITE
@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param({"Content-Type": "application/json"}, b"{}", 415, id="no event at all"),
        pytest.param(
            {"Content-Type": "application/cloudevents-batch+json"}, b"[]", 415, id="a batch"
        ),
        pytest.param({"Content-Type": "application/cloudevents+json"}, b"{", 400, id="broken"),
        pytest.param({"Content-Type": "application/cloudevents+json"}, b"[]", 400, id="a list"),
        pytest.param(
            {"Content-Type": "application/cloudevents+json"},
            json.dumps({"specversion": "1.0", "type": REQUEST, "id": 5}).encode(),
            422,
            id="a number for an id",
        ),
        pytest.param(
            {"Content-Type": "application/cloudevents+json"},
            json.dumps({"specversion": "1.0", "data_base64": "?"}).encode(),
            400,
            id="no base64",
        ),
        pytest.param({"Authorization": ""}, b"", 401, id="no key"),
        pytest.param({"Authorization": "Basic eDp5"}, b"", 401, id="another password"),
        pytest.param({"Authorization": "Basic %"}, b"", 401, id="no base64 for a password"),
    ],
)
def test_what_is_no_event_is_refused(
    client: TestClient, headers: dict[str, str], body: bytes, status: int
) -> None:
    sent = {"Content-Type": "application/cloudevents+json", **headers}
    assert client.post("/v1/kserve", content=body, headers=sent).status_code == status


@ON_SQLITE
def test_a_payload_may_be_base64_and_the_body_packed(
    client: TestClient, stored: Stored
) -> None:
    for kind, payload, at in ((REQUEST, V1[0], ASKED_AT), (RESPONSE, V1[1], ANSWERED_AT)):
        document = {
            "specversion": "1.0",
            "id": "e-1",
            "type": kind,
            "time": at,
            "modelversion": "v1",
            "data_base64": base64.b64encode(json.dumps(payload).encode()).decode(),
        }
        answer = client.post(
            "/v1/kserve?model=grid",
            content=gzip.compress(json.dumps(document).encode()),
            headers={
                "Content-Type": "application/cloudevents+json",
                "Content-Encoding": "gzip",
            },
        )
        assert answer.status_code == 200
    assert len(stored()) == 2


@ON_SQLITE
def test_the_key_may_be_the_password_of_the_address(
    client: TestClient, token: str, stored: Stored
) -> None:
    password = base64.b64encode(f"seqwatch:{token}".encode()).decode()
    client.headers["Authorization"] = f"Basic {password}"
    logger = Logger(client)
    logger.binary(REQUEST, V1[0])
    assert logger.binary(RESPONSE, V1[1]).json()["outcome"] == "paired"


@ON_SQLITE
def test_a_key_that_may_not_send_sends_nothing(
    client: TestClient, sessions: sessionmaker[Session]
) -> None:
    with unit_of_work(sessions) as session:
        reader = create_key(session, "reader", ["read"], None, utcnow())
    client.headers["Authorization"] = f"Bearer {reader}"
    assert Logger(client).binary(REQUEST, V1[0]).status_code == 403
    assert waiting(sessions) == []
