"""A model whose rows are where the test puts them: in the inbox, or in the lake."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.lake_root import LakeRoot
from core.schema.rows import Kind
from core.settings import Settings
from db.session import unit_of_work
from db.tables import Scope
from services.access.api_keys import create_key
from services.aggregation.fold import PATIENCE, fold_all
from services.retention.archive import archive_all
from tests.streams import START, add_model, keep, table

LATE = START + PATIENCE
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """One model, and the way of its rows."""

    sessions: sessionmaker[Session]
    lake: LakeRoot
    model_id: UUID

    def send(self, *rows: Row, received_at: datetime = START) -> None:
        """Put predictions into the inbox, as one batch."""
        rows = tuple(row | {"received_at": received_at} for row in rows)
        keep(self.sessions, self.model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows))

    def send_labels(self, *rows: Row) -> None:
        """Put labels into the inbox, as one batch."""
        keep(self.sessions, self.model_id, Kind.LABELS, table(Kind.LABELS, rows))

    def fold(self) -> None:
        """Number what is in the inbox."""
        fold_all(self.sessions, LATE)

    def archive(self) -> None:
        """Move all that is in the inbox to the lake."""
        self.fold()
        archive_all(self.sessions, self.lake, LATE)


@pytest.fixture
def place(sessions: sessionmaker[Session], settings: Settings) -> Place:
    return Place(sessions, settings.lake, add_model(sessions))


@pytest.fixture
def client(
    settings: Settings, sessions: sessionmaker[Session], now: datetime
) -> Iterator[TestClient]:
    with unit_of_work(sessions) as session:
        key = create_key(session, "reader", {Scope.READ}, None, now)
    app = create_app(settings, sessions)
    app.dependency_overrides[utcnow] = lambda: now
    with TestClient(
        app, headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False
    ) as client:
        yield client


Get = Callable[..., Any]


@pytest.fixture
def get(client: TestClient, place: Place) -> Get:
    """Read what an address under the model answers."""

    def read(path: str, code: int = 200, /, **params: Any) -> Any:
        answer = client.get(f"/v1/models/grid/{path}", params=params)
        assert answer.status_code == code, answer.text
        return answer.json()

    return read
