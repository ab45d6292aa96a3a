"""Upkeep of a table: few files, a short log, and nothing that nobody can read any more.

Each append makes a file and an entry of Delta's log. Now and then the small files of a
day are made into one; files and entries that no readable state of the table needs are
removed. Readable are the newest state, those of the last hours, and those that trainings
learnt from.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from urllib.parse import unquote

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from pyarrow import fs

from lake import erase, storage
from lake.log_files import LOG, remove, version_of
from lake.tables import compression, files_by_day

EVERY = 32  # commits
CROWDED = 4  # files of one day
CROWDED_NEWEST = 16  # of the newest day, which still grows
MOST_DAYS = 32  # at one go: bounds the time that an archive takes

# A lookup, an export or a training may read files for so long that the newest state
# does not name any more; and entries of the log may be listed for so long.
READABLE = timedelta(hours=2)
KEEP_ENTRIES = timedelta(days=1)


def tidy(table: DeltaTable, pinned: Callable[[], Collection[int] | None], now: datetime) -> int:
    """Compact crowded days, and remove what is not needed, once in `EVERY` commits.

    Parameters
    ----------
    table
        Its newest state, after an append.
    pinned
        Returns the versions that must stay readable; None removes nothing.
    now
        Wall time.

    Returns
    -------
    int
        How many days were compacted.
    """
    if table.version() % EVERY:
        return 0
    n_days = compact(table)
    kept = pinned()
    if kept is not None:
        drop(table, kept, now)
    return n_days


def compact(table: DeltaTable) -> int:
    """Make one file of the many small ones of a day; how many days.

    The old files stay for the versions that refer to them.
    """
    files = files_by_day(table)
    newest = max(files, default=None)
    crowded = sorted(
        day for day, n in files.items() if n >= (CROWDED_NEWEST if day == newest else CROWDED)
    )
    days = [day.isoformat() for day in crowded[-MOST_DAYS:]]
    if not days:
        return 0
    try:
        table.optimize.compact(
            partition_filters=[("day", "in", days)], writer_properties=compression()
        )
    except CommitFailedError:  # another archiver tidies the same days
        return 0
    return len(days)


def drop(table: DeltaTable, pinned: Collection[int], now: datetime) -> int:
    """Remove files and entries of the log that no readable state needs; how many files.

    Parameters
    ----------
    table
        Its newest state.
    pinned
        Versions that must stay readable, if they are.
    now
        Wall time.
    """
    place = storage.file_system(table)
    entries = {
        info.path: info.mtime or now for info in place.get_file_info(fs.FileSelector(LOG))
    }
    known = _loadable(entries)
    kept = [version for version in pinned if version in known]
    removed, unneeded = (
        table.vacuum(
            retention_hours=int(READABLE / timedelta(hours=1)),
            enforce_retention_duration=False,
            dry_run=True,
            full=full,
            keep_versions=kept or None,
        )
        for full in (False, True)
    )
    remove(place, map(unquote, removed))
    n_files = len(removed)
    n_files += erase.drop_unnamed(table, {*map(unquote, unneeded)} - {*map(unquote, removed)})
    # A checkpoint that was just written may not be on disk yet.
    settled = [path for path, changed in entries.items() if now - changed >= READABLE]
    needed = _needed(entries, _checkpoints(settled), [*kept, table.version()])
    old = [
        path
        for path, changed in entries.items()
        if path not in needed and now - changed >= KEEP_ENTRIES and version_of(path) is not None
    ]
    remove(place, old)
    return n_files


def _checkpoints(entries: Iterable[str]) -> set[int]:
    return {
        version
        for path in entries
        if ".checkpoint" in path and (version := version_of(path)) is not None
    }


def _loadable(entries: Collection[str]) -> set[int]:
    """Return the versions of which the log still has all that it takes to open them."""
    commits = {
        version
        for path in entries
        if path.endswith(".json") and (version := version_of(path)) is not None
    }
    found, is_whole = set[int](), 0 in commits
    checkpoints = _checkpoints(entries)
    for version in range(max(commits | checkpoints, default=-1) + 1):
        is_whole = version in checkpoints or (is_whole and version in commits)
        if is_whole:
            found.add(version)
    return found


def _needed(
    entries: Collection[str], checkpoints: Collection[int], versions: Collection[int]
) -> set[str]:
    """Return the entries that it takes to open versions: a checkpoint, and what follows."""
    spans = [
        (max((c for c in checkpoints if c <= version), default=0), version)
        for version in versions
    ]
    return {
        path
        for path in entries
        if (of := version_of(path)) is None
        or any(first <= of <= last for first, last in spans)
        or of > max(versions)
    }
