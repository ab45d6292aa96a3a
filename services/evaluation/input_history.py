"""Read the input of a model, as monitors evaluate it."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.zone import Zone
from core.window import Window, span
from db.queries import summaries, summary_layouts
from db.queries.summary_rows import SummaryRows
from db.tables import Model
from monitors.baselines.segments import INPUT_BY_SEGMENT, SLOTS, beside
from monitors.summaries import summary
from monitors.summaries.grains import INPUT_GRAINS, Grains, on_grid
from monitors.summaries.hourly import Hourly
from monitors.summaries.input_history import InputHistory
from monitors.summaries.local_time import in_local_time
from monitors.summaries.streams import INPUT
from monitors.summaries.summary import Edges
from services.aggregation import segments


def load(
    session: Session,
    model: Model,
    *windows: Window,
    by_segment: bool = False,
    rows: SummaryRows | None = None,
) -> InputHistory:
    """Read what is kept of the input of all versions in a window, or in some.

    Parameters
    ----------
    session
        The open transaction.
    model
        Whose input.
    *windows
        Of when, in UTC: one, or the stretches of a reference. What lies between them is
        without a value.
    by_segment
        With the numbers of every segment behind those of the total.
    rows
        What was read before, and is not read again.

    Returns
    -------
    InputHistory
        In the local time of the contract's zone.
    """
    contract, rows = model.contract, rows or SummaryRows(session, model.id)
    edges = rows.edges()
    if edges is None:
        edges = Edges(names=contract.measured, values=np.empty((len(contract.measured), 0)))
    n_known, n_bins = len(edges.names), edges.values.shape[-1] + 1
    seen = rows.read(INPUT, windows) or summary.empty(n_known, n_bins)
    zone, kept = Zone(contract.zone), {feature.name for feature in contract.kept}
    numbers = {*contract.measured}
    history = InputHistory(
        window=zone.locally(span(windows)),
        edges=edges,
        measured=tuple(i for i, name in enumerate(edges.names) if name in numbers),
        kept=tuple(i for i, name in enumerate(edges.names) if name in kept),
        summary=in_local_time(summary.widen(seen, n_known), zone),
        step_hours=max(contract.step // HOUR, 1),
        stretches=tuple(map(zone.locally, windows)) if len(windows) > 1 else (),
    )
    if not by_segment:
        return history
    apart = rows.read(INPUT_BY_SEGMENT, windows)
    if apart is not None:
        apart = in_local_time(apart, zone, SLOTS)
    return _with_segments(session, model, contract, history, apart)


def recent_hours(session: Session, model_id: UUID, days: int) -> Hourly | None:
    """Read the last days of a model's input, up to the watermark; None before the first row."""
    model = session.get_one(Model, model_id)
    if model.watermark is None:
        return None
    window = Window(model.watermark - timedelta(days=days), model.watermark)
    return load(session, model, window).hours


def grains(session: Session, model: Model, contract: Contract, window: Window) -> Grains:
    """Read the numbers of the input at the model's grain, of all versions, on a grid."""
    is_fine = contract.grain < HOUR
    edges = summary_layouts.edges(session, model.id)
    names = () if edges is None else edges.names
    rows = Window(window.start.replace(minute=0, second=0, microsecond=0), window.end)
    seen = summaries.read(session, INPUT_GRAINS if is_fine else INPUT, model.id, [rows])
    seen = summary.widen(seen or summary.empty(len(names)), len(names))
    numbers = {*contract.measured}
    measured = [i for i, name in enumerate(names) if name in numbers]
    return on_grid(
        seen.of(measured),
        tuple(names[i] for i in measured),
        window,
        contract.grain,
        1 if is_fine else int(HOUR.total_seconds()),
    )


def _with_segments(
    session: Session,
    model: Model,
    contract: Contract,
    whole: InputHistory,
    apart: summary.Summary | None,
) -> InputHistory:
    n_total = len(whole.measured)
    if apart is None or not contract.segment_by:
        return replace(whole, n_total=n_total)
    label = segments.label(session, model.id, contract)
    edges, summary = beside(whole.summary, whole.edges, apart, whole.measured, label)
    more = tuple(range(len(whole.edges.names), len(edges.names)))
    return replace(
        whole,
        edges=edges,
        measured=(*whole.measured, *more),
        kept=(*whole.kept, *more),
        summary=summary,
        n_total=n_total,
    )
