"""Is there room for more: on the disks, and in the backlog?

What is refused here would otherwise fail later, and less kindly. Each limit
lets go somewhat below where it takes hold, so that nothing flutters.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from core.settings import Settings
from db.queries.log import inbox

LOOK_EVERY = 0.2  # seconds between two looks at the disks
REGAINED = 1.25  # of the least free space: then it is enough again
RELIEVED = 0.9  # of the largest backlog
SHARE_ASIDE = 0.25  # of the largest backlog, for one stream that is set aside

FreeBytes = Callable[[Path], int]


def free_bytes(path: Path) -> int:
    """Return the free space of the disk that a path lies on, or will lie on."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def stores(settings: Settings) -> dict[str, Path]:
    """Return the folders on disks that we fill; what lies elsewhere is not seen from here."""
    found = {}
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        found["database"] = Path(url.database).absolute().parent
    if isinstance(settings.lake, Path):
        found["lake"] = settings.lake.absolute()
    return found


class Disks:
    """Watches the free space of the disks that we fill.

    Parameters
    ----------
    settings
        Name the folders, and the least space that is to stay free.
    free
        How to look.
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
        self._looked_at = -LOOK_EVERY
        self._low: str | None = None

    def free(self) -> dict[str, int]:
        """Return the free bytes by store."""
        return {name: self._free(path) for name, path in self._stores.items()}

    def low(self) -> str | None:
        """Say which disk is nearly full; None while all have room."""
        if self._least and self._clock() - self._looked_at >= LOOK_EVERY:
            self._looked_at = self._clock()
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
    """What is accepted and not yet in the lake, of all streams but those set aside."""

    n_bytes: int
    age: timedelta


def backlog(session: Session, now: datetime) -> Backlog:
    """Read the backlog of all streams that go on."""
    n_bytes, oldest, _ = inbox.backlog(session)
    age = now - oldest if oldest else timedelta(0)
    return Backlog(n_bytes=n_bytes, age=max(age, timedelta(0)))


def is_full(n_bytes: int, most: int, was_full: bool) -> bool:
    """Say whether the backlog is over its limit, or not yet well below it again.

    Examples
    --------
    >>> [is_full(n, 100, was_full) for n, was_full in ((101, False), (95, True), (89, True))]
    [True, True, False]
    """
    return n_bytes > most * (RELIEVED if was_full else 1.0)


def full_aside(waiting: inbox.Backlog, most: int) -> frozenset[tuple[UUID, Kind]]:
    """Return the streams set aside of which nothing more is taken.

    Each may hold a share of the largest backlog, and all of them together with the others
    the whole: a stream that is stuck takes no room from those that go on.

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


def shortages(settings: Settings, disks: Disks, waiting: Backlog) -> list[str]:
    """Say everything that keeps us from taking more, in words for an operator."""
    said = [disks.low()]
    if waiting.n_bytes > settings.max_backlog_bytes:
        said.append(
            f"{waiting.n_bytes} bytes wait for the archive: "
            f"more than SEQWATCH_MAX_BACKLOG_BYTES ({settings.max_backlog_bytes})"
        )
    if waiting.age > settings.max_backlog_age:
        most = settings.max_backlog_age.total_seconds()
        said.append(
            f"rows have waited {waiting.age.total_seconds():.0f} s for the archive: "
            f"longer than SEQWATCH_MAX_BACKLOG_AGE ({most:.0f} s)"
        )
    return [each for each in said if each]
