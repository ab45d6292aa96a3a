"""Queries of summaries, whatever their stream."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    UpdateBase,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from core.streams import Additive, Level, Stream
from core.window import Window
from db.queries import summary_series
from db.queries.publication import Source
from db.queries.summary_series import FIRST, LAST, RowKey
from db.queries.upsert import upsert
from db.tables import SummaryRow, SummarySeries

T = TypeVar("T")
AnyStream: TypeAlias = Additive[Any] | Stream[Any]
Part: TypeAlias = tuple[Additive[Any], str, Any]  # stream, version, and what was seen
Key: TypeAlias = tuple[str, datetime, str]  # stream, start and version of a row

_AT_ONCE = 1_000  # rows that are added to


@dataclass(frozen=True, slots=True)
class Stored:
    """One row: what a version's stream holds of an hour or a day."""

    stream: str
    start: datetime
    version: str
    payload: bytes
    level: Level

    @property
    def key(self) -> Key:
        """Stream, start and version."""
        return self.stream, self.start, self.version


_FIELDS = tuple(field.name for field in fields(Stored))
_COLUMNS = tuple(getattr(SummaryRow, name) for name in _FIELDS)
_STORED = ("series_id", "start", "level", "payload", "publication")


def of_batch(session: Session, source: Source, batch: int) -> Iterator[tuple[UUID, Stored]]:
    """Yield the rows of a batch to be published, with their models."""
    found = (
        select(SummaryRow.model_id, *_COLUMNS)
        .where(source.of(batch))
        .order_by(SummaryRow.model_id, SummaryRow.start, SummaryRow.stream, SummaryRow.version)
    )
    for model_id, *row in session.execute(found):
        yield model_id, Stored(*row)


def rows(
    session: Session,
    streams: Sequence[AnyStream],
    model_id: UUID,
    windows: Sequence[Window],
    versions: Sequence[str] = (),
) -> list[Stored]:
    """Return the rows of some streams that begin in any of some windows, by their start.

    Parameters
    ----------
    session
        The open transaction.
    streams, model_id, windows
        Which rows. What lies in two windows is returned once.
    versions
        Only of these; of all by default.
    """
    given: dict[str, object] = {
        "model_id": model_id,
        "streams": [stream.name for stream in streams],
        "versions": [*versions],
    }
    for i, window in enumerate(windows):
        given |= {f"start{i}": window.start, f"end{i}": window.end}
    statement = _rows(len(windows), of_versions=bool(versions))
    return [Stored(*row) for row in session.execute(statement, given)]


@lru_cache(maxsize=64)
def _rows(n_windows: int, *, of_versions: bool) -> Select[str, datetime, str, bytes, Level]:
    """Return a statement that is read with every grain: it is built once."""
    inside = [
        (SummaryRow.start >= bindparam(f"start{i}")) & (SummaryRow.start < bindparam(f"end{i}"))
        for i in range(n_windows)
    ]
    found = (
        select(*_COLUMNS)
        .where(
            SummaryRow.series_id.in_(
                summary_series.of_streams(
                    bindparam("model_id"), bindparam("streams", expanding=True)
                )
            ),
            or_(*inside),
        )
        .order_by(SummaryRow.start, SummaryRow.version, SummaryRow.stream)
    )
    versions = SummaryRow.version.in_(bindparam("versions", expanding=True))
    return found.where(versions) if of_versions else found


def read(
    session: Session,
    stream: Additive[T],
    model_id: UUID,
    windows: Sequence[Window],
    versions: Sequence[str] = (),
) -> T | None:
    """Return the summary of some windows, of some versions or of all; None where nothing is."""
    blobs = [row.payload for row in rows(session, [stream], model_id, windows, versions)]
    return stream.from_many(blobs) if blobs else None


def by_version(
    session: Session, stream: Additive[T], model_id: UUID, window: Window
) -> dict[str, T]:
    """Return the summary of a window of each version that has one."""
    blobs: dict[str, list[bytes]] = {}
    for row in rows(session, [stream], model_id, [window]):
        blobs.setdefault(row.version, []).append(row.payload)
    return {version: stream.from_many(own) for version, own in sorted(blobs.items())}


def firsts(session: Session, stream: AnyStream, model_id: UUID) -> dict[str, datetime]:
    """Return the start of the first row of each version."""
    of = SummarySeries.model_id == model_id, SummarySeries.stream == stream.name
    found: Mapping[str, datetime | None] = dict(
        session.execute(select(SummarySeries.version, FIRST).where(*of)).all()
    )
    return {version: start for version, start in found.items() if start is not None}


def first(session: Session, stream: AnyStream, model_id: UUID) -> datetime | None:
    """Return the start of the first row of any version; None before any."""
    return first_of_models(session, stream, [model_id]).get(model_id)


def first_of_models(
    session: Session, stream: AnyStream, model_ids: Collection[UUID]
) -> dict[UUID, datetime]:
    """Return the start of the first row of each model that has one."""
    found: Mapping[UUID, datetime | None] = dict(
        session.execute(
            select(SummarySeries.model_id, func.min(FIRST))
            .where(SummarySeries.model_id.in_(model_ids), SummarySeries.stream == stream.name)
            .group_by(SummarySeries.model_id)
        ).all()
    )
    return {model_id: start for model_id, start in found.items() if start is not None}


def newest(
    session: Session, stream: AnyStream, model_id: UUID, version: str | None = None
) -> Stored | None:
    """Return the last row of a version, or of all; None where there is none."""
    found = (
        select(*_COLUMNS)
        .join(SummarySeries, SummaryRow.series_id == SummarySeries.id)
        .where(SummarySeries.model_id == model_id, SummarySeries.stream == stream.name)
        .where(SummaryRow.start == LAST)
        .order_by(SummaryRow.start.desc())
        .limit(1)
    )
    if version is not None:
        found = found.where(SummarySeries.version == version)
    row = session.execute(found).one_or_none()
    return None if row is None else Stored(*row)


def add(session: Session, model_id: UUID, parts: Iterable[Part]) -> None:
    """Add what was seen of one model to what is stored."""
    add_all(session, {model_id: parts})


def add_all(session: Session, parts: Mapping[UUID, Iterable[Part]]) -> None:
    """Add what was seen to what is stored, in one statement that reads and one that writes.

    A row that was rolled up gets the level of the stream again, so that the next roll-up
    finds it; an hour of a day that was rolled up lies beside the day until then.

    Parameters
    ----------
    session
        The open transaction.
    parts
        By model: stream, version and what was seen, each stream and version once; None adds
        nothing.
    """
    seen = {
        (model_id, stream.name, version): (stream, content)
        for model_id, own in parts.items()
        for stream, version, content in own
        if content is not None
    }
    ids = summary_series.ids(session, seen)
    streams = {stream.name: stream for stream, _ in seen.values()}
    news: defaultdict[str, dict[RowKey, Any]] = defaultdict(dict)  # by stream
    for key, (stream, content) in seen.items():
        for start, one in stream.split(content):
            news[stream.name][ids[key], start] = one
    stored = summary_series.payloads(session, [key for own in news.values() for key in own])
    rows = [row for name in news for row in _added(streams[name], news[name], stored)]
    upsert(session, SummaryRow, rows)


def _added(
    stream: Additive[T], news: Mapping[RowKey, T], stored: Mapping[RowKey, bytes]
) -> Iterator[dict[str, object]]:
    """Yield the rows of a stream to be written, in the order of what is new."""
    old = [key for key in news if key in stored]
    payloads = {key: stream.to_bytes(new) for key, new in news.items() if key not in stored}
    for start in range(0, len(old), _AT_ONCE):
        some = old[start : start + _AT_ONCE]
        whole = stream.added([(stored[key], news[key]) for key in some])
        payloads |= zip(some, whole, strict=True)
    publication = 0 if stream.is_published else None
    for key, payload in payloads.items():
        yield _row(*key, stream.level, payload, publication)


def replace(
    session: Session,
    streams: Sequence[AnyStream],
    model_id: UUID,
    window: Window,
    new: Sequence[Stored],
    *,
    is_change: bool = True,
) -> bool:
    """Store the rows of a window anew; what else was stored of it goes.

    Parameters
    ----------
    session
        The open transaction.
    streams, model_id, window
        Whose rows are replaced.
    new
        The rows.
    is_change
        False where rows are merged and count nothing new: none is published again.

    Returns
    -------
    bool
        False when it was the same before: nothing is written then.
    """
    before = rows(session, streams, model_id, [window])
    if {*before} == {*new}:
        return False
    publications = _publications(session, streams, model_id, window)
    published = {stream.name for stream in streams if stream.is_published}
    changed = {*new} - {*before} if is_change else ()
    publications |= {row.key: 0 for row in changed if row.stream in published}
    forget(session, model_id, streams, window)
    upsert(session, SummaryRow, _rows_of(session, model_id, new, publications))
    return True


def _publications(
    session: Session, streams: Sequence[AnyStream], model_id: UUID, window: Window
) -> dict[Key, int | None]:
    """Return the publication of each row of a window that is not published yet."""
    found = session.execute(
        select(
            SummaryRow.stream, SummaryRow.start, SummaryRow.version, SummaryRow.publication
        ).where(_are(streams, model_id), _inside(window), SummaryRow.publication.is_not(None))
    )
    return {(stream, start, version): number for stream, start, version, number in found}


def forget(
    session: Session,
    model_id: UUID,
    streams: Sequence[AnyStream],
    window: Window | None = None,
) -> int:
    """Delete what is stored of some streams, in a window or at all; how many rows."""
    gone = delete(SummaryRow).where(_are(streams, model_id))
    if window is not None:
        gone = gone.where(_inside(window))
    done = session.execute(gone.execution_options(synchronize_session=False))
    return cast(CursorResult[None], done).rowcount


def first_of_levels(
    session: Session,
    streams: Sequence[AnyStream],
    model_id: UUID,
    window: Window,
    levels: Sequence[Level],
) -> datetime | None:
    """Return the start of the first row of some levels in a window."""
    return session.scalar(
        select(SummaryRow.start)
        .where(_are(streams, model_id), _inside(window), SummaryRow.level.in_(levels))
        .order_by(SummaryRow.start)
        .limit(1)
    )


def last_of_levels(
    session: Session,
    model_id: UUID,
    parts: Sequence[tuple[Sequence[AnyStream], Sequence[Level], Window]],
) -> list[datetime | None]:
    """Return the start of the last row of some levels of some streams in a window, of each."""
    given: dict[str, object] = {"model_id": model_id}
    for i, (_, _, window) in enumerate(parts):
        given |= {f"start{i}": window.start, f"end{i}": window.end}
    of = ((tuple(one.name for one in streams), (*levels,)) for streams, levels, _ in parts)
    return [*session.execute(_last_of_levels(*of), given).one()]


@lru_cache(maxsize=64)
def _last_of_levels(
    *parts: tuple[tuple[str, ...], tuple[Level, ...]],
) -> Select[*tuple[Any, ...]]:
    """Return a statement that is read with every evaluation: it is built once."""
    starts = (
        select(SummaryRow.start)
        .where(
            SummaryRow.series_id.in_(summary_series.of_streams(bindparam("model_id"), streams)),
            SummaryRow.start >= bindparam(f"start{i}"),
            SummaryRow.start < bindparam(f"end{i}"),
            SummaryRow.level.in_(levels),
        )
        .order_by(SummaryRow.start.desc())
        .limit(1)
        .scalar_subquery()
        for i, (streams, levels) in enumerate(parts)
    )
    return select(*starts)


def take_place(
    session: Session, model_id: UUID, new: AnyStream, of: AnyStream, since: datetime
) -> None:
    """Put the rows of one stream in the place of those of another, from a moment on."""
    later = SummaryRow.start >= since
    _execute(session, delete(SummaryRow).where(_are([of], model_id), later))
    moved = summary_series.by_version(session, model_id, new.name)
    into = summary_series.ids(session, {(model_id, of.name, version) for version in moved})
    for version, series_id in moved.items():
        mine, to = SummaryRow.series_id == series_id, into[model_id, of.name, version]
        _execute(session, update(SummaryRow).where(mine, later).values(series_id=to))
    _execute(session, delete(SummaryRow).where(_are([new], model_id)))


def _execute(session: Session, statement: UpdateBase) -> None:
    session.execute(statement.execution_options(synchronize_session=False))


def _rows_of(
    session: Session, model_id: UUID, new: Sequence[Stored], waiting: Mapping[Key, int | None]
) -> list[dict[str, object]]:
    ids = summary_series.ids(session, {(model_id, row.stream, row.version) for row in new})
    found = ((ids[model_id, row.stream, row.version], row) for row in new)
    return [
        _row(series_id, row.start, row.level, row.payload, waiting.get(row.key))
        for series_id, row in found
    ]


def _row(*values: object) -> dict[str, object]:
    return dict(zip(_STORED, values, strict=True))


def _are(streams: Sequence[AnyStream], model_id: UUID) -> ColumnElement[bool]:
    names = [stream.name for stream in streams]
    return SummaryRow.series_id.in_(summary_series.of_streams(model_id, names))


def _inside(window: Window) -> ColumnElement[bool]:
    return (SummaryRow.start >= window.start) & (SummaryRow.start < window.end)
