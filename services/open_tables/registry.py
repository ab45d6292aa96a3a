"""The open tables, and the sources that they are made of."""

from db.queries.publication import Source
from services.open_tables import accuracy, alerts, drift_scores, findings, slo_slices
from services.open_tables.open_table import OpenTable

TABLES: tuple[OpenTable, ...] = (
    findings.TABLE,
    drift_scores.TABLE,
    accuracy.TABLE,
    slo_slices.TABLE,
    alerts.TABLE,
)
SOURCES: tuple[Source, ...] = tuple(
    {table.source.name: table.source for table in TABLES}.values()
)
