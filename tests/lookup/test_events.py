"""Events are listed and exported from inbox and lake, newest first."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.durations import DAY, HOUR
from core.schema.rows import Kind
from core.settings import Settings
from db.session import unit_of_work
from services.access.api_keys import create_key
from services.aggregation.fold import fold_all
from services.retention.archive import archive_all
from tests.streams import START, add_model, event, keep, table

PATH = "/v1/models/grid/events"
LATER = START + 10 * DAY


@pytest.fixture
def model_id(sessions: sessionmaker[Session]) -> UUID:
    return add_model(sessions)


@pytest.fixture
def client(
    sessions: sessionmaker[Session], settings: Settings, model_id: UUID
) -> Iterator[TestClient]:
    with unit_of_work(sessions) as session:
        token = create_key(session, "reader", ["read"], None, START)
    app = create_app(settings, sessions)
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def send(sessions: sessionmaker[Session], model_id: UUID, first: int, n: int) -> None:
    rows = [
        event(START + i * 10 * HOUR, i, type=["deploy", "load"][i % 2], version=f"v{i % 3}")
        for i in range(first, first + n)
    ]
    keep(sessions, model_id, Kind.EVENTS, table(Kind.EVENTS, rows))


def everything(client: TestClient, **given: Any) -> list[str]:
    found: list[str] = []
    params = {"limit": 4, **given}
    while True:
        page = client.get(PATH, params=params).json()
        found += [item["event_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


def test_events_of_inbox_and_lake_are_listed_once_newest_first(
    sessions: sessionmaker[Session], settings: Settings, client: TestClient, model_id: UUID
) -> None:
    send(sessions, model_id, 0, 9)
    send(sessions, model_id, 12, 3)
    fold_all(sessions, LATER)
    archive_all(sessions, settings.lake, LATER)
    send(sessions, model_id, 9, 3)
    fold_all(sessions, LATER)
    send(sessions, model_id, 15, 2)
    assert everything(client) == [f"e-{i}" for i in reversed(range(17))]
    assert everything(client, type="load") == [f"e-{i}" for i in (15, 13, 11, 9, 7, 5, 3, 1)]
    assert everything(client, version="v2") == [f"e-{i}" for i in (14, 11, 8, 5, 2)]
    window = {
        "since": (START + 20 * HOUR).isoformat(),
        "until": (START + 50 * HOUR).isoformat(),
    }
    assert everything(client, **window) == ["e-4", "e-3", "e-2"]
    exported = client.get(f"{PATH}/export", params={"type": "deploy"}).text.splitlines()
    assert exported[0].startswith('"event_id","type","at","version"')
    assert len(exported) == 1 + 9


def test_events_of_one_moment_fill_pages_of_their_own(
    sessions: sessionmaker[Session], client: TestClient, model_id: UUID
) -> None:
    rows = [event(START + timedelta(seconds=i // 8), i) for i in range(24)]
    keep(sessions, model_id, Kind.EVENTS, table(Kind.EVENTS, rows))
    assert sorted(everything(client, limit=5)) == sorted(f"e-{i}" for i in range(24))


def test_an_unknown_type_is_refused(client: TestClient) -> None:
    answer = client.get(PATH, params={"type": "unheard_of"})
    assert (answer.status_code, "expected one of load" in answer.text) == (422, True)
