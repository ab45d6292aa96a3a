"""Findings of a model, written without an evaluation; and a publisher that dies."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase, Reason
from core.durations import DAY
from db.session import connect, unit_of_work
from db.tables import Alert, Finding, FlipRow, Monitor
from monitors.finding import Outcome
from services.open_tables.publish import publish_all
from tests import streams
from tests.archive.crashing import arm
from tests.streams import START

NOW = START + 10 * DAY
FEATURES = ("load", "wind")


def add_model(
    sessions: sessionmaker[Session], name: str = "grid", kind: str = "input_drift"
) -> UUID:
    """Add a model with a monitor that has an alert."""
    model_id = streams.add_model(sessions, name=name)
    with unit_of_work(sessions) as session:
        monitor = Monitor(model_id=model_id, name=kind, kind=kind, severity="ticket", params={})
        session.add(monitor)
        session.flush()
        session.add(Alert(monitor_id=monitor.id, model_id=model_id, phase=Phase.QUIET))
    return model_id


def add(
    sessions: sessionmaker[Session], model_id: UUID, n: int, first: int = 0, cause: str = ""
) -> None:
    """Add findings with two scores each, and a flip for each."""
    with unit_of_work(sessions) as session:
        monitor = session.query(Monitor).filter_by(model_id=model_id).one()
        alert = session.query(Alert).filter_by(model_id=model_id).one()
        for i in range(first, first + n):
            at = START + i * DAY
            finding = Finding(
                monitor_id=monitor.id,
                model_id=model_id,
                version="v1",
                window_start=at - DAY,
                window_end=at,
                as_of=at,
                outcome=Outcome.BREACH,
                value=float(i),
                threshold=1.0,
                cause=cause,
                detail={"features": {name: {"score": float(i)} for name in FEATURES}},
                recorded_at=at,
            )
            session.add(finding)
            session.flush()
            session.add(flip(alert, finding.id, at, cause))


def flip(alert: Alert, finding_id: UUID, at: datetime, cause: str) -> FlipRow:
    return FlipRow(
        alert_id=alert.id,
        model_id=alert.model_id,
        finding_id=finding_id,
        flip=Flip.FIRED,
        reason=Reason.BREACHED,
        cause=cause,
        at=at,
        recorded_at=at,
    )


def die(url: str, lake: Path, *point: str) -> None:
    """Publish, and die at a named point."""
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    arm(*point)
    publish_all(sessions, lake, NOW)
