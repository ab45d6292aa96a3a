"""Read the predictions of a version, as monitors evaluate them."""

from collections.abc import Sequence
from dataclasses import replace
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
from monitors.baselines.first_days import reference_of
from monitors.baselines.segments import beside
from monitors.sources import OutputHistory, Outputs
from monitors.summaries import serialization
from monitors.summaries.input_history import InputHistory
from monitors.summaries.summary import Edges, Summary, empty
from services.aggregation import segments


def load(
    session: Session,
    model_id: UUID,
    version: str,
    source: Outputs,
    lately: Window,
) -> OutputHistory | None:
    """Read the recent outputs of a version, and those of its baseline.

    Parameters
    ----------
    session
        The open transaction.
    model_id, version
        Whose predictions.
    source
        Which days it is measured against.
    lately
        The windows that are evaluated, and what that needs.

    Returns
    -------
    OutputHistory or None
        None when it had predicted nothing by then, or nothing for a long time.
    """
    first = began(session, model_id).get(version)
    edges = summaries.output_edges(session, model_id)
    if first is None or edges is None or first >= lately.end:
        return None
    start = OutputChunk.start
    reference = reference_of(source, first, lately.end)
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
    found = OutputHistory(first=first, edges=edges, summary=serialization.from_many(blobs))
    if not source.by_segment:
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
    """Lay the output of every segment beside the output of all."""
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
) -> InputHistory:
    """Read the predictions of a version in a window, in the form of input."""
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
    return InputHistory(
        window=window,
        edges=edges,
        measured=(*range(n_parts),),
        kept=(*range(n_parts),),
        summary=summary,
    )


def began(session: Session, model_id: UUID) -> dict[str, datetime]:
    """Return when each version began to predict."""
    rows = session.execute(
        select(OutputChunk.version, func.min(OutputChunk.start))
        .where(OutputChunk.model_id == model_id)
        .group_by(OutputChunk.version)
    )
    return dict(rows.all())
