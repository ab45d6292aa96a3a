"""Rows for tests: built as Arrow tables, kept in the inbox as the API keeps them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow as pa
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import Kind, schema
from core.window import Window
from db.queries.log import inbox
from db.session import read_only, unit_of_work
from db.tables import Inbox, Model, Version
from services.ingest import persist
from services.models import champion_pointer, monitor_config
from services.models.monitor_config import MonitorPlan

START = datetime(2026, 1, 5, tzinfo=UTC)
CONTRACT = Contract(
    features=(Feature(name="load"), Feature(name="wind")),
    targets=("load",),
    step=HOUR,
    input_length=4,
    horizon=3,
)


def add_model(
    sessions: sessionmaker[Session], contract: Contract = CONTRACT, name: str = "grid"
) -> UUID:
    with unit_of_work(sessions) as session:
        model = Model(name=name, contract=contract, created_at=START)
        session.add(model)
        session.flush()
        return model.id


def add_version(
    sessions: sessionmaker[Session], model_id: UUID, name: str, manifest: dict[str, Any]
) -> UUID:
    with unit_of_work(sessions) as session:
        version = Version(
            model_id=model_id,
            name=name,
            contract=CONTRACT,
            contract_digest=CONTRACT.digest,
            manifest=manifest,
            created_at=START,
        )
        session.add(version)
        session.flush()
        return version.id


def add_served_model(
    sessions: sessionmaker[Session],
    contract: Contract = CONTRACT,
    name: str = "grid",
    *,
    reference_days: int = 0,
    monitors: Mapping[str, Mapping[str, Any]],
) -> UUID:
    """Add a model whose version v1 serves, and monitors by kind with their parameters.

    The reference of the version begins at `START`; it has none where that is of 0 days.
    """
    model_id = add_model(sessions, contract, name)
    version_id = add_version(sessions, model_id, "v1", {})
    with unit_of_work(sessions) as session:
        if reference_days:
            version = session.get_one(Version, version_id)
            version.reference = (Window(START, START + timedelta(days=reference_days)),)
        champion_pointer.move(session, model_id, version_id, 0, START)
        for kind, params in monitors.items():
            plan = MonitorPlan(name=kind, kind=kind, params=dict(params))
            monitor_config.put(session, model_id, plan)
    return model_id


def prediction(at: datetime, number: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a row of `fields`, and of defaults otherwise."""
    defaults = {
        "prediction_id": f"p-{number}-{at.isoformat()}",
        "version": "v1",
        "at": at,
        "entity": "e1",
        "features": {"load": [1.0], "wind": [2.0]},
        "output": {"load": [1.0, 2.0, 3.0]},
        "status": "ok",
        "shadow": False,
        "received_at": max(at, START),
    }
    return defaults | fields


def label(target_at: datetime | None, actual: Sequence[float | None], **fields: Any) -> Any:
    defaults = {
        "entity": "e1" if target_at else None,
        "target_at": target_at,
        "actual": {"load": list(actual)},
        "arrived_at": (target_at or START) + HOUR,
        "received_at": START,
    }
    return defaults | fields


def event(at: datetime, number: int = 0, **fields: Any) -> dict[str, Any]:
    """Return an event of `fields`, and of defaults otherwise."""
    defaults = {
        "event_id": f"e-{number}",
        "type": "cold_start",
        "at": at,
        "version": "v1",
        "received_at": max(at, START),
    }
    return defaults | fields


def table(
    kind: Kind, rows: Sequence[Mapping[str, Any]], contract: Contract = CONTRACT
) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema(kind, contract))


def keep(
    sessions: sessionmaker[Session],
    model_id: UUID,
    kind: Kind,
    rows: pa.Table,
    received_at: datetime = START,
) -> None:
    """Put rows into the inbox."""
    with unit_of_work(sessions) as session:
        persist.keep(session, model_id, kind, rows, received_at)


def waiting_rows(
    sessions: sessionmaker[Session], kind: Kind | None = None
) -> list[dict[str, Any]]:
    """Return every row of the inbox, in order."""
    with read_only(sessions) as session:
        query = select(Inbox.id).order_by(Inbox.id)
        entries = session.scalars(query if kind is None else query.where(Inbox.kind == kind))
        contents = [inbox.contents(session, [entry])[entry] for entry in entries.all()]
    return [
        row
        for content in contents
        for row in pa.ipc.open_stream(content).read_all().to_pylist()
    ]
