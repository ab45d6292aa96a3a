from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.settings import Settings
from db.session import unit_of_work
from services.access.api_keys import create_key

CONTRACT: dict[str, Any] = {
    "features": [{"name": "load"}, {"name": "temperature", "max_length": 24}],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 96,
    "horizon": 24,
}

# What one caller needs: a client that shows a key of these scopes.
Clients = Callable[..., TestClient]


@pytest.fixture
def app(settings: Settings, sessions: sessionmaker[Session], now: datetime) -> FastAPI:
    app = create_app(settings, sessions)
    app.dependency_overrides[utcnow] = lambda: now
    return app


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture
def as_key(
    app: FastAPI, stranger: TestClient, sessions: sessionmaker[Session], now: datetime
) -> Clients:
    """Make a key, and a client that shows it; the application runs already."""

    def make(*scopes: str, model_id: UUID | None = None) -> TestClient:
        with unit_of_work(sessions) as session:
            name = f"{'-'.join(scopes)}-{model_id or 'all'}"
            token = create_key(session, name, scopes, model_id, now)
        headers = {"Authorization": f"Bearer {token}"}
        return TestClient(app, headers=headers, raise_server_exceptions=False)

    return make


@pytest.fixture
def operator(as_key: Clients) -> TestClient:
    return as_key("operate", "read")


@pytest.fixture
def model(operator: TestClient) -> str:
    assert operator.put("/v1/models/grid", json={"contract": CONTRACT}).status_code == 201
    return "grid"
