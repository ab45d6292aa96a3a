"""Summaries as they lie in the database, written and read by tests."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.streams import Additive
from core.window import midnight
from db.queries import summaries
from db.queries.summaries import AnyStream
from db.tables import SummaryRow, SummarySeries
from lake.lists import Floats
from monitors.slo import cells
from monitors.slo.cells import CellCounts, Columns, Texts
from monitors.slo.serving import CELLS, SERVING
from monitors.summaries.summary import Bools, Ints
from services.labels.error_days import ERRORS, SHADOW_ERRORS, DaySums


def rows(
    session: Session,
    stream: AnyStream,
    model_id: UUID | None = None,
    version: str | None = None,
) -> list[SummaryRow]:
    """Return the rows of a stream, oldest first."""
    found = select(SummaryRow).where(SummaryRow.stream == stream.name)
    if model_id is not None:
        found = found.where(SummaryRow.model_id == model_id)
    if version is not None:
        found = found.where(SummaryRow.version == version)
    return [*session.scalars(found.order_by(SummaryRow.start, SummaryRow.version))]


def whole(session: Session, stream: Additive[Any], *which: Any) -> Any:
    """Return the summary of all rows of a stream; there must be one."""
    return stream.from_many([row.payload for row in rows(session, stream, *which)])


def put(
    session: Session, stream: AnyStream, model_id: UUID, day: date, version: str, content: Any
) -> None:
    """Write what a stream holds of a day."""
    row = {"start": midnight(day), "level": stream.level, "payload": stream.to_bytes(content)}
    session.add(SummaryRow(series_id=series_of(session, stream, model_id, version), **row))


def series_of(session: Session, stream: AnyStream, model_id: UUID, version: str) -> int:
    """Return the id of the series of a stream and a version; a new one where there is none."""
    of = {"model_id": model_id, "stream": stream.name, "version": version}
    series = session.scalar(select(SummarySeries).filter_by(**of)) or SummarySeries(**of)
    session.add(series)
    session.flush()
    return series.id


def put_errors(
    session: Session,
    model_id: UUID,
    day: date,
    version: str,
    cells: Floats,
    n_predictions: int,
    *,
    shadow: bool = False,
) -> None:
    """Write the sums of a day's errors, (step, target, 5)."""
    sums = DaySums(n_predictions=n_predictions, cells=cells)
    put(session, SHADOW_ERRORS if shadow else ERRORS, model_id, day, version, sums)


def put_served(
    session: Session,
    model_id: UUID,
    version: str,
    at: datetime,
    n: int,
    n_failed: int = 0,
    latency: Sequence[float] | Floats = (),
) -> None:
    """Add predictions that were served at a moment; those without a latency lack it."""
    seconds = np.full(n, np.nan)
    seconds[: len(latency)] = latency
    times = np.full(n, int(at.timestamp()) * 1_000_000)
    found = served(times, np.arange(n) >= n - n_failed, seconds)
    summaries.add(session, model_id, [(SERVING, version, found)])


def served(at: Ints, failed: Bools, latency: Floats) -> CellCounts:
    """Count predictions, (prediction,) each; those without a latency have NaN."""
    status = Texts(codes=failed.astype(np.int64), values=("ok", "error"))
    columns = Columns(n=len(at), numbers={"latency_seconds": latency}, texts={"status": status})
    return cells.summarise(at, CELLS.of(columns))


def drop(session: Session, *streams: AnyStream, before: datetime | None = None) -> None:
    """Delete what is stored of some streams."""
    names = [stream.name for stream in streams]
    gone = delete(SummaryRow).where(SummaryRow.stream.in_(names))
    session.execute(gone if before is None else gone.where(SummaryRow.start < before))
