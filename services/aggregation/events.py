"""Events of inference services counted by the cells of the SLIs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from db.queries import summaries
from db.queries.log import late_hours
from lake.lists import micros
from monitors.slo import cells
from monitors.slo.cells import CellCounts
from monitors.summaries.summary import chunk_start
from services.aggregation import serving, totals

NO_VERSION = ""  # of events that name none


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """Result of folding one group of events.

    Attributes
    ----------
    parts, totals
        What is added to each stream, by version, and to the totals.
    """

    parts: tuple[summaries.Part, ...]
    totals: tuple[summaries.Part, ...]


def summarise(rows: pa.Table) -> EventCounts:
    """Count events by version and stream; those of unknown versions too."""
    named = pc.fill_null(rows["version"], NO_VERSION)
    versions = pc.unique(named).to_pylist()
    parts, every = list[summaries.Part](), list[tuple[str, Mapping[str, CellCounts]]]()
    for version in versions:
        own = rows if len(versions) == 1 else rows.filter(pc.equal(named, version))
        counted = serving.count(own, micros(own["at"]), Kind.EVENTS)
        parts += [(cells.stream(name), version, found) for name, found in counted.items()]
        every.append((version, counted))
    return EventCounts(parts=tuple(parts), totals=tuple(totals.parts(every)))


def write(session: Session, made: Mapping[UUID, EventCounts], now: datetime) -> None:
    """Add what was counted of some models to what is stored."""
    summaries.add_all(
        session, {model_id: [*one.parts, *one.totals] for model_id, one in made.items()}
    )
    # Events do not move the clock of a model: each of their hours may be late.
    late_hours.mark(
        session,
        {
            model_id: [
                chunk_start(hour)
                for _, _, counted in one.parts
                if counted is not None
                for hour in counted.hours.tolist()
            ]
            for model_id, one in made.items()
        },
        now,
    )
