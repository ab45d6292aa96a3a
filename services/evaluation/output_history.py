"""Read the predictions of a version, as monitors evaluate them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.schema.contract import Contract
from core.window import Window
from db.queries import summaries
from db.tables import Model
from monitors.baselines.first_days import reference_of
from monitors.baselines.segments import OUTPUT_BY_SEGMENT, beside
from monitors.sources import OutputHistory, Outputs
from monitors.summaries.input_history import InputHistory
from monitors.summaries.streams import OUTPUT
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
    edges = summaries.edges(session, model_id, OUTPUT)
    if first is None or edges is None or first >= lately.end:
        return None
    reference = reference_of(source, first, lately.end)
    seen = summaries.read(session, OUTPUT, model_id, [reference, lately], [version])
    if seen is None:
        return None
    found = OutputHistory(first=first, edges=edges, summary=seen)
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
    versions = [] if version is None else [version]
    apart = summaries.read(session, OUTPUT_BY_SEGMENT, model_id, windows, versions)
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
    edges = summaries.edges(session, model.id, OUTPUT)
    if edges is None:
        edges = Edges(names=(), values=np.empty((0, 0)))
    n_parts, n_bins = len(edges.names), edges.values.shape[-1] + 1
    seen = None
    if version is not None:
        seen = summaries.read(session, OUTPUT, model.id, [window], [version])
    summary = seen or empty(n_parts, n_bins)
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
    return summaries.firsts(session, OUTPUT, model_id)
