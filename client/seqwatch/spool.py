"""Batches wait here until they are acknowledged: on disk, so that they survive the process."""

import fcntl
import os
import struct
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seqwatch.batch import Batch, checksum

_FRAME = struct.Struct("<II")  # length and checksum of what follows
SEGMENT_BYTES = 8 * 2**20


class SpoolInUse(Exception):
    """Another process writes to this folder; give each its own."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Segment:
    """One append-only file, deleted once all of its batches are acknowledged."""

    path: Path
    n_waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One batch that waits: where it lies, and how many rows it holds."""

    n_rows: int
    n_bytes: int
    batch: Batch | None = None
    segment: _Segment | None = None
    offset: int = 0


@dataclass(slots=True, kw_only=True)
class _Writer:
    segment: _Segment
    file: IO[bytes] = field(repr=False)


class Spool:
    """A bounded queue of batches, in order of arrival; safe under threads.

    Parameters
    ----------
    folder
        Where the segments lie, or None to keep batches in memory only. What a
        former process left there is sent first.
    max_bytes
        Bound of what waits. A batch that would pass it is not taken.

    Raises
    ------
    SpoolInUse
        When another process holds the folder.
    OSError
        When the folder cannot be made or read.

    Notes
    -----
    A batch is written to its file before it can be sent, and the file is
    flushed to disk when a segment is full and on `sync`. A process that dies
    loses nothing that was appended; a machine that dies may lose the last
    segment since the last sync. When the disk is full the batch waits in
    memory: the way to the API may still be open.
    """

    def __init__(self, folder: Path | None, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._queue: deque[Waiting] = deque()
        self._n_bytes = 0
        self._n_rows = 0
        self._writer: _Writer | None = None
        self._next = 0
        self._guard: IO[bytes] | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._guard = _hold(folder)
            for path in sorted(folder.glob("*.spool")):
                self._next = int(path.stem) + 1
                self._recover(path)

    @property
    def n_rows(self) -> int:
        """Rows that wait."""
        return self._n_rows

    def append(self, batch: Batch) -> bool:
        """Keep a batch; False when there is no room for it."""
        stored = batch.to_bytes()
        with self._lock:
            if self._n_bytes + len(stored) > self._max_bytes:
                return False
            try:
                waiting = self._write(batch, stored)
            except OSError:
                with suppress(OSError):
                    self._close_writer()
                waiting = None
            self._push(
                waiting or Waiting(n_rows=batch.n_rows, n_bytes=len(stored), batch=batch)
            )
            return True

    def oldest(self) -> Waiting | None:
        """Return the batch that waits longest, without taking it away."""
        with self._lock:
            return self._queue[0] if self._queue else None

    def read(self, waiting: Waiting) -> Batch | None:
        """Return a waiting batch, or None when its file was damaged meanwhile."""
        if waiting.segment is None:
            return waiting.batch
        try:
            with waiting.segment.path.open("rb") as file:
                file.seek(waiting.offset)
                stored = _frame(file)
            return None if stored is None else Batch.from_bytes(stored)
        except (OSError, ValueError):
            return None

    def remove(self, waiting: Waiting) -> None:
        """Forget the oldest batch, which was acknowledged or given up."""
        with self._lock:
            assert self._queue[0] is waiting
            self._queue.popleft()
            self._n_bytes -= waiting.n_bytes
            self._n_rows -= waiting.n_rows
            if waiting.segment is not None:
                waiting.segment.n_waiting -= 1
                self._drop_if_done(waiting.segment)

    def postpone(self, waiting: Waiting) -> None:
        """Let the others go before the oldest batch."""
        with self._lock:
            assert self._queue[0] is waiting
            self._queue.rotate(-1)

    def sync(self) -> None:
        """Force what was appended to the disk. Raises OSError when that fails."""
        with self._lock:
            if self._writer is not None:
                os.fsync(self._writer.file.fileno())

    def close(self) -> None:
        """Let go of the folder; what waits stays there for the next process."""
        with self._lock:
            self._close_writer()
            if self._guard is not None:
                self._guard.close()
                self._guard = None

    def _push(self, waiting: Waiting) -> None:
        self._queue.append(waiting)
        self._n_bytes += waiting.n_bytes
        self._n_rows += waiting.n_rows
        if waiting.segment is not None:
            waiting.segment.n_waiting += 1

    def _write(self, batch: Batch, stored: bytes) -> Waiting | None:
        if self._folder is None or self._guard is None:
            return None
        if self._writer is not None and self._writer.file.tell() >= SEGMENT_BYTES:
            self._close_writer()
        if self._writer is None:
            path = self._folder / f"{self._next:012d}.spool"
            self._next += 1
            # Unbuffered: what was written survives this process at once.
            self._writer = _Writer(segment=_Segment(path=path), file=path.open("xb", 0))
        writer = self._writer
        offset = writer.file.tell()
        frame = _FRAME.pack(len(stored), checksum(stored)) + stored
        if writer.file.write(frame) < len(frame):
            raise OSError("the disk is full")
        return Waiting(
            n_rows=batch.n_rows, n_bytes=len(stored), segment=writer.segment, offset=offset
        )

    def _close_writer(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            os.fsync(writer.file.fileno())
        finally:
            writer.file.close()
            self._drop_if_done(writer.segment)

    def _drop_if_done(self, segment: _Segment) -> None:
        if segment.n_waiting:
            return
        if self._writer is not None and self._writer.segment is segment:
            self._writer.file.close()
            self._writer = None
        with suppress(OSError):  # it would be sent again, and counted once
            segment.path.unlink(missing_ok=True)

    def _recover(self, path: Path) -> None:
        """Queue what a former process left; a torn last frame ends the segment."""
        segment = _Segment(path=path)
        with path.open("rb") as file:
            while True:
                offset = file.tell()
                stored = _frame(file)
                if stored is None:
                    break
                batch = Batch.from_bytes(stored)
                self._push(
                    Waiting(
                        n_rows=batch.n_rows,
                        n_bytes=len(stored),
                        segment=segment,
                        offset=offset,
                    )
                )
        self._drop_if_done(segment)


def _hold(folder: Path) -> IO[bytes]:
    guard = (folder / "lock").open("ab")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        guard.close()
        raise SpoolInUse(f"another process spools to {folder}") from None
    return guard


def _frame(file: IO[bytes]) -> bytes | None:
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    length, expected = _FRAME.unpack(head)
    stored = file.read(length)
    return stored if len(stored) == length and checksum(stored) == expected else None
