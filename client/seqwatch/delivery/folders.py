"""Spool folders: one for each process, locked while it lives, then free for others."""

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

MAX_PROCESSES = 10_000  # that share one base
SEGMENTS = "*.spool"


@dataclass(slots=True, kw_only=True, eq=False)
class Folder:
    """A folder that this process has locked: no other process uses it.

    The lock is the kernel's, on the file `lock`, so that it ends with the
    process, however it ends, also if its number is used again. The file is not
    deleted: otherwise two processes could lock the folder.
    """

    path: Path
    guard: IO[bytes] = field(repr=False)
    n_segments: int = 0

    def segments(self) -> list[Path]:
        """Return the segments in this folder, oldest first."""
        return sorted(self.path.glob(SEGMENTS))

    def release(self) -> None:
        """Unlock the folder."""
        self.guard.close()


def claim(base: Path) -> Folder:
    """Lock and return the first free folder under `base`.

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
    """Lock and yield each folder in which a dead process has left segments.

    The base itself is one of them: releases before 0.2 spooled directly into it.
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
