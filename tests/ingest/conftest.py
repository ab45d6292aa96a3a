import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.settings import Settings
from db.session import unit_of_work
from db.tables import Model
from services.access.api_keys import create_key
from tests.streams import waiting_rows

PREDICTIONS = "/v1/models/grid/predictions"
LABELS = "/v1/models/grid/labels"

CONTRACT = Contract(
    features=(Feature(name="load"), Feature(name="wind é.1", max_length=3)),
    targets=("load", "price"),
    step=HOUR,
    input_length=3,
    horizon=2,
)

Rows = list[dict[str, Any]]
Stored = Callable[..., Rows]


def prediction(**changes: Any) -> dict[str, Any]:
    """Return a row that keeps to the contract, but for the changes."""
    row = {
        "prediction_id": "p-1",
        "version": "v1",
        "at": "2026-01-01T00:00:00Z",
        "features": {"load": 1.5, "wind é.1": [1, None, 3]},
        "output": {"load": [1, 2], "price": [3, 4.5]},
    }
    return {**row, **changes}


def label(**changes: Any) -> dict[str, Any]:
    row = {"prediction_id": "p-1", "actual": {"load": [1, 2], "price": [3, None]}}
    return {**row, **changes}


def arrow_body(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_body_bytes": 65_536, "max_rows": 100})


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
def stored(sessions: sessionmaker[Session]) -> Stored:
    """Return every row of the inbox, in order."""

    return lambda: waiting_rows(sessions)


def answered(n: int, *, duplicate: bool = False, quarantined: int = 0) -> dict[str, Any]:
    """Return the answer to a batch of which no row needs to be named."""
    return {
        "accepted": n,
        "duplicate": duplicate,
        "duplicates": [],
        "quarantined": quarantined,
        "errors": [],
    }


def as_json(content: object) -> bytes:
    """Write NaN and Infinity too, as Python's encoder does."""
    return json.dumps(content).encode()
