"""Result of a fold, written in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, or_, update
from sqlalchemy.orm import Session

from core.schema.zone import Zone
from core.stored import from_attributes
from core.streams import Additive
from db.base import Base
from db.queries import segments as named
from db.queries import summaries, summary_layouts
from db.queries.log import late_hours, recompute_marks, row_counters
from monitors.baselines.segments import INPUT_BY_SEGMENT, OUTPUT_BY_SEGMENT
from monitors.slo import cells, sli
from monitors.slo.cells import CellCounts
from monitors.slo.serving import SERVING
from monitors.slo.silence import ARRIVALS
from monitors.summaries.grains import INPUT_GRAINS
from monitors.summaries.local_time import local_hours
from monitors.summaries.streams import INPUT, OUTPUT, WINDOW_PROFILE
from monitors.summaries.summary import Edges, Summary, chunk_at, chunk_start
from monitors.temporal.window_profile_schema import Layout
from services.aggregation import entities, totals
from services.aggregation.entities import Seen
from services.aggregation.segments import Names
from services.ingest import event_time
from services.ingest.event_time import Times

REBUILD_JOB = "rebuild"  # while a run of it is open, no row of its model is folded

_MODEL = Base.metadata.tables["model"]
_ADVANCE = (
    update(_MODEL)
    .where(
        _MODEL.c.id == bindparam("model_id"),
        or_(_MODEL.c.watermark.is_(None), _MODEL.c.watermark < bindparam("clock")),
    )
    .values(watermark=bindparam("clock"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """Frozen edges of summaries; None where there are none yet.

    Attributes
    ----------
    names
        Of segments, by place.
    """

    input: Edges | None
    output: Edges | None
    window_profile: Layout | None = None
    names: Names = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Summaries of one version.

    Attributes
    ----------
    output
        Its outputs; None when it has none.
    by_segment, outputs_by_segment
        The same, a chunk per hour and place; None where the contract has no
        segments apart.
    window_profile
        What its rows are like inside; None where they have no inside.
    cells
        Of the SLIs, by stream; none for past input.
    grains
        The moments of `input` at the model's grain; None where that is an hour or more.
    """

    version: str
    input: Summary
    output: Summary | None
    window_profile: Summary | None
    cells: Mapping[str, CellCounts] = field(default_factory=dict)
    grains: Summary | None = None
    by_segment: Summary | None = None
    outputs_by_segment: Summary | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Result of folding one group of predictions.

    Attributes
    ----------
    before, edges
        The edges that there were, and those that there are now.
    parts
        By version.
    times
        What is odd about the times of the rows.
    days
        The days of local time that they are about.
    entities
        When they were predicted for; None where the rows name none.
    late_hours
        The hours before that of the newest event so far whose served rows these are.
    """

    before: Frozen
    edges: Frozen
    parts: list[Part]
    times: Times
    days: Sequence[date]
    entities: Seen | None = None
    late_hours: Sequence[datetime] = ()


def frozen(session: Session, model_id: UUID) -> Frozen:
    """Return the edges of a model."""
    return frozen_of(session, [model_id])[model_id]


def frozen_of(session: Session, model_ids: Sequence[UUID]) -> dict[UUID, Frozen]:
    """Return the edges of some models."""
    names = named.names_of(session, model_ids)
    return {
        model_id: from_attributes(Frozen, layouts, names=names[model_id])
        for model_id, layouts in summary_layouts.layouts(session, model_ids).items()
    }


def write(session: Session, made: Mapping[UUID, Made], now: datetime) -> None:
    """Add what was made of one group of each of some models to what is stored."""
    for model_id, one in made.items():
        freeze(session, model_id, one.before, one.edges, now)
    summaries.add_all(session, {model_id: _seen(one) for model_id, one in made.items()})
    entities.add(
        session, {of: one.entities for of, one in made.items() if one.entities is not None}
    )
    _keep_time(session, made, now)


def _seen(made: Made) -> list[summaries.Part]:
    seen = [one for part in made.parts for one in summaries_of(part)]
    seen += totals.parts((part.version, part.cells) for part in made.parts)
    return [*seen, (ARRIVALS, "", made.times.arrivals)]


def freeze(
    session: Session, model_id: UUID, before: Frozen, edges: Frozen, now: datetime
) -> None:
    """Keep the edges that are new, for ever."""
    if edges.input is not None and edges.input is not before.input:
        summary_layouts.freeze(session, model_id, edges.input, now)
    if edges.output is not None and edges.output is not before.output:
        summary_layouts.freeze(session, model_id, edges.output, now, OUTPUT)
    if edges.window_profile is not None and edges.window_profile is not before.window_profile:
        summary_layouts.freeze(session, model_id, edges.window_profile, now, WINDOW_PROFILE)
    new = {place: name for place, name in edges.names.items() if place not in before.names}
    named.give(session, model_id, new)


STREAMS: tuple[Additive[Any], ...] = (
    INPUT,
    OUTPUT,
    WINDOW_PROFILE,
    INPUT_BY_SEGMENT,
    OUTPUT_BY_SEGMENT,
    INPUT_GRAINS,
)


def streams() -> tuple[Additive[Any], ...]:
    """Return the streams that predictions are folded into, those of the SLIs last."""
    return (*STREAMS, *map(cells.stream, sli.counted()))


def summaries_of(part: Part) -> list[summaries.Part]:
    """Return each stream with the version and what there is to add; None where nothing is."""
    made = (
        part.input,
        part.output,
        part.window_profile,
        part.by_segment,
        part.outputs_by_segment,
        part.grains,
    )
    of_slis = [(cells.stream(name), found) for name, found in part.cells.items()]
    both = (*zip(STREAMS, made, strict=True), *of_slis)
    return [(stream, part.version, seen) for stream, seen in both]


def days_of(parts: Iterable[Part], zone: Zone) -> list[date]:
    """Return the days of local time that some summaries are about."""
    hours = [part.input.chunks for part in parts]
    hours += [part.cells[SERVING.name].hours for part in parts if part.cells]
    return event_time.days_of([local_hours(some, zone) for some in hours])


def late_hours_of(parts: Iterable[Part], clock: datetime | None) -> list[datetime]:
    """Return the hours of served rows that began before the hour of the newest event."""
    if clock is None:
        return []
    counted = (own for part in parts for own in part.cells.values())
    found = {hour for own in counted for hour in own.hours.tolist()}
    newest = chunk_at(clock)
    return [chunk_start(hour) for hour in sorted(found) if hour < newest]


def _keep_time(session: Session, made: Mapping[UUID, Made], now: datetime) -> None:
    """Mark the days that had closed, count what is odd, and move the clocks: in this order."""
    late_hours.mark(
        session, {of: one.late_hours for of, one in made.items() if one.late_hours}, now
    )
    recompute_marks.touch(session, {model_id: one.days for model_id, one in made.items()})
    row_counters.add_all(session, {of: one.times.counts for of, one in made.items()})
    clocks = [
        {"model_id": model_id, "clock": one.times.clock}
        for model_id, one in sorted(made.items(), key=itemgetter(0))  # as ingest locks them
    ]
    if clocks:
        session.connection().execute(_ADVANCE, clocks)
