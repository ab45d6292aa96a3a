import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import Model, PendingEvent
from services.access.api_keys import create_key
from tests.streams import waiting_rows

CONTRACT = Contract(
    features=(Feature(name="load", max_length=3), Feature(name="temp", max_length=3)),
    targets=("load",),
    step=HOUR,
    input_length=3,
    horizon=2,
)
REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
ASKED_AT = "2026-01-01T00:00:00.123456789Z"
ANSWERED_AT = "2026-01-01T00:00:00.373456789Z"

# The same two windows of three steps, and the same two forecasts, in each protocol.
WINDOWS = [[[1, 10], [2, 20], [3, 30]], [[4, 40], [5, 50], [6, 60]]]
FORECASTS = [[7, 8], [9, 10]]
V1 = ({"instances": WINDOWS}, {"predictions": FORECASTS})
V2 = (
    {
        "inputs": [
            {
                "name": "input-0",
                "shape": [2, 3, 2],
                "datatype": "FP32",
                "data": [1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60],
            }
        ]
    },
    {
        "outputs": [
            {"name": "load", "shape": [2, 2], "datatype": "FP64", "data": [[7, 8], [9, 10]]}
        ]
    },
)

Rows = list[dict[str, Any]]
Stored = Callable[[], Rows]


class Logger:
    """Sends events as KServe's logger does."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def binary(self, kind: str, payload: object, **changes: str | None) -> Any:
        """Send attributes as headers; `None` leaves one away."""
        chosen = {**attributes(kind), **changes}
        headers = {f"ce-{name}": value for name, value in chosen.items() if value is not None}
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers["Content-Type"] = "application/json"
        return self.client.post("/v1/kserve?version=v1", content=body, headers=headers)

    def structured(self, kind: str, payload: object, **changes: object) -> Any:
        """Send one JSON document."""
        chosen = {
            name: v for name, v in {**attributes(kind), **changes}.items() if v is not None
        }
        return self.client.post(
            "/v1/kserve?version=v1",
            content=json.dumps({**chosen, "data": payload}),
            headers={"Content-Type": "application/cloudevents+json; charset=utf-8"},
        )


def attributes(kind: str) -> dict[str, str | None]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "type": kind,
        "source": "http://localhost:9081/",
        "time": ASKED_AT if kind == REQUEST else ANSWERED_AT,
        "inferenceservicename": "grid",
        "namespace": "default",
        "component": "predictor",
        "endpoint": "",
    }


@pytest.fixture
def model(sessions: sessionmaker[Session]) -> str:
    with unit_of_work(sessions) as session:
        session.add(Model(name="grid", contract=CONTRACT, created_at=utcnow()))
    return "grid"


@pytest.fixture
def token(sessions: sessionmaker[Session]) -> str:
    with unit_of_work(sessions) as session:
        return create_key(session, "sender", ["ingest"], None, utcnow())


@pytest.fixture
def client(
    settings: Settings, sessions: sessionmaker[Session], model: str, token: str
) -> Iterator[TestClient]:
    app = create_app(settings, sessions)
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture
def logger(client: TestClient) -> Logger:
    return Logger(client)


@pytest.fixture
def stored(sessions: sessionmaker[Session]) -> Stored:
    """Return every row of the inbox, in order."""

    return lambda: waiting_rows(sessions)


def waiting(sessions: sessionmaker[Session]) -> list[bytes]:
    """Return what waits for its other half."""
    with read_only(sessions) as session:
        return [*session.scalars(select(PendingEvent.payload))]
