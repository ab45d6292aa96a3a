"""Rows of the summaries of one model, read for many readers in one statement."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import CompoundSelect, bindparam, select, union_all
from sqlalchemy.orm import Session

from core.streams import Additive
from core.window import Window
from db.queries import summary_layouts
from db.queries.summaries import AnyStream
from db.tables import SummaryRow, SummarySeries
from monitors.summaries.streams import INPUT
from monitors.summaries.summary import Edges

T = TypeVar("T")
_BY_START = itemgetter(1, 2)  # and version
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
# Built once: they are executed every ten seconds.
_SERIES = select(
    SummarySeries.id, SummarySeries.model_id, SummarySeries.stream, SummarySeries.version
).where(
    SummarySeries.model_id.in_(bindparam("ids", expanding=True)),
    SummarySeries.stream.in_(bindparam("streams", expanding=True)),
)
_SINCE = (
    select(SummaryRow.series_id, SummaryRow.payload)
    .where(
        SummaryRow.series_id.in_(bindparam("series", expanding=True)),
        SummaryRow.start >= bindparam("first"),
        SummaryRow.start < bindparam("end"),
    )
    .order_by(SummaryRow.series_id, SummaryRow.start)
)


class Row(NamedTuple):
    """What a version's stream holds of an hour or a day."""

    stream: str
    start: datetime
    version: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows that a reader needs: of a stream, those that begin in any of some windows."""

    stream: AnyStream
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class _Fetched:
    windows: tuple[Window, ...]
    starts: list[datetime]
    rows: list[Row]


class SummaryRows:
    """Rows of one model; what several readers need is read, and decoded, once.

    Parameters
    ----------
    session
        The open transaction.
    model_id
        Whose rows.
    """

    def __init__(self, session: Session, model_id: UUID) -> None:
        self.session, self._model_id = session, model_id
        self._edges: dict[str, Edges | None] = {}
        self._fetched: dict[str, _Fetched] = {}
        self._decoded: dict[tuple[object, ...], Any] = {}

    def edges(self, stream: Additive[Any] = INPUT) -> Edges | None:
        """Return the frozen edges of a stream; None before there are."""
        if stream.name not in self._edges:
            self._edges[stream.name] = summary_layouts.edges(
                self.session, self._model_id, stream
            )
        return self._edges[stream.name]

    def fetch(self, wanted: Iterable[Wanted]) -> None:
        """Read in one statement what is not read yet."""
        windows: dict[str, list[Window]] = defaultdict(list)
        for one in wanted:
            windows[one.stream.name] += one.windows
        missing = {
            name: _merged([*parts, *self._known(name)])
            for name, parts in windows.items()
            if not _covered(parts, self._known(name))
        }
        if not missing:
            return
        given: dict[str, object] = {"model_id": self._model_id}
        parts = [(name, part) for name, own in missing.items() for part in own]
        for i, (name, part) in enumerate(parts):
            given |= {f"stream{i}": name, f"start{i}": part.start, f"end{i}": part.end}
        rows: dict[str, list[Row]] = {name: [] for name in missing}
        for row in self.session.execute(_statement(len(parts)), given).all():
            rows[row[0]].append(Row._make(row))
        for name, own in rows.items():
            own.sort(key=_BY_START)
            starts = [row.start for row in own]
            self._fetched[name] = _Fetched(missing[name], starts, own)

    def _known(self, stream: str) -> tuple[Window, ...]:
        known = self._fetched.get(stream)
        return () if known is None else known.windows

    def rows(
        self, stream: AnyStream, windows: Sequence[Window], versions: Sequence[str] = ()
    ) -> list[Row]:
        """Return the rows of a stream that begin in any of some windows, by their start.

        Parameters
        ----------
        stream, windows
            Which rows. What lies in two windows is returned once.
        versions
            Only of these; of all by default.
        """
        self.fetch([Wanted(stream, (*windows,))])
        known, found = self._fetched[stream.name], list[Row]()
        for part in _merged(windows):
            low, high = (bisect_left(known.starts, at) for at in (part.start, part.end))
            found += known.rows[low:high]
        return [row for row in found if row.version in versions] if versions else found

    def read(
        self, stream: Additive[T], windows: Sequence[Window], versions: Sequence[str] = ()
    ) -> T | None:
        """Return the summary of some windows, of some versions or of all; None of no rows."""
        key = (stream.name, *windows, *versions)
        if key not in self._decoded:
            blobs = [row.payload for row in self.rows(stream, windows, versions)]
            self._decoded[key] = stream.from_many(blobs) if blobs else None
        found: T | None = self._decoded[key]
        return found

    def by_version(self, stream: Additive[T], window: Window) -> dict[str, T]:
        """Return the summary of each version: of a window at least, to be cut.

        All that was read of the stream is decoded once, for all that cut their part of it.
        """
        self.fetch([Wanted(stream, (window,))])
        key = (stream.name,)
        if key not in self._decoded or self._decoded[key][0] is not self._fetched[stream.name]:
            known, blobs = self._fetched[stream.name], defaultdict[str, list[bytes]](list)
            for row in known.rows:
                blobs[row.version].append(row.payload)
            own = {version: stream.from_many(blobs[version]) for version in sorted(blobs)}
            self._decoded[key] = (known, own)
        found: dict[str, T] = self._decoded[key][1]
        return found

    def forget(self) -> None:
        """Let go of what was read."""
        self._fetched.clear()
        self._decoded.clear()


def _merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Return windows in order; those that touch or overlap are one."""
    found: list[Window] = []
    for part in sorted(windows, key=lambda part: part.start):
        if found and part.start <= found[-1].end:
            found[-1] = Window(found[-1].start, max(found[-1].end, part.end))
        else:
            found.append(part)
    return tuple(found)


def _covered(windows: Sequence[Window], known: Sequence[Window]) -> bool:
    return all(
        any(other.start <= part.start and part.end <= other.end for other in known)
        for part in windows
    )


@lru_cache(maxsize=64)
def _statement(n: int) -> CompoundSelect[Any]:
    """Return a statement of so many parts, each of which an index finds: it is built once."""
    return union_all(
        *(
            select(
                SummarySeries.stream,
                SummaryRow.start,
                SummarySeries.version,
                SummaryRow.payload,
            )
            .join(SummarySeries, SummaryRow.series_id == SummarySeries.id)
            .where(
                SummarySeries.model_id == bindparam("model_id"),
                SummarySeries.stream == bindparam(f"stream{i}"),
                SummaryRow.start >= bindparam(f"start{i}"),
                SummaryRow.start < bindparam(f"end{i}"),
            )
            for i in range(n)
        )
    )


def since(
    session: Session,
    model_ids: Collection[UUID],
    streams: Collection[str],
    first: datetime,
    end: datetime | None = None,
) -> Sequence[Any]:
    """Return model, stream, version and payload of rows of some models from an hour on.

    Parameters
    ----------
    session
        The open transaction.
    model_ids, streams
        Whose rows; the latter by name.
    first, end
        The start of the first row, and before which others begin; None: all later ones.
    """
    connection = session.connection()
    given = {"ids": [*model_ids], "streams": [*streams]}
    series = {row[0]: tuple(row[1:]) for row in connection.execute(_SERIES, given)}
    bounds = {"series": sorted(series), "first": first, "end": end or _NEVER}
    return [(*series[of], payload) for of, payload in connection.execute(_SINCE, bounds)]
