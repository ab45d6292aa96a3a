from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.session import unit_of_work
from services.access.api_keys import Authenticator, create_key
from tests.conftest import Once
from tests.web import fleet_rows
from web import pages

HOST = "http://seqwatch.example"

# A browser that has signed in with a key of these scopes.
Browsers = Callable[..., TestClient]


@pytest.fixture
def app(sessions: sessionmaker[Session], now: datetime, tmp_path: Path) -> FastAPI:
    app = FastAPI()
    settings = Settings(public_url=HOST, reports=tmp_path / "reports", lake=tmp_path / "lake")
    pages.mount(
        app, sessions=sessions, authenticator=Authenticator(sessions), settings=settings
    )
    app.dependency_overrides[utcnow] = lambda: now
    return app


@pytest.fixture
def stranger(app: FastAPI) -> TestClient:
    return TestClient(app, base_url=HOST, headers={"Origin": HOST}, follow_redirects=False)


@pytest.fixture
def keyed(sessions: sessionmaker[Session], now: datetime) -> Callable[..., str]:
    def make(*scopes: str, model_id: UUID | None = None) -> str:
        with unit_of_work(sessions) as session:
            name = f"{'-'.join(scopes)} {model_id or ''}"
            return create_key(session, name, scopes, model_id, now)

    return make


@pytest.fixture
def signed_in(app: FastAPI, keyed: Callable[..., str]) -> Browsers:
    def sign_in(*scopes: str, model_id: UUID | None = None) -> TestClient:
        browser = TestClient(
            app, base_url=HOST, headers={"Origin": HOST}, follow_redirects=False
        )
        answer = browser.post("/login", data={"key": keyed(*scopes, model_id=model_id)})
        assert answer.status_code == 303
        return browser

    return sign_in


def fill_fleet(sessions: sessionmaker[Session], _: Path, now: datetime) -> dict[str, UUID]:
    with unit_of_work(sessions) as session:
        return fleet_rows.fleet(session, now)


@pytest.fixture
def fleet(once: Once, now: datetime) -> dict[str, UUID]:
    """The rows of `tests.web.fleet_rows`; the ids of its rollouts."""
    made: dict[str, UUID] = once(fill_fleet, now)
    return made
