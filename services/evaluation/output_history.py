"""Read the predictions of a version, as monitors evaluate them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.schema.contract import Contract
from core.schema.zone import Zone
from core.window import Window
from db.queries import summaries, summary_layouts
from db.tables import Model
from monitors.baselines.first_days import reference_of
from monitors.baselines.segments import OUTPUT_BY_SEGMENT, SLOTS, beside
from monitors.sources import OutputHistory, Outputs
from monitors.summaries.input_history import InputHistory
from monitors.summaries.local_time import in_local_time
from monitors.summaries.streams import OUTPUT
from monitors.summaries.summary import Edges, Summary, empty
from services.aggregation import segments


def load(
    session: Session,
    model: Model,
    version: str,
    source: Outputs,
    lately: Window,
) -> OutputHistory | None:
    """Read the recent outputs of a version, and those of its baseline.

    Parameters
    ----------
    session
        The open transaction.
    model, version
        Whose predictions.
    source
        Which days it is measured against.
    lately
        The windows that are evaluated, and what that needs, in UTC.

    Returns
    -------
    OutputHistory or None
        In the local time of the contract's zone. None when it had predicted nothing by then,
        or nothing for a long time.
    """
    _, zone = _contract(model)
    first = began(session, model.id).get(version)
    edges = summary_layouts.edges(session, model.id, OUTPUT)
    if first is None or edges is None or first >= lately.end:
        return None
    first = zone.local(first)
    reference = zone.instants(reference_of(source, first, zone.local(lately.end)))
    seen = summaries.read(session, OUTPUT, model.id, [reference, lately], [version])
    if seen is None:
        return None
    found = OutputHistory(first=first, edges=edges, summary=in_local_time(seen, zone))
    if not source.by_segment:
        return found
    edges, summary = _apart(
        session, model, version, [reference, lately], (edges, found.summary)
    )
    return replace(found, edges=edges, summary=summary, n_total=len(found.edges.names))


def _contract(model: Model) -> tuple[Contract, Zone]:
    contract = model.contract
    return contract, Zone(contract.zone)


def _apart(
    session: Session,
    model: Model,
    version: str | None,
    windows: Sequence[Window],
    whole: tuple[Edges, Summary],
) -> tuple[Edges, Summary]:
    """Lay the output of every segment beside the output of all."""
    edges, summary = whole
    contract, zone = _contract(model)
    versions = [] if version is None else [version]
    apart = summaries.read(session, OUTPUT_BY_SEGMENT, model.id, windows, versions)
    if apart is None:
        return whole
    apart = in_local_time(apart, zone, SLOTS)
    label = segments.label(session, model.id, contract)
    return beside(summary, edges, apart, range(len(edges.names)), label)


def counted_of(
    session: Session,
    model: Model,
    version: str | None,
    window: Window,
    *,
    by_segment: bool = False,
) -> InputHistory:
    """Read the predictions of a version in a window (UTC), in the form of input."""
    _, zone = _contract(model)
    edges = summary_layouts.edges(session, model.id, OUTPUT)
    if edges is None:
        edges = Edges(names=(), values=np.empty((0, 0)))
    n_parts, n_bins = len(edges.names), edges.values.shape[-1] + 1
    seen = None
    if version is not None:
        seen = summaries.read(session, OUTPUT, model.id, [window], [version])
    summary = in_local_time(seen or empty(n_parts, n_bins), zone)
    if by_segment:
        edges, summary = _apart(session, model, version, [window], (edges, summary))
        n_parts = len(edges.names)
    return InputHistory(
        window=zone.locally(window),
        edges=edges,
        measured=(*range(n_parts),),
        kept=(*range(n_parts),),
        summary=summary,
    )


def began(session: Session, model_id: UUID) -> dict[str, datetime]:
    """Return when each version began to predict."""
    return summaries.firsts(session, OUTPUT, model_id)
