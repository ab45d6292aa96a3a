"""What a version said, as monitors read it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.schema.contract import Contract
from core.window import Window
from db.queries import segments as stored
from db.queries import summaries
from db.tables import Model, OutputChunk, SegmentOutputChunk
from monitors.baselines.segments import beside
from monitors.drift.prediction_drift import PredictionDriftParams, reference_of
from monitors.summaries import serialization
from monitors.summaries.hourly import Hourly, hourly
from monitors.summaries.input_history import Counted
from monitors.summaries.summary import Edges, Summary, chunk_at, empty
from services.aggregation import segments


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """What one version said.

    Attributes
    ----------
    first
        When it began to speak.
    edges
        The parts of its targets, and the bins of each.
    summary
        Hour by hour: of the days that it is measured against, and of the last.
    n_total
        How many parts are of all segments together, where those of each lie
        behind them; None where they do not.
    """

    first: datetime
    edges: Edges
    summary: Summary
    n_total: int | None = None

    def on_hours(self, window: Window) -> Hourly:
        """Lay a window on a grid of hours."""
        return hourly(self.summary, self.edges.names, window.start, window.end)

    def within(self, window: Window) -> Summary:
        """Return the hours of a window."""
        return self.summary.select(chunk_at(window.start), chunk_at(window.end))


def load(
    session: Session,
    model_id: UUID,
    version: str,
    params: PredictionDriftParams,
    lately: Window,
) -> Said | None:
    """Read what a version said lately, and in the days that it is measured against.

    Parameters
    ----------
    session
        The open transaction.
    model_id, version
        Who spoke.
    params
        Say what it is measured against.
    lately
        The windows that are judged, and what they need to be.

    Returns
    -------
    Said or None
        None when it had said nothing by then, or nothing for a long time.
    """
    first = began(session, model_id).get(version)
    edges = summaries.output_edges(session, model_id)
    if first is None or edges is None or first >= lately.end:
        return None
    start = OutputChunk.start
    reference = reference_of(params, first, lately.end)
    blobs = session.scalars(
        select(OutputChunk.payload).where(
            OutputChunk.model_id == model_id,
            OutputChunk.version == version,
            or_(
                (start >= reference.start) & (start < reference.end),
                (start >= lately.start) & (start < lately.end),
            ),
        )
    ).all()
    if not blobs:
        return None
    found = Said(first=first, edges=edges, summary=serialization.from_many(blobs))
    if not params.by_segment:
        return found
    edges, summary = _apart(
        session, model_id, version, [reference, lately], (edges, found.summary)
    )
    return replace(found, edges=edges, summary=summary, n_total=len(found.edges.names))


def _apart(
    session: Session,
    model_id: UUID,
    version: str | None,
    windows: Sequence[Window],
    whole: tuple[Edges, Summary],
) -> tuple[Edges, Summary]:
    """Lay what was said of every segment beside what was said of all."""
    edges, summary = whole
    contract = Contract.from_json(session.get_one(Model, model_id).contract)
    apart = stored.read(session, SegmentOutputChunk, model_id, windows, version)
    if apart is None:
        return whole
    label = segments.label(session, model_id, contract)
    return beside(summary, edges, apart, range(len(edges.names)), label)


def counted_of(
    session: Session,
    model: Model,
    version: str | None,
    window: Window,
    *,
    by_segment: bool = False,
) -> Counted:
    """Read what a version said in a window, as what is kept of input is read."""
    edges = summaries.output_edges(session, model.id)
    if edges is None:
        edges = Edges(names=(), values=np.empty((0, 0)))
    blobs = session.scalars(
        select(OutputChunk.payload).where(
            OutputChunk.model_id == model.id,
            OutputChunk.version == version,
            OutputChunk.start >= window.start,
            OutputChunk.start < window.end,
        )
    ).all()
    n_parts, n_bins = len(edges.names), edges.values.shape[-1] + 1
    summary = serialization.from_many(blobs) if blobs else empty(n_parts, n_bins)
    if by_segment:
        edges, summary = _apart(session, model.id, version, [window], (edges, summary))
        n_parts = len(edges.names)
    return Counted(
        edges=edges,
        measured=(*range(n_parts),),
        kept=(*range(n_parts),),
        summary=summary,
    )


def began(session: Session, model_id: UUID) -> dict[str, datetime]:
    """Return when each version began to speak."""
    rows = session.execute(
        select(OutputChunk.version, func.min(OutputChunk.start))
        .where(OutputChunk.model_id == model_id)
        .group_by(OutputChunk.version)
    )
    return dict(rows.all())
