"""Search the prediction log from the newest event back, file by file.

The log holds the range of event times of each file: a page of the newest rows
opens the newest files and stops when it is full. What names no time, an id or a
session, is searched in the same order, one narrow column at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from core.schema.rows import TIME, Kind
from lake.reading import Log

ORDER = [("at", "descending"), ("prediction_id", "descending")]
KEY_SCHEMA = pa.schema([("at", TIME), ("prediction_id", pa.string()), ("received_at", TIME)])
KEYS = KEY_SCHEMA.names

# Rows of key columns that are read before the time limit is checked. The number
# doubles with each scan that finds too little, so that a long way is a few scans.
FIRST_SCAN, LONGEST_SCAN = 50_000, 4_000_000
_BATCH = 65_536  # rows; with two of them read ahead, bounds what a scan holds
_MILLISECOND = timedelta(milliseconds=1)  # Delta keeps times to the millisecond, cut off
# Not the ends of the calendar: there must be room to reckon around them.
BEGINNING, END = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)

Stop = Callable[[], bool]


def in_time() -> bool:
    """Never stop."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place between two rows in the order newest first.

    Attributes
    ----------
    at
        Event time of the last row before it.
    prediction_id
        Its id; None for the place before all rows of that time.
    """

    at: datetime
    prediction_id: str | None = None

    @property
    def beyond(self) -> pc.Expression:
        """Which rows come after it."""
        if self.prediction_id is None:
            return pc.field("at") <= self.at
        tied = (pc.field("at") == self.at) & (pc.field("prediction_id") < self.prediction_id)
        return (pc.field("at") < self.at) | tied


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """Range of a search: event times, both included, and after a place in the order."""

    first: datetime = BEGINNING
    last: datetime = END
    before: Place | None = None

    @classmethod
    def of_day(cls, day: int) -> "Within":
        """Return the times of a day in UTC, counted from 1970."""
        midnight = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
        return cls(first=midnight, last=midnight + timedelta(days=1, microseconds=-1))

    @property
    def rows(self) -> pc.Expression:
        """The same as a condition on rows."""
        rows = (pc.field("at") >= self.first) & (pc.field("at") <= self.last)
        return rows if self.before is None else rows & self.before.beyond

    def after(self, place: Place) -> "Within":
        """Go on from a place."""
        last = min(self.last, place.at)
        return Within(first=self.first, last=last, before=place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far before one row to search for the next, and the earliest that is known already."""

    gap: timedelta
    known: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One file of the log, and the event times in it, both included."""

    path: str
    day: date
    first: datetime
    last: datetime
    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a search came upon.

    Attributes
    ----------
    keys
        The columns that were asked for; None when nothing was found.
    reached
        All rows later than this were read; None when all were.
    """

    keys: pa.Table | None
    reached: datetime | None


class Search:
    """The predictions, or events, of one state of a log, by file, newest first."""

    def __init__(self, log: Log, kind: Kind = Kind.PREDICTIONS) -> None:
        self._schema = loose(log.schema(kind))
        self._file_system = log.file_system(kind)
        self.parts = [] if self._file_system is None else _parts(log, kind)

    def newest(
        self, only: pc.Expression, n: int, *, within: Within, stop: Stop = in_time
    ) -> Found:
        """Return the keys of the newest rows, as far as the time limit allows.

        Parameters
        ----------
        only
            A condition on rows.
        n
            How many; a row that was sent twice counts twice.
        within
            The range of the search.
        stop
            Returns True once the time limit has passed. At least one scan is made, and none
            stops amid files whose times overlap, so that the next page gets on.
        """
        found = KEY_SCHEMA.empty_table()
        for group, rest in self._groups(within):
            if found.num_rows >= n and found["at"][n - 1].as_py() > group[0].last:
                break
            for keys in self._scan(group, only & within.rows, KEYS):
                found = newest_of([found, keys], n)
            if rest is not None and stop():
                return Found(keys=found, reached=rest)
        return Found(keys=found, reached=None)

    def every(
        self,
        only: pc.Expression,
        columns: Sequence[str],
        *,
        within: Within,
        reach: Reach,
        stop: Stop = in_time,
    ) -> Found:
        """Return some columns of the newest such rows, and of all that are not far from them.

        Parameters
        ----------
        only, within, stop
            As for `newest`.
        columns
            Those that are needed; `at` among them.
        reach
            Once there are some, how far before the first of them to search for more.
        """
        found: list[pa.Table] = []
        known = [reach.known] if reach.known else []
        for group, rest in self._groups(within):
            if known and group[0].last < min(known) - reach.gap:
                break
            some = [*self._scan(group, only & within.rows, columns)]
            found += some
            known += [pc.min(rows["at"]).as_py() for rows in some]
            if rest is not None and stop():
                return Found(keys=pa.concat_tables(found) if found else None, reached=rest)
        return Found(keys=pa.concat_tables(found) if found else None, reached=None)

    def _groups(self, within: Within) -> Iterator[tuple[Sequence[Part], datetime | None]]:
        """Yield files, newest first, each time with the last moment of what is not yet seen.

        That moment is None amid files whose times overlap, and after the last one.
        """
        parts = [p for p in self.parts if p.first <= within.last and p.last >= within.first]
        done, size, seen_from = 0, FIRST_SCAN, END
        while done < len(parts):
            group = _up_to(parts[done:], size)
            done, size = done + len(group), min(2 * size, LONGEST_SCAN)
            seen_from = min([seen_from, *(part.first for part in group)])
            rest = parts[done].last if done < len(parts) else None
            yield group, rest if rest is not None and rest < seen_from else None

    def read(
        self, only: pc.Expression, columns: Sequence[str], within: Within
    ) -> Iterator[pa.Table]:
        """Yield some columns of all such rows, in batches and in no particular order."""
        parts = [p for p in self.parts if p.first <= within.last and p.last >= within.first]
        yield from self._scan(parts, only & within.rows, columns)

    def stream(
        self, only: pc.Expression, columns: Sequence[str], within: Within
    ) -> Iterator[pa.Table]:
        """Yield the same as `read` to whoever is slow: no more than is asked for is read ahead.

        A scanner would fill up to a gigabyte of memory while its batches wait.
        """
        condition = only & within.rows
        known = [name for name in columns if name in self._schema.names]
        for part in self.parts:
            if part.first > within.last or part.last < within.first:
                continue
            for group in self._fragment(part).split_by_row_group(condition, self._schema):
                rows = group.to_table(self._schema, columns=known, filter=condition)
                for start in range(0, rows.num_rows, _BATCH):
                    yield rows.slice(start, _BATCH)

    @property
    def days(self) -> list[date]:
        """The event days that have rows, newest first."""
        return sorted({part.day for part in self.parts}, reverse=True)

    def _scan(
        self, parts: Sequence[Part], only: pc.Expression, columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        if not parts:
            return
        import pyarrow.dataset as ds  # brings pandas along: not before a search needs it

        fragments = [self._fragment(part) for part in parts]
        dataset = ds.FileSystemDataset(
            fragments, self._schema, fragments[0].format, self._file_system
        )
        known = [name for name in columns if name in self._schema.names]
        scanner = dataset.scanner(
            columns=known,
            filter=only,
            batch_size=_BATCH,
            batch_readahead=2,
            fragment_readahead=2,
        )
        for batch in scanner.to_batches():
            if batch.num_rows:
                yield pa.Table.from_batches([batch])

    def _fragment(self, part: Part) -> Any:
        import pyarrow.dataset as ds

        # Not through Delta's own data set: it spells out each statistic of each file for Arrow,
        # which takes longer than most searches do.
        return ds.ParquetFileFormat().make_fragment(part.path, filesystem=self._file_system)


def loose(schema: pa.Schema) -> pa.Schema:
    """Return the same columns, any of which may miss: rows of several sources fit together."""
    return pa.schema([field.with_nullable(True) for field in schema])


def newest_of(tables: Sequence[pa.Table], n: int) -> pa.Table:
    """Return the newest rows of some tables, in order."""
    rows = pa.concat_tables([*tables])
    return rows.take(pc.select_k_unstable(rows, k=min(n, rows.num_rows), sort_keys=ORDER))


def _up_to(parts: Sequence[Part], n_rows: int) -> Sequence[Part]:
    total = 0
    for i, part in enumerate(parts):
        total += part.n_rows
        if total >= n_rows:
            return parts[: i + 1]
    return parts


def _parts(log: Log, kind: Kind) -> list[Part]:
    files = log.files(kind)
    unknown = [None] * files.num_rows
    columns = [
        files[name].to_pylist() if name in files.column_names else unknown
        for name in ("path", "partition.day", "num_records", "min.at", "max.at")
    ]
    parts = []
    for path, day, n_rows, first, last in zip(*columns, strict=True):
        midnight = datetime.combine(day, datetime.min.time(), UTC)
        parts.append(
            Part(
                path=unquote(path),
                day=day,
                first=first or midnight,
                last=last + _MILLISECOND if last else midnight + timedelta(days=1),
                n_rows=n_rows or 0,
            )
        )
    return sorted(parts, key=lambda part: part.last, reverse=True)
