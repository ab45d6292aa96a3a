"""Limits as a sender meets them."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.limits import Limits
from core.settings import Settings
from db.session import unit_of_work
from db.tables import Model
from services.access.api_keys import create_key
from tests.ingest.conftest import CONTRACT, as_json, prediction
from tests.problems import error_of

PREDICTIONS = "/v1/models/grid/predictions"
JSON = {"Content-Type": "application/json"}

Sender = Callable[..., TestClient]


def batch(first: int, n: int) -> bytes:
    return as_json({"rows": [prediction(prediction_id=f"p-{first + i}") for i in range(n)]})


@pytest.fixture
def sender(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[Sender]:
    """Make a client whose key has these limits."""
    with unit_of_work(sessions) as session:
        session.add(Model(name="grid", contract=CONTRACT, created_at=utcnow()))
    app = create_app(settings, sessions)
    with TestClient(app):

        def make(name: str = "sender", **limits: int) -> TestClient:
            with unit_of_work(sessions) as session:
                token = create_key(session, name, ["ingest"], None, utcnow(), Limits(**limits))
            return TestClient(app, headers=JSON | {"Authorization": f"Bearer {token}"})

        yield make


def test_a_body_larger_than_the_key_may_send_is_refused(sender: Sender) -> None:
    client = sender(body_bytes=500)
    assert client.post(PREDICTIONS, content=batch(0, 1)).status_code == 200
    answer = client.post(PREDICTIONS, content=batch(1, 5))
    assert answer.status_code == 413
    assert (error_of(answer), answer.json()["detail"]) == (
        "TooLarge",
        "a body may have 500 bytes",
    )


def test_a_body_in_chunks_is_counted_as_it_comes(sender: Sender) -> None:
    client, n_read = sender(body_bytes=500), 0

    def chunks() -> Iterator[bytes]:
        nonlocal n_read
        for _ in range(50):
            n_read += 1
            yield b" " * 100

    answer = client.post(PREDICTIONS, content=chunks())
    assert answer.status_code == 413


def test_more_rows_than_the_key_may_send_at_once_are_refused(
    sender: Sender, sessions: sessionmaker[Session]
) -> None:
    client, other = sender(rows=2), sender("other")
    assert client.post(PREDICTIONS, content=batch(0, 2)).status_code == 200
    answer = client.post(PREDICTIONS, content=batch(2, 3))
    assert answer.status_code == 413
    assert answer.json()["detail"] == "more than 2 rows in one batch"
    # Nothing of it was kept: another key may send the very same batch, as a new one.
    again = other.post(PREDICTIONS, content=batch(2, 3)).json()
    assert (again["accepted"], again["duplicate"]) == (3, False)


def test_a_key_over_its_rate_is_answered_when_to_retry(sender: Sender) -> None:
    client, other = sender(rows_per_second=1, burst_rows=5), sender("other")
    assert client.post(PREDICTIONS, content=batch(0, 25)).status_code == 200
    answer = client.post(PREDICTIONS, content=batch(25, 1))
    assert answer.status_code == 429
    assert (error_of(answer), answer.json()["detail"]) == (
        "TooMany",
        "more than 1 rows a second",
    )
    assert 15 <= int(answer.headers["retry-after"]) <= 20
    assert other.post(PREDICTIONS, content=batch(25, 1)).status_code == 200


def test_rows_count_against_the_rate_whatever_becomes_of_them(sender: Sender) -> None:
    client = sender(rows_per_second=1, burst_rows=1)
    bad = as_json({"rows": [prediction(status="unheard of")] * 9})
    assert client.post(PREDICTIONS, content=bad).status_code == 422
    assert client.post(PREDICTIONS, content=bad).status_code == 429


@pytest.fixture
def admin(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[TestClient]:
    with unit_of_work(sessions) as session:
        token = create_key(session, "admin", ["admin"], None, utcnow())
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(settings, sessions), headers=headers) as client:
        yield client


def test_limits_are_declared_when_a_key_is_made(admin: TestClient) -> None:
    limits = {"rows_per_second": 500, "body_bytes": 1000}
    body = {"name": "ci", "scopes": ["ingest"], "limits": limits}
    assert admin.post("/v1/keys", json=body).status_code == 201
    shown = {key["name"]: key["limits"] for key in admin.get("/v1/keys").json()["items"]}
    defaults = asdict(Limits())
    assert shown == {"admin": defaults, "ci": defaults | limits}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"rowz": 1}, id="misspelt"),
        pytest.param({"rows": 0}, id="nothing"),
        pytest.param({"rows": "5"}, id="text"),
        pytest.param({"rows": True}, id="a truth"),
        pytest.param({"burst_rows": 5}, id="a burst without a rate"),
        pytest.param({"rows": 2**70}, id="beyond any number"),
    ],
)
def test_limits_that_mean_nothing_are_refused(
    admin: TestClient, limits: dict[str, Any]
) -> None:
    body = {"name": "ci", "scopes": ["ingest"], "limits": limits}
    assert admin.post("/v1/keys", json=body).status_code == 422
