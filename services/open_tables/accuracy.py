"""Open table of accuracy: errors by version, event day, step and target."""

import logging
import re
from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy.orm import Session

from core.errors import Unprocessable
from core.schema import task
from core.schema.contract import Contract
from core.schema.task import EXPECTED, LABELLED, LOSS, NAIVE, TASKS
from core.schema.zone import Zone
from db.queries import summaries
from db.tables import Model
from services.labels import error_days
from services.labels.error_days import ErrorDay
from services.open_tables import open_table
from services.open_tables.open_table import (
    COUNT,
    DATE,
    FLAG,
    KNOWN,
    MODEL,
    NUMBER,
    TEXT,
    VERSION,
    WINDOW,
    Batch,
    Column,
    OpenTable,
)
from services.open_tables.sources import ERROR_DAYS
from tasks.sums import metrics

log = logging.getLogger(__name__)

COLUMNS = (
    *MODEL,
    VERSION,
    *WINDOW,
    *KNOWN,
    Column("day", DATE, "local"),
    Column("shadow", FLAG, "not served"),
    Column("step", COUNT, "from 1"),
    Column("target", TEXT, ""),
    Column("n_predictions", COUNT, "of the day"),
    Column("n_expected", COUNT, "labels expected"),
    Column("n_labelled", COUNT, "labels arrived"),
    Column("pending", COUNT, "labels missing"),
    Column("loss", NUMBER, "mean; error in SD, of classes squared"),
    Column("naive_loss", NUMBER, "naive forecast"),
)


def columns() -> Sequence[Column]:
    """Return the columns, with those of the metrics of every task that is installed."""
    found = {column.name: column for column in COLUMNS}
    for each in TASKS:
        for metric in each.metrics:
            name = column_of(metric.name)
            found.setdefault(
                name,
                Column(
                    name, NUMBER, metric.name + (f" in {metric.unit}" if metric.unit else "")
                ),
            )
    return [*found.values()]


def column_of(metric: str) -> str:
    """Return the column of a metric.

    Examples
    --------
    >>> column_of("relative to naive")
    'relative_to_naive'
    """
    return re.sub(r"\W+", "_", metric.lower())


def rows(session: Session, batch: Batch) -> Iterator[open_table.Row]:
    """Yield a row for each step and target of each event day with an expected label."""
    for model_id, row in summaries.of_batch(session, batch.source, batch.number):
        model = session.get_one(Model, model_id)
        try:
            day = error_days.of_row(row, model.contract)
        except (Unprocessable, ValueError):
            log.exception("model %s: the errors of %s are not published", model.name, row.start)
            continue
        window = Zone(model.contract.zone).bounds(day.day)
        of_day = {
            **open_table.of_model(model.id, model.name),
            "version": day.version,
            "window_start": window.start,
            "window_end": window.end,
            "as_of": batch.read_at,
            "recorded_at": batch.read_at,
            "day": day.day,
            "shadow": day.is_shadow,
            "n_predictions": day.n_predictions,
        }
        for cell in _cells(day, model.contract):
            yield {**of_day, **cell}


def _cells(day: ErrorDay, contract: Contract) -> Iterator[open_table.Row]:
    of = task.of(contract)
    names = dict(enumerate(contract.targets))
    for step, target in np.argwhere(day.cells[:, :, EXPECTED] > 0).tolist():
        sums = day.cells[step, target]
        labelled = sums[LABELLED]
        yield {
            "step": step + 1,
            "target": names.get(target, str(target)),
            "n_expected": int(sums[EXPECTED]),
            "n_labelled": int(labelled),
            "pending": int(sums[EXPECTED] - labelled),
            "loss": _mean(sums[LOSS], labelled),
            "naive_loss": _mean(sums[NAIVE], labelled),
            **{column_of(name): value for name, value in metrics(of, sums).items()},
        }


def _mean(total: float, n: float) -> float | None:
    return float(total / n) if n > 0 and np.isfinite(total) else None


TABLE = OpenTable(name="accuracy", source=ERROR_DAYS, columns=columns, rows=rows)
