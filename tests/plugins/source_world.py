"""A model that pulls labels from a file of JSON lines, and a clock that is turned by hand."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Phase
from core.schema.rows import Kind
from core.settings import Settings
from db.session import read_only
from db.tables import Alert, Finding, Monitor, Quarantine, SourceRow
from services.evaluation.by_clock.live import LiveMonitors
from services.sources.pull import Puller
from tests.streams import waiting_rows

NOW = datetime(2026, 1, 8, tzinfo=UTC)  # of fixture `now`


MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


Row = Mapping[str, Any]


def label(number: int, at: int | None = None, **fields: Any) -> dict[str, Any]:
    """Return a row; those of equal `at` tie."""
    made = {"id": f"r{number:03}", "at": number if at is None else at}
    about = {"day": f"2026-01-02T{number % 24:02}:00:00Z", "site": "s1", "mw": number + 0.5}
    return made | about | fields


def append(path: Path, rows: Sequence[Row]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


# Ties within a page, across pages, and of all that a page holds.
TIED = [label(n, at) for n, at in enumerate([1, 1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 6, 6, 6])]


MAPPING = {"entity": "site", "target_at": "day", "actual.load": "mw"}


class World:
    """A model that pulls labels from a file, and a clock that is turned by hand."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        settings: Settings,
        client: TestClient,
        path: Path,
        model: str,
    ) -> None:
        self.sessions, self.client, self.path = sessions, client, path
        self.wall = NOW
        self.settings = settings.model_copy(update={"max_rows": 3})
        self.url = f"/v1/models/{model}/sources"

    def put(self, name: str = "bills", **more: Any) -> dict[str, Any]:
        body = {"kind": "jsonl", "stream": "labels", "mapping": MAPPING, "every": "PT1M"}
        body["config"] = {"path": str(self.path)}
        answer = self.client.put(f"{self.url}/{name}", json=body | more)
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def read(self, name: str = "bills") -> dict[str, Any]:
        return dict(self.client.get(f"{self.url}/{name}").json())

    def id(self, name: str = "bills") -> UUID:
        with read_only(self.sessions) as session:
            return session.scalars(select(SourceRow.id).where(SourceRow.name == name)).one()

    def pull(self, name: str = "bills", passed: timedelta = MINUTE) -> int:
        self.wall += passed
        return Puller(self.settings, self.sessions, lambda: self.wall).run(self.id(name))

    def stored(self) -> list[float]:
        rows = waiting_rows(self.sessions, Kind.LABELS)
        return sorted(row["actual"]["load"][0] for row in rows)

    def quarantined(self) -> list[tuple[str, str]]:
        with read_only(self.sessions) as session:
            rows = session.scalars(select(Quarantine).order_by(Quarantine.id)).all()
            return [(row.field, row.reason) for row in rows]

    def check(self) -> Finding:
        """Evaluate the monitor, and return its newest finding."""
        LiveMonitors(self.sessions).run(self.wall)
        with read_only(self.sessions) as session:
            own = select(Finding).join(Monitor, Monitor.id == Finding.monitor_id)
            own = own.where(Monitor.name == "source").order_by(Finding.as_of.desc())
            finding = session.scalars(own.limit(1)).one()
            session.expunge_all()
            return finding

    def phase(self) -> Phase:
        with read_only(self.sessions) as session:
            own = select(Alert.phase).join(Monitor, Monitor.id == Alert.monitor_id)
            return session.scalars(own.where(Monitor.name == "source")).one()


def values(rows: Sequence[Row]) -> list[float]:
    return sorted(row["mw"] for row in rows)


@pytest.fixture
def world(
    plugins: None,
    sessions: sessionmaker[Session],
    settings: Settings,
    operator: TestClient,
    model: str,
    tmp_path: Path,
) -> World:
    return World(sessions, settings, operator, tmp_path / "rows.jsonl", model)
