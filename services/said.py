"""What a version said, as monitors read it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.window import Window
from db.queries import summaries
from db.tables import Model, OutputChunk
from monitors import summary_bytes
from monitors.hourly import Hourly, hourly
from monitors.prediction_drift import PredictionDriftParams, reference_of
from monitors.summary import Edges, Summary, chunk_at, empty
from services.scene import Counted


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
    """

    first: datetime
    edges: Edges
    summary: Summary

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
    return Said(first=first, edges=edges, summary=summary_bytes.from_many(blobs))


def counted_of(session: Session, model: Model, version: str | None, window: Window) -> Counted:
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
    return Counted(
        edges=edges,
        measured=(*range(n_parts),),
        kept=(*range(n_parts),),
        summary=summary_bytes.from_many(blobs) if blobs else empty(n_parts, n_bins),
    )


def began(session: Session, model_id: UUID) -> dict[str, datetime]:
    """Return when each version began to speak."""
    rows = session.execute(
        select(OutputChunk.version, func.min(OutputChunk.start))
        .where(OutputChunk.model_id == model_id)
        .group_by(OutputChunk.version)
    )
    return dict(rows.all())
