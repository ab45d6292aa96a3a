"""Spool folders: one for each process, taken by lock, left to others by death."""

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

MAX_PROCESSES = 10_000  # that share one base
SEGMENTS = "*.spool"


@dataclass(slots=True, kw_only=True, eq=False)
class Folder:
    """A folder that this process holds: nobody else writes, reads or deletes there.

    The lock is the kernel's, on the file `lock`, so that it ends with the
    process, however it ends, and whoever has its number afterwards. The file
    stays: deleting it would let two hold the folder.
    """

    path: Path
    guard: IO[bytes] = field(repr=False)
    n_segments: int = 0

    def segments(self) -> list[Path]:
        """Return the segments that lie here, oldest first."""
        return sorted(self.path.glob(SEGMENTS))

    def release(self) -> None:
        """Leave the folder to whoever comes."""
        self.guard.close()


def claim(base: Path) -> Folder:
    """Take the first folder under `base` that nobody holds.

    Raises
    ------
    OSError
        When it cannot be made.
    """
    for number in range(MAX_PROCESSES):
        path = base / f"{number:04d}"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds raw values
        folder = _hold(path)
        if folder is not None:
            return folder
    raise OSError(f"{MAX_PROCESSES} processes spool to {base}")


def orphans(base: Path) -> Iterator[Folder]:
    """Take each folder in which a dead process has left something.

    The base itself counts: releases before 0.2 spooled right into it.
    """
    for path in (base, *sorted(base.glob("[0-9]" * 4))):
        if not any(path.glob(SEGMENTS)):
            continue
        folder = _hold(path)
        if folder is not None:
            yield folder


def _hold(path: Path) -> Folder | None:
    guard = (path / "lock").open("ab")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        guard.close()
        return None
    return Folder(path=path, guard=guard)
