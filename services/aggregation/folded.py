"""Result of a fold, written in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from core.streams import Additive
from db.queries import models, summaries
from db.queries import segments as named
from db.queries.log import recompute_marks, row_counters
from db.tables import Model
from monitors.baselines.segments import INPUT_BY_SEGMENT, OUTPUT_BY_SEGMENT
from monitors.slo import cells, sli
from monitors.slo.cells import CellCounts
from monitors.slo.serving import SERVING
from monitors.slo.silence import ARRIVALS
from monitors.summaries.grains import INPUT_GRAINS
from monitors.summaries.local_time import local_hours
from monitors.summaries.streams import INPUT, OUTPUT, WINDOW_PROFILE
from monitors.summaries.summary import Edges, Summary
from monitors.temporal.window_profile_schema import Layout
from services.aggregation import entities
from services.aggregation.entities import Seen
from services.aggregation.segments import Names
from services.ingest import event_time
from services.ingest.event_time import Times

REBUILD_JOB = "rebuild"  # while a run of it is open, no row of its model is folded


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
    entities
        When they were predicted for; None where the rows name none.
    """

    before: Frozen
    edges: Frozen
    parts: list[Part]
    times: Times
    entities: Seen | None = None


def frozen(session: Session, model_id: UUID) -> Frozen:
    """Return the edges of a model."""
    return Frozen(
        input=summaries.edges(session, model_id),
        output=summaries.edges(session, model_id, OUTPUT),
        window_profile=summaries.layout(session, model_id),
        names=named.names(session, model_id),
    )


def write(session: Session, model_id: UUID, made: Made, now: datetime) -> None:
    """Add what was made of one group to what is stored."""
    freeze(session, model_id, made.before, made.edges, now)
    seen = [one for part in made.parts for one in summaries_of(part)]
    summaries.add(session, model_id, [*seen, (ARRIVALS, "", made.times.arrivals)])
    if made.entities is not None:
        entities.add(session, model_id, made.entities)
    _keep_time(session, model_id, made.parts, made.times)


def freeze(
    session: Session, model_id: UUID, before: Frozen, edges: Frozen, now: datetime
) -> None:
    """Keep the edges that are new, for ever."""
    if edges.input is not None and edges.input is not before.input:
        summaries.freeze(session, model_id, edges.input, now)
    if edges.output is not None and edges.output is not before.output:
        summaries.freeze(session, model_id, edges.output, now, OUTPUT)
    if edges.window_profile is not None and edges.window_profile is not before.window_profile:
        summaries.freeze(session, model_id, edges.window_profile, now, WINDOW_PROFILE)
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


def _keep_time(session: Session, model_id: UUID, parts: list[Part], times: Times) -> None:
    """Mark the days that had closed, count what is odd, and move the clock: in this order."""
    hours = [part.input.chunks for part in parts]
    hours += [part.cells[SERVING.name].hours for part in parts if part.cells]
    zone = models.zone_of(session.get_one(Model, model_id))
    days = event_time.days_of([local_hours(some, zone) for some in hours])
    recompute_marks.touch(session, model_id, days)
    row_counters.add(session, model_id, times.counts)
    _advance(session, model_id, times.clock)


def _advance(session: Session, model_id: UUID, watermark: datetime) -> None:
    session.execute(
        update(Model)
        .where(
            Model.id == model_id, or_(Model.watermark.is_(None), Model.watermark < watermark)
        )
        .values(watermark=watermark)
        .execution_options(synchronize_session=False)
    )
