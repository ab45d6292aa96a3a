"""Open table of SLOs: good, bad and unknown events by hour."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.durations import HOUR
from core.errors import Unprocessable
from core.window import Window
from db.queries import summaries
from db.tables import Model, Monitor
from monitors.kinds.burn_rate import KIND
from monitors.slo import sli
from monitors.slo.cells import CellCounts, from_many
from monitors.slo.objective import BurnRateParams
from monitors.slo.sli import SliKind
from services.aggregation import segments
from services.models import monitor_config
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
from services.open_tables.sources import SERVED_HOURS

log = logging.getLogger(__name__)

COLUMNS = (
    *MODEL,
    *MONITOR,
    Column("sli", TEXT, ""),
    VERSION,
    Column("segment", TEXT, "null: all"),
    *WINDOW,
    *KNOWN,
    Column("unit", TEXT, "`predictions`, `events` or `time slices` of 10 s"),
    Column("objective", NUMBER, "share, 0 to 1"),
    Column("good", COUNT, "events"),
    Column("bad", COUNT, "events"),
    Column("unknown", COUNT, "events"),
)


def rows(session: Session, batch: Batch) -> Iterator[open_table.Row]:
    """Yield a row for each hour, version and SLO, and for each segment where it asks for them.

    An SLO is a monitor of kind `burn_rate` that is enabled.
    """
    found = [*summaries.of_batch(session, batch.source, batch.number)]
    slos = _slos(session, {model_id for model_id, _ in found})
    models = {model_id: session.get_one(Model, model_id) for model_id in slos}
    labels = {
        model.id: segments.label(session, model.id, model.contract) for model in models.values()
    }
    for model_id, row in found:
        if model_id not in slos:
            continue
        model = models[model_id]
        counted, window = from_many([row.payload]), Window(row.start, row.start + HOUR)
        for monitor, params in slos[model_id]:
            kind = sli.find(params.sli)
            if kind.stream.name != row.stream:
                continue
            of_slo = {
                **open_table.of_model(model.id, model.name),
                "monitor": monitor.name,
                "kind": monitor.kind,
                "sli": params.sli,
                "version": row.version,
                "window_start": window.start,
                "window_end": window.end,
                "as_of": batch.read_at,
                "recorded_at": batch.read_at,
                "unit": kind.unit.value,
                "objective": params.share,
            }
            parts: dict[str | None, CellCounts] = {None: counted}
            if params.by_segment:
                places = np.unique(counted.places).tolist()
                parts = {labels[model_id](at): counted.of_place(at) for at in places}
            for segment, part in parts.items():
                yield {**of_slo, "segment": segment, **_counts(kind, params, part, window)}


def _slos(
    session: Session, model_ids: set[UUID]
) -> dict[UUID, list[tuple[Monitor, BurnRateParams]]]:
    found: dict[UUID, list[tuple[Monitor, BurnRateParams]]] = defaultdict(list)
    for model_id, monitors in monitor_config.of_models(session, model_ids).items():
        for monitor in monitors:
            if monitor.enabled and monitor.kind == KIND.name:
                try:
                    found[model_id].append((monitor, monitor_config.params_of(monitor)))
                except Unprocessable:
                    log.exception("monitor %s: its SLO is not published", monitor.name)
    return found


def _counts(
    kind: SliKind[Any], params: BurnRateParams, counted: CellCounts, window: Window
) -> open_table.Row:
    """Return the events of an hour; null where the SLI cannot classify them."""
    try:
        of_sli = sli.parse(params.sli, params.sli_params)
        good, bad, unknown = kind.count(counted.within(window), of_sli)
    except Exception:  # also what looks like an outage: an SLI of a plug-in reads nothing
        log.exception("SLI %s: the events of %s are not published", params.sli, window.start)
        return {}
    return {"good": good, "bad": bad, "unknown": unknown}


TABLE = OpenTable(name="slo_slices", source=SERVED_HOURS, columns=lambda: COLUMNS, rows=rows)
