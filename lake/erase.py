"""Erasure in the lake: rewrite files so that no file, name or statistic holds a row.

Delta keeps what it deletes: old files for old versions, and in its own log the
predicates of deletions and the smallest and largest text of each file. Here
all of that goes. Versions before an erasure cannot be opened any more.

Order makes it safe beside writers. A change of the table's properties comes
first: Delta refuses every commit that began before it. So a file that was
there before and that no version names then will never be named, and may go.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TypeVar, cast
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable
from deltalake import write_deltalake as write
from deltalake.exceptions import DeltaError
from pyarrow import fs

from core.schema.rows import Kind
from lake import storage
from lake.log_files import LOG, remove, version_of
from lake.tables import STATISTICS, LakeMoved, compression, statistics

ERASED = "seqwatch.erased"  # property and note of commits: the erasures, with their counts
ROWS_AT_ONCE = 16_384  # of a day that is rewritten
ATTEMPTS = 20  # at one commit, against those of archivers

Matches = Callable[[str], bool]
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Found:
    """Where rows are, by the value of one column."""

    values: set[str] = field(default_factory=set)
    days: set[date] = field(default_factory=set)


def find(table: DeltaTable, column: str, matches: Matches) -> Found:
    """Search for the values of a column that match; no other column is read."""
    found, known = Found(), dict[str, bool]()
    for batch in _batches(table, [column, "day"]):
        values = pc.unique(batch[column]).drop_null().to_pylist()
        hits = [value for value in values if _asked(value, matches, known)]
        if hits:
            rows = batch.filter(pc.is_in(batch[column], pa.array(hits, pa.string())))
            found.values.update(hits)
            found.days.update(pc.unique(rows["day"]).to_pylist())
    return found


def _asked(value: str, matches: Matches, known: dict[str, bool]) -> bool:
    """Ask once for each value, but do not remember too many."""
    answer = known.get(value)
    if answer is None:
        if len(known) > 100_000:
            known.clear()
        answer = known[value] = matches(value)
    return answer


def ids_of(table: DeltaTable, column: str, found: Found) -> set[str]:
    """Return the prediction ids of the rows that were found."""
    values = pa.array(sorted(found.values), pa.string())
    ids: set[str] = set()
    if found.days:
        only = pc.is_in(pc.field(column), values) & _on(found.days)
        for batch in _batches(table, ["prediction_id"], only):
            ids.update(pc.unique(batch["prediction_id"]).to_pylist())
    return ids


def _on(days: Iterable[date]) -> pc.Expression:
    return pc.is_in(pc.field("day"), pa.array(sorted(days), pa.date32()))


def _batches(
    table: DeltaTable, columns: list[str], only: pc.Expression | None = None
) -> Iterator[pa.RecordBatch]:
    dataset = storage.again(table).to_pyarrow_dataset(filesystem=storage.file_system(table))
    return cast(
        Iterator[pa.RecordBatch],
        dataset.to_batches(
            columns=columns, filter=only, batch_readahead=2, fragment_readahead=1
        ),
    )


def delete(table: DeltaTable, column: str, found: Found, note: str) -> None:
    """Delete what was found, a day at a time: archivers of other days are not in the way.

    Days are written anew without the rows. Delta's own DELETE would rewrite no more than
    the files with hits, but in a form whose texts Arrow cannot compare.

    Parameters
    ----------
    table
        Any state of it.
    column, found
        Where the rows are.
    note
        The erasure. The commit bears it, so that its rows can be counted after a crash.
    """
    values = pa.array(sorted(found.values), pa.string())
    for day in sorted(found.days):
        until_done(table, partial(_rewrite, day, pc.is_in(pc.field(column), values), note))


def _rewrite(day: date, gone: pc.Expression, note: str, newest: DeltaTable) -> None:
    dataset = newest.to_pyarrow_dataset(filesystem=storage.file_system(newest))
    n_rows = dataset.count_rows(filter=gone & (pc.field("day") == day))
    if not n_rows:
        return
    kept = dataset.scanner(
        filter=~gone & (pc.field("day") == day),
        batch_size=ROWS_AT_ONCE,
        batch_readahead=2,
        fragment_readahead=1,
    )
    write(
        newest,
        kept.to_reader(),
        mode="overwrite",
        predicate=f"day = '{day}'",
        writer_properties=compression(),
        commit_properties=CommitProperties(
            custom_metadata={ERASED: note, f"{ERASED}.rows": str(n_rows)}
        ),
    )


def delete_days(table: DeltaTable, before: date) -> int:
    """Delete whole days; how many rows."""
    if not any(day < before for day in _days(table)):
        return 0

    def delete(newest: DeltaTable) -> int:
        return int(newest.delete(f"day < '{before}'").get("num_deleted_rows") or 0)

    return until_done(table, delete)


def _days(table: DeltaTable) -> set[date]:
    actions = pa.table(storage.again(table).get_add_actions(flatten=True))
    return set(actions["partition.day"].to_pylist()) if actions.num_rows else set()


def files(table: DeltaTable) -> set[str]:
    """Return every file in the table's folder, Delta's own log left out."""
    place = storage.file_system(table)
    return {
        info.path
        for info in place.get_file_info(fs.FileSelector("", recursive=True))
        if info.type is fs.FileType.File and not info.path.startswith(LOG)
    }


def fence(table: DeltaTable, kind: Kind) -> None:
    """Make void what every writer has begun; from now on the log holds the range of no text."""
    _change(table, {STATISTICS: statistics(kind)}, {})


def counted(table: DeltaTable, note: str) -> int:
    """Return how many rows the commits of an erasure have deleted."""
    n_rows = 0
    for commit in storage.again(table).history():  # newest first
        if commit.get(ERASED) == note:
            n_rows += int(commit[f"{ERASED}.rows"])
        if f"{ERASED}.{note}" in commit:
            return n_rows + int(commit[f"{ERASED}.{note}"])
    return n_rows


def scrub(table: DeltaTable, before_fence: set[str], notes: Iterable[str]) -> None:
    """Remove what no current row needs: old files, files of writers that died, the log's past.

    Begun again after a crash, it does what is left.

    Parameters
    ----------
    table
        Any state of it, after the deletions.
    before_fence
        Result of `files` before `fence`.
    notes
        The erasures. Their counts are kept in what remains of the log.
    """
    kept = {f"{ERASED}.{note}": str(counted(table, note)) for note in notes}
    gone = set(
        storage.again(table).vacuum(
            retention_hours=0, enforce_retention_duration=False, dry_run=True
        )
    )
    # A commit without content: the newest entry of the log has to stay.
    newest = _change(table, {}, kept)
    named = _named(newest)
    place = storage.file_system(newest)
    newest.create_checkpoint()
    remove(place, _older_entries(place, newest.version()))
    there = files(newest)
    remove(place, (({unquote(path) for path in gone} | before_fence) & there) - named)


def drop_files(table: DeltaTable, before: date) -> int:
    """Remove the files of deleted days, which past versions cannot read any more; how many."""
    return drop_unnamed(table, {path for path in files(table) if _day_of(path) < before})


def drop_unnamed(table: DeltaTable, among: set[str]) -> int:
    """Remove those of some files that the newest state does not name; how many.

    Delta's log cannot tell which they are: it forgets a removed file after a day, and never
    knew that of a writer that died.
    """
    if not among - _named(storage.again(table)):
        return 0
    newest = _change(table, {}, {})  # what writers have begun is void: it will not be named
    gone = among - _named(newest)
    remove(storage.file_system(newest), gone)
    return len(gone)


def _day_of(path: str) -> date:
    return date.fromisoformat(path.partition("/")[0].removeprefix("day="))


def _named(table: DeltaTable) -> set[str]:
    actions = pa.table(table.get_add_actions())
    return {unquote(path) for path in actions["path"].to_pylist()}


def _change(table: DeltaTable, properties: dict[str, str], notes: dict[str, str]) -> DeltaTable:
    def change(newest: DeltaTable) -> None:
        newest.alter.set_table_properties(
            {**properties, ERASED: str(newest.version() + 1)},
            raise_if_not_exists=False,
            commit_properties=CommitProperties(custom_metadata=dict(notes)),
        )

    until_done(table, change)
    return storage.again(table)


def until_done(table: DeltaTable, act: Callable[[DeltaTable], T]) -> T:
    """Try again on the newest state as long as somebody else's commits come in between."""
    for _ in range(ATTEMPTS):
        newest = storage.again(table)
        version = newest.version()
        try:
            return act(newest)
        except DeltaError:
            if storage.again(table).version() == version:
                raise
    raise LakeMoved("the log does not hold still")


def _older_entries(place: fs.FileSystem, version: int) -> list[str]:
    entries = [info.path for info in place.get_file_info(fs.FileSelector(LOG))]
    return sorted(p for p in entries if (of := version_of(p)) is not None and of < version)
