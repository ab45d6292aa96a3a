"""Open table of alerts: one row for each flip, and another one when it is notified later."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import Alert, FlipRow, Model, Monitor
from services.open_tables import findings, open_table
from services.open_tables.open_table import (
    FLAG,
    KNOWN,
    MODEL,
    MONITOR,
    TEXT,
    TIME,
    Batch,
    Column,
    OpenTable,
)
from services.open_tables.sources import FLIPS

COLUMNS = (
    Column("flip_id", TEXT, ""),
    *MODEL,
    *MONITOR,
    *KNOWN,
    Column("flip", TEXT, "`fired`, `resolved`"),
    Column("reason", TEXT, "of the flip"),
    Column("severity", TEXT, "`page`, `ticket`"),
    Column("inhibited", FLAG, "by an input fault"),
    Column("notified_at", TIME, "wall time, queued for its channels; null while inhibited"),
    Column("finding_id", TEXT, ""),
    Column("cause", TEXT, "as in findings"),
)


def rows(session: Session, batch: Batch) -> Iterator[open_table.Row]:
    """Yield one row for each flip."""
    found = (
        select(FlipRow, Alert, Monitor, Model.name)
        .select_from(FlipRow)
        .join(Alert, Alert.id == FlipRow.alert_id)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .join(Model, Model.id == FlipRow.model_id)
        .where(batch.source.of(batch.number))
        .order_by(FlipRow.recorded_at, FlipRow.id)
    )
    for flip, alert, monitor, model in session.execute(found):
        yield {
            "flip_id": str(flip.id),
            **open_table.of_model(flip.model_id, model),
            "monitor": monitor.name,
            "kind": monitor.kind,
            "as_of": flip.at,
            "recorded_at": max(flip.recorded_at, flip.notified_at or flip.recorded_at),
            "flip": flip.flip.value,
            "reason": flip.reason.value,
            "severity": alert.severity,
            "inhibited": flip.inhibited,
            "notified_at": flip.notified_at,
            "finding_id": flip.finding_id and str(flip.finding_id),
            "cause": findings.cause(monitor.kind, flip.cause),
        }


TABLE = OpenTable(name="alerts", source=FLIPS, columns=lambda: COLUMNS, rows=rows)
