"""What the numbers of a stream are about: frozen edges, and layouts of window profiles."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.streams import Additive
from db.tables import SummaryLayout
from monitors.summaries.streams import INPUT, WINDOW_PROFILE
from monitors.summaries.summary import Edges
from monitors.temporal.window_profile_schema import Layout

_EDGES = select(SummaryLayout.payload).where(
    SummaryLayout.model_id == bindparam("model_id"), SummaryLayout.stream == bindparam("stream")
)
_LAYOUTS = select(SummaryLayout.model_id, SummaryLayout.stream, SummaryLayout.payload).where(
    SummaryLayout.model_id.in_(bindparam("model_ids", expanding=True))
)


def edges(session: Session, model_id: UUID, stream: Additive[Any] = INPUT) -> Edges | None:
    """Return the frozen edges of a model's input, or of its output; None before there are."""
    payload = session.scalar(_EDGES, {"model_id": model_id, "stream": stream.name})
    return None if payload is None else _edges(payload)


@lru_cache(maxsize=512)
def _edges(payload: bytes) -> Edges:
    """Return edges; they are frozen, and read with every fold and every grain."""
    return Edges.from_json(msgspec.json.decode(payload))


def freeze(
    session: Session,
    model_id: UUID,
    layout: Edges | Layout,
    now: datetime,
    stream: Additive[Any] = INPUT,
) -> None:
    """Keep the edges or the layout of a stream for ever; those of what came later are added."""
    payload = json.dumps(layout.to_json()).encode()
    row = session.get(SummaryLayout, (model_id, stream.name))
    if row is None:
        at = {"model_id": model_id, "stream": stream.name}
        session.add(SummaryLayout(**at, payload=payload, frozen_at=now))
    else:
        row.payload = payload


def layout(session: Session, model_id: UUID) -> Layout | None:
    """Return the layout of a model's window profiles; None where nothing is."""
    payload = session.scalar(_EDGES, {"model_id": model_id, "stream": WINDOW_PROFILE.name})
    return None if payload is None else _layout(payload)


@lru_cache(maxsize=512)
def _layout(payload: bytes) -> Layout:
    return Layout.from_json(msgspec.json.decode(payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """What the numbers of a model's streams are about; None where nothing is yet."""

    input: Edges | None = None
    output: Edges | None = None
    window_profile: Layout | None = None


def layouts(session: Session, model_ids: Sequence[UUID]) -> dict[UUID, Layouts]:
    """Return the layouts of some models, in one statement."""
    found: dict[UUID, dict[str, Any]] = {model_id: {} for model_id in model_ids}
    for model_id, stream, payload in session.connection().execute(
        _LAYOUTS, {"model_ids": [*model_ids]}
    ):
        is_layout = stream == WINDOW_PROFILE.name
        found[model_id][stream] = _layout(payload) if is_layout else _edges(payload)
    return {model_id: Layouts(**own) for model_id, own in found.items()}
