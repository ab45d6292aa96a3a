"""Open table of findings: one row for each finding, and for each revision of one."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import Finding, Model, Monitor
from monitors import registry
from services.open_tables import open_table
from services.open_tables.open_table import (
    COUNT,
    KNOWN,
    MODEL,
    MONITOR,
    NUMBER,
    TEXT,
    VERSION,
    WINDOW,
    Batch,
    Column,
    OpenTable,
)
from services.open_tables.sources import FINDINGS

FINDING = (
    Column("finding_id", TEXT, ""),
    *MODEL,
    *MONITOR,
    VERSION,
    *WINDOW,
    *KNOWN,
    Column("rev", COUNT, "revisions"),
    Column("outcome", TEXT, "`ok`, `breach`, `no_data`, `error`"),
)
COLUMNS = (
    *FINDING,
    Column("value", NUMBER, "unit of the kind"),
    Column("threshold", NUMBER, "likewise"),
    Column("cause", TEXT, "empty for `silence`, `entity_health`"),
)


def read(session: Session, batch: Batch) -> Iterator[tuple[Finding, open_table.Row]]:
    """Yield the findings of a batch, each with the columns `FINDING`."""
    found = (
        select(Finding, Monitor.name, Monitor.kind, Model.name)
        .join(Monitor, Monitor.id == Finding.monitor_id)
        .join(Model, Model.id == Finding.model_id)
        .where(batch.source.of(batch.number))
        .order_by(Finding.recorded_at, Finding.id)
    )
    for finding, monitor, kind, model in session.execute(found):
        yield (
            finding,
            {
                "finding_id": str(finding.id),
                **open_table.of_model(finding.model_id, model),
                "monitor": monitor,
                "kind": kind,
                "version": finding.version,
                "window_start": finding.window_start,
                "window_end": finding.window_end,
                "as_of": finding.as_of,
                "recorded_at": finding.revised_at or finding.recorded_at,
                "rev": finding.rev,
                "outcome": finding.outcome.value,
            },
        )


def rows(session: Session, batch: Batch) -> Iterator[open_table.Row]:
    """Yield one row for each finding."""
    for finding, of in read(session, batch):
        yield {
            **of,
            "value": finding.value,
            "threshold": finding.threshold,
            "cause": cause(str(of["kind"]), finding.cause),
        }


def cause(kind: str, text: str) -> str:
    """Return the cause of a finding or flip; "" of a kind that names entities.

    Open tables are copied to where no erasure reaches.
    """
    return "" if registry.stored(kind).names_entities else text


TABLE = OpenTable(name="findings", source=FINDINGS, columns=lambda: COLUMNS, rows=rows)
