"""The real API on a real port, which can be stopped and started again."""

import threading
from datetime import UTC, datetime

import uvicorn
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.schema.contract import Contract
from core.schema.rows import Kind
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import Quarantine
from services.access.api_keys import create_key
from services.models.registry import Registration, register
from tests.streams import waiting_rows

START = datetime(2026, 1, 1, tzinfo=UTC)


class Platform:
    """The API, one model named `load`, and what it has kept."""

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], contract: Contract
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._port = 0
        with unit_of_work(sessions) as session:
            register(session, Registration(name="load", contract=contract), START)
        with unit_of_work(sessions) as session:
            self.key = create_key(session, "service", ["ingest"], None, START)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        app = create_app(self._settings, self._sessions)
        config = uvicorn.Config(app, port=self._port, log_level="error", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
        self._port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def kept(self, kind: Kind = Kind.PREDICTIONS) -> list[dict[str, object]]:
        """Return the rows that were kept, in order of arrival."""
        return waiting_rows(self._sessions, kind)

    def kept_ids(self) -> list[object]:
        return [row["prediction_id"] for row in self.kept()]

    def n_quarantined(self) -> int:
        with read_only(self._sessions) as session:
            return session.scalar(select(func.count()).select_from(Quarantine)) or 0
