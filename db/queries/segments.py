"""Queries of summaries by segment, and of segment names."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from core.window import Window
from db.queries.upsert import upsert
from db.tables import Segment, SegmentAccuracy, SegmentChunk, SegmentOutputChunk
from monitors.baselines.segments import hours_of, of_hour
from monitors.summaries.serialization import from_many, to_bytes
from monitors.summaries.summary import Summary, chunk_start, merge

Chunk: TypeAlias = type[SegmentChunk] | type[SegmentOutputChunk]

_KEYS = 1_000  # of one IN list


def names(session: Session, model_id: UUID) -> dict[int, str | None]:
    """Return the names that were given, by place; None where one was erased."""
    given = select(Segment.place, Segment.name).where(Segment.model_id == model_id)
    return dict(session.execute(given.order_by(Segment.place)).all())


def give(session: Session, model_id: UUID, names: dict[int, str | None]) -> None:
    """Give names to places that have none yet."""
    session.add_all(
        Segment(model_id=model_id, place=place, name=name) for place, name in names.items()
    )


def forget(session: Session, model_id: UUID, gone: Sequence[str]) -> None:
    """Take names away; their places stay taken."""
    session.execute(
        update(Segment)
        .where(Segment.model_id == model_id, Segment.name.in_(gone))
        .values(name=None)
        .execution_options(synchronize_session=False)
    )


def add(session: Session, to: Chunk, model_id: UUID, version: str, part: Summary) -> None:
    """Merge what was seen of one version into what is stored."""
    hours = hours_of(part).tolist()
    stored: list[bytes] = []
    for first in range(0, len(hours), _KEYS):
        starts = [chunk_start(hour) for hour in hours[first : first + _KEYS]]
        stored += session.scalars(
            select(to.payload).where(
                to.model_id == model_id, to.version == version, to.start.in_(starts)
            )
        )
    whole = merge(from_many(stored), part) if stored else part
    rows = [
        {
            "model_id": model_id,
            "start": chunk_start(hour),
            "version": version,
            "payload": to_bytes(of_hour(whole, hour)),
        }
        for hour in hours
    ]
    upsert(session, to, rows)


def replace_errors(
    session: Session, model_id: UUID, day: date, payloads: Mapping[str, object]
) -> None:
    """Store the errors of a day by version; what was stored of it goes."""
    session.execute(
        delete(SegmentAccuracy).where(
            SegmentAccuracy.model_id == model_id, SegmentAccuracy.day == day
        )
    )
    at = {"model_id": model_id, "day": day}
    rows = [
        at | {"version": version, "payload": payload} for version, payload in payloads.items()
    ]
    upsert(session, SegmentAccuracy, rows)


def read(
    session: Session,
    of: Chunk,
    model_id: UUID,
    windows: Sequence[Window],
    version: str | None = None,
) -> Summary | None:
    """Return what is stored of some windows, of one version or of all; None where nothing is.

    Windows may overlap: what lies in two of them is counted once.
    """
    inside = [(of.start >= window.start) & (of.start < window.end) for window in windows]
    found = select(of.payload).where(of.model_id == model_id, or_(*inside))
    if version is not None:
        found = found.where(of.version == version)
    blobs = session.scalars(found).all()
    return from_many(blobs) if blobs else None
