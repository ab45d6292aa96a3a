"""After an erasure nothing names the session; everything else is as it was."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from core.rows import Kind
from core.window import Window
from db.session import read_only, unit_of_work
from db.tables import (
    Erasure,
    Quarantine,
)
from lake.reading import Log
from lake.tables import open_table
from services.archive import archive_all
from services.erasure import ask, erase
from services.fold import fold_all
from tests.archive.mortal import LATER
from tests.erasure.traces import traces
from tests.streams import HOUR, START, add_model, keep, label, prediction, table

DAY = timedelta(days=1)
ALWAYS = Window(START - 400 * DAY, START + 400 * DAY)
GONE = "session-that-goes-7f3a"
STAYS = "session-that-stays-19bc"

ENTITY = {GONE: "pump-that-goes-55e1", STAYS: "pump-that-stays-0c2d", None: None}

COLUMNS = ["prediction_id", "session_id", "entity", "at", "features", "output", "trace_id"]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def send(
    sessions: sessionmaker[Session], model_id: UUID, first: int, n: int, **fields: Any
) -> None:
    """Keep `n` predictions of each session, of one with no session, and their labels."""
    predictions, labels = [], []
    for i in range(first, first + n):
        for name in (GONE, STAYS, None):
            at = START + (i % 50) * HOUR
            row = prediction(
                at,
                i,
                prediction_id=f"{name}:{i}",
                session_id=name,
                entity=ENTITY[name],
                trace_id=f"trace-{name}-{i}",
            )
            predictions.append(row | fields)
            labels.append(label(None, [float(i)], prediction_id=row["prediction_id"]))
            labels.append(label(at + HOUR, [float(i)], entity=ENTITY[name] or "e1"))
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, predictions))
    keep(sessions, model_id, Kind.LABELS, table(Kind.LABELS, labels))


def finish(sessions: sessionmaker[Session], lake: Path) -> None:
    fold_all(sessions, LATER)
    archive_all(sessions, lake, LATER)


def want(
    sessions: sessionmaker[Session], model_id: UUID, field: str = "session_id", who: str = GONE
) -> UUID:
    with unit_of_work(sessions) as session:
        return ask(session, model_id, field, who, "admin", LATER).id


def quarantine(
    sessions: sessionmaker[Session], model_id: UUID, contents: Sequence[dict[str, Any]]
) -> None:
    with unit_of_work(sessions) as session:
        session.add_all(
            Quarantine(
                model_id=model_id,
                kind=Kind.PREDICTIONS,
                batch_id="b",
                row=i,
                field="at",
                reason="is missing",
                content=content,
                received_at=START,
            )
            for i, content in enumerate(contents)
        )


def predictions(lake: Path, model_id: UUID) -> list[dict[str, Any]]:
    found = Log(lake, model_id).predictions(ALWAYS, COLUMNS)
    assert found is not None
    return sorted(found.to_pylist(), key=lambda row: row["prediction_id"])


def labels(lake: Path, model_id: UUID) -> list[dict[str, Any]]:
    delta = open_table(lake, model_id, Kind.LABELS)
    assert delta is not None
    return sorted(delta.to_pyarrow_table().to_pylist(), key=str)


def number(row: dict[str, Any]) -> int:
    return int(row["prediction_id"].partition(":")[2])


def names(row: dict[str, Any]) -> bool:
    return GONE in str(row)


def test_nothing_in_the_folder_names_the_session_any_more(
    sessions: sessionmaker[Session], engine: Engine, lake: Path, tmp_path: Path
) -> None:
    model_id = add_model(sessions)
    for i in range(4):  # four files a day, and a log of its own for each
        send(sessions, model_id, 10 * i, 10)
        finish(sessions, lake)
    quarantine(
        sessions, model_id, [{"session_id": GONE}, {"session_id": STAYS}, {"row": [GONE]}]
    )
    send(sessions, model_id, 40, 10)  # still in the inbox
    expected = [
        [row for row in predictions(lake, model_id) if not names(row)],
        [row for row in labels(lake, model_id) if not names(row)],
    ]
    assert traces(tmp_path / "lake", GONE)

    erasure_id = want(sessions, model_id)
    assert erase(sessions, lake, model_id, LATER) == 1

    if engine.dialect.name == "sqlite":
        assert traces(tmp_path, GONE) == []
        assert traces(tmp_path, STAYS)  # else the look itself would be blind
    assert traces(tmp_path / "lake", GONE) == []
    kept = [row for row in predictions(lake, model_id) if number(row) < 40]
    assert kept == expected[0]
    assert len(predictions(lake, model_id)) == 100
    left = [row for row in labels(lake, model_id) if row["actual"]["load"][0] < 40]
    assert left == expected[1]
    with read_only(sessions) as session:
        done = session.get_one(Erasure, erasure_id)
        assert done.finished_at == LATER
        # 50 predictions, and the labels that name one of them. Labels by entity are others'.
        assert (done.n_lake, done.n_quarantined) == (100, 2)
        assert [row.content for row in session.scalars(select(Quarantine))] == [
            {"session_id": STAYS}
        ]
