"""Rows of a session that is to go, of one that is to stay, and of none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import Kind
from core.window import Window
from db.session import unit_of_work
from db.tables import (
    Quarantine,
)
from lake.reading import Log
from lake.tables import open_table
from services.aggregation.fold import fold_all
from services.retention.archive import archive_all
from services.retention.erasure_requests import ask
from tests.archive.crashing import LATER
from tests.streams import START, event, keep, label, prediction, table

ALWAYS = Window(START - 400 * DAY, START + 400 * DAY)
GONE = "session-that-goes-7f3a"
STAYS = "session-that-stays-19bc"

ENTITY = {GONE: "pump-that-goes-55e1", STAYS: "pump-that-stays-0c2d", None: None}

COLUMNS = ["prediction_id", "session_id", "entity", "at", "features", "output", "trace_id"]


def send(
    sessions: sessionmaker[Session], model_id: UUID, first: int, n: int, **fields: Any
) -> None:
    """Keep `n` predictions of each session, of one with no session, and their labels."""
    predictions, labels, events = [], [], []
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
            events.append(event(at, type="restore", event_id=f"{i}-{at}", session_id=name))
            labels.append(label(None, [float(i)], prediction_id=row["prediction_id"]))
            labels.append(label(at + HOUR, [float(i)], entity=ENTITY[name] or "e1"))
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, predictions))
    keep(sessions, model_id, Kind.LABELS, table(Kind.LABELS, labels))
    keep(sessions, model_id, Kind.EVENTS, table(Kind.EVENTS, events))


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
