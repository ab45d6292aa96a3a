from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.rows import Kind
from core.streams import Stream
from db.session import read_only
from db.tables import SessionScore
from services.aggregation.fold import PATIENCE, fold_all
from services.labels.error_days import ERRORS, DaySums
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from tasks.residual_sums import RESIDUALS
from tests import stored
from tests.streams import START, add_model, keep, table

LATE = START + PATIENCE
TODAY = START.date()
AT = START + 12 * HOUR
FORECAST = {"load": [1.0, 2.0, 3.0]}


class World:
    """One model with its lake."""

    def __init__(self, sessions: sessionmaker[Session], lake: Path) -> None:
        self.sessions, self.lake = sessions, lake
        self.model_id = add_model(sessions)

    def send(self, *rows: dict[str, Any]) -> None:
        keep(self.sessions, self.model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows))

    def send_labels(self, *rows: dict[str, Any]) -> None:
        keep(self.sessions, self.model_id, Kind.LABELS, table(Kind.LABELS, rows))

    def settle(self) -> int:
        fold_all(self.sessions, LATE)
        archive_all(self.sessions, self.lake, LATE)
        return join_all(self.sessions, self.lake, LATE)

    def chunk(self, day: date = TODAY) -> NDArray[np.float64]:
        found = self.stored(ERRORS, day)
        assert isinstance(found, DaySums)
        return found.cells  # one target: (step, sum)

    def residuals(self, day: date = TODAY) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.stored(RESIDUALS, day)
        return found

    def stored(self, stream: Stream[Any], day: date) -> Any:
        with read_only(self.sessions) as session:
            found = {
                row.start.date(): stream.from_bytes(row.payload)
                for row in stored.rows(session, stream, self.model_id, "v1")
            }
        return found[day]

    def scores(self) -> list[SessionScore]:
        with read_only(self.sessions) as session:
            query = select(SessionScore).order_by(SessionScore.session_id)
            found = session.scalars(query).all()
            session.expunge_all()
            return [*found]


@pytest.fixture
def world(sessions: sessionmaker[Session], tmp_path: Path) -> World:
    return World(sessions, tmp_path / "lake")
