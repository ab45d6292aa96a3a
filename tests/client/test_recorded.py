"""What senders of every format send is stored as it was when it was recorded."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.settings import Settings
from db.session import unit_of_work
from services.access.api_keys import create_key
from tests.client.record import EXPECTED, RECORDED, differences, replay

FORMATS = sorted(path.name for path in RECORDED.iterdir())
WHAT_TO_DO = (
    "requests of format {0} mean something else now. Senders of a released format are in use: "
    "mend the platform. Before its release: rm -r tests/client/recorded/{0} and "
    "python -m tests.client.record {0}"
)


@pytest.fixture
def client(
    settings: Settings, sessions: sessionmaker[Session], now: datetime
) -> Iterator[TestClient]:
    with unit_of_work(sessions) as session:
        key = create_key(session, "sender", ["admin"], None, now)
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(create_app(settings, sessions), headers=headers) as client:
        yield client


@pytest.mark.parametrize("name", FORMATS)
def test_recorded_requests_are_stored_and_answered_as_they_were(
    client: TestClient, name: str
) -> None:
    folder: Path = RECORDED / name
    expected = json.loads((folder / EXPECTED).read_text("utf-8"))
    found = replay(client, folder)
    assert [*differences(expected, found)] == [], WHAT_TO_DO.format(name)
    again = replay(client, folder)
    assert [*differences(expected["stored"], again["stored"])] == []
    sent = [one["body"] for one in again["answers"].values() if "accepted" in one["body"]]
    assert {body["duplicate"] for body in sent} == {True}
