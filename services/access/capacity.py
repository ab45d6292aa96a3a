"""Limits on free disk space and on the backlog, above which nothing more is accepted.

Without them a write would fail later. Each limit has hysteresis: it is lifted
somewhat below the value at which it is applied.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from core.settings import Settings
from db.queries.log import inbox

CHECK_EVERY = 0.2  # seconds between two readings of the free space
REGAINED = 1.25  # times the least free space: the limit is lifted
RELIEVED = 0.9  # times the largest backlog: the limit is lifted
SHARE_ASIDE = 0.25  # times the largest backlog, for one stream that is set aside

FreeBytes = Callable[[Path], int]


class Limit(StrEnum):
    """A limit of the installation, by the name of its setting."""

    FREE_BYTES = "min_free_bytes"
    BACKLOG_BYTES = "max_backlog_bytes"
    BACKLOG_AGE = "max_backlog_age"


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk that holds a path, or will hold it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def stores(settings: Settings) -> dict[str, Path]:
    """Return the local folders that data is written to; remote stores are left out."""
    found = {}
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        found["database"] = Path(url.database).absolute().parent
    if isinstance(settings.lake, Path):
        found["lake"] = settings.lake.absolute()
    return found


class Disks:
    """Checks the free space of the local disks that data is written to.

    Parameters
    ----------
    settings
        With the folders, and the least space that must stay free.
    free
        Returns the free bytes of the disk of a path.
    clock
        Seconds; goes forward only.
    """

    def __init__(
        self,
        settings: Settings,
        free: FreeBytes = free_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores = stores(settings)
        self._least = settings.min_free_bytes
        self._free = free
        self._clock = clock
        self._checked_at = -CHECK_EVERY
        self._low: str | None = None

    def free(self) -> dict[str, int]:
        """Return the free bytes by store."""
        return {name: self._free(path) for name, path in self._stores.items()}

    def low(self) -> str | None:
        """Return a message that names the disk that is nearly full; None if none is."""
        if self._least and self._clock() - self._checked_at >= CHECK_EVERY:
            self._checked_at = self._clock()
            enough = self._least * (REGAINED if self._low else 1.0)
            tight = [name for name, free in self.free().items() if free < enough]
            self._low = (
                f"the disk of the {tight[0]} is nearly full: "
                f"less than SEQWATCH_MIN_FREE_BYTES ({self._least}) would be left"
                if tight
                else None
            )
        return self._low


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The backlog of all streams except those set aside."""

    n_bytes: int
    age: timedelta


def backlog(session: Session, now: datetime) -> Backlog:
    """Read the backlog of all streams except those set aside."""
    n_bytes, oldest, _ = inbox.backlog(session)
    age = now - oldest if oldest else timedelta(0)
    return Backlog(n_bytes=n_bytes, age=max(age, timedelta(0)))


class BacklogLimit:
    """Whether the backlog is over its limit, or not yet 10 % below it again.

    Ingest, `/ready` and `/metrics` of a process share one: they always agree.

    Parameters
    ----------
    most
        The largest backlog, in bytes.

    Examples
    --------
    >>> limit = BacklogLimit(100)
    >>> [limit.note(n_bytes) for n_bytes in (100, 101, 95, 89, 95)]
    [False, True, True, False, False]
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_full = False

    def note(self, n_bytes: int) -> bool:
        """Note the size of the backlog, and return `is_full`."""
        self.is_full = n_bytes > self.most * (RELIEVED if self.is_full else 1.0)
        return self.is_full


def full_aside(waiting: inbox.Backlog, most: int) -> frozenset[tuple[UUID, Kind]]:
    """Return the streams set aside of which nothing more is accepted.

    Each may hold a share of the largest backlog, and all of them together with the other
    streams the whole of it: a stream that is stuck does not block the others.

    Examples
    --------
    >>> from uuid import UUID
    >>> stuck = UUID(int=1), Kind.LABELS
    >>> [len(full_aside(inbox.Backlog(n, None, {stuck: 20}), 100)) for n in (0, 81)]
    [0, 1]
    """
    total = waiting.n_bytes + sum(waiting.aside.values())
    return frozenset(
        stream
        for stream, n_bytes in waiting.aside.items()
        if n_bytes > most * SHARE_ASIDE or total > most
    )


def reached(
    settings: Settings, disks: Disks, backlog_limit: BacklogLimit, waiting: Backlog
) -> dict[Limit, str]:
    """Return a message for each limit that is reached."""
    messages = {}
    if low := disks.low():
        messages[Limit.FREE_BYTES] = low
    if backlog_limit.note(waiting.n_bytes):
        messages[Limit.BACKLOG_BYTES] = (
            f"{waiting.n_bytes} bytes wait for the archive: SEQWATCH_MAX_BACKLOG_BYTES "
            f"({backlog_limit.most}) is reached; batches are accepted again below "
            f"{RELIEVED:.0%}"
        )
    if waiting.age > settings.max_backlog_age:
        most = settings.max_backlog_age.total_seconds()
        messages[Limit.BACKLOG_AGE] = (
            f"rows have waited {waiting.age.total_seconds():.0f} s for the archive: "
            f"longer than SEQWATCH_MAX_BACKLOG_AGE ({most:.0f} s)"
        )
    return messages
