"""Spool: batches on disk until they are acknowledged, so that they survive the process."""

import os
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seqwatch.delivery.batch import Batch, checksum
from seqwatch.delivery.folders import Folder, claim, orphans

_FRAME = struct.Struct("<II")  # length and checksum of what follows
SEGMENT_BYTES = 8 * 2**20


@dataclass(slots=True, kw_only=True, eq=False)
class _Segment:
    """One append-only file, deleted once all of its batches are acknowledged."""

    path: Path
    folder: Folder
    n_waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One waiting batch: its place in a segment, and its number of rows."""

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
    base
        The folder in which every process has its own folder; None keeps
        batches in memory.
    max_bytes
        Limit of the bytes on disk. A batch that would exceed it is not accepted.
    max_memory_bytes
        Limit of the bytes in memory.

    Notes
    -----
    A batch is written to its file before it can be sent, and the file is
    flushed to disk when a segment is full and on `sync`. A process that dies
    loses nothing that was appended; a machine that dies may lose the last
    segment since the last sync. When the disk is full, or until `open`, the
    batch waits in memory: the API may still be reachable.
    """

    def __init__(self, base: Path | None, max_bytes: int, max_memory_bytes: int) -> None:
        self._base = base
        self._max_bytes = max_bytes
        self._max_memory_bytes = max_memory_bytes
        self._lock = threading.Lock()
        self._queue: deque[Waiting] = deque()
        self._n_bytes = 0
        self._n_memory_bytes = 0
        self._n_rows = 0
        self._n_recovered = 0
        self._own: Folder | None = None
        self._writer: _Writer | None = None
        self._next = 0

    def open(self) -> None:
        """Lock a folder, and queue its batches. Raises OSError when there is none."""
        if self._base is None or self._own is not None:
            return
        with self._lock:
            self._own = claim(self._base)
            self._recover(self._own)

    def adopt(self) -> None:
        """Queue the batches that dead processes have left under the same base."""
        if self._own is None or self._base is None:
            return
        for folder in orphans(self._base):
            with self._lock:
                if not self._recover(folder):
                    folder.release()

    @property
    def n_rows(self) -> int:
        """Rows that wait."""
        return self._n_rows

    @property
    def n_recovered(self) -> int:
        """Rows that earlier processes had left."""
        return self._n_recovered

    def append(self, batch: Batch) -> bool:
        """Store a batch; False when it does not fit."""
        stored = batch.to_bytes()
        with self._lock:
            waiting = self._kept(batch, stored)
            if waiting is not None:
                self._push(waiting)
            return waiting is not None

    def oldest(self) -> Waiting | None:
        """Return the oldest batch, without removing it."""
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
        """Remove the oldest batch, which was acknowledged or dropped."""
        with self._lock:
            assert self._queue[0] is waiting
            self._queue.popleft()
            self._n_rows -= waiting.n_rows
            if waiting.segment is None:
                self._n_memory_bytes -= waiting.n_bytes
                return
            self._n_bytes -= waiting.n_bytes
            waiting.segment.n_waiting -= 1
            self._drop_if_done(waiting.segment)

    def postpone(self, waiting: Waiting) -> None:
        """Move the oldest batch behind the others."""
        with self._lock:
            assert self._queue[0] is waiting
            self._queue.rotate(-1)

    def sync(self) -> None:
        """Flush to disk what was appended. Raises OSError when that fails."""
        with self._lock:
            if self._writer is not None:
                os.fsync(self._writer.file.fileno())

    def close(self) -> None:
        """Unlock every folder; waiting batches stay there for the next process."""
        with self._lock:
            with suppress(OSError):
                self._close_writer()
            held = {id(w.segment.folder): w.segment.folder for w in self._queue if w.segment}
            for folder in held.values():
                folder.release()
            if self._own is not None:
                self._own.release()
                self._own = None

    def abandon(self) -> None:
        """Close our copies of the parent's files, in a forked child; they stay its own.

        Without it the parent's folder would stay locked until the child ends.
        No lock is taken: a thread that is not here may have held it.
        """
        held = {id(w.segment.folder): w.segment.folder for w in self._queue if w.segment}
        folders = [*held.values(), *([self._own] if self._own else [])]
        files = [folder.guard for folder in folders]
        for file in [*files, *([self._writer.file] if self._writer else [])]:
            with suppress(OSError):
                file.close()

    def _push(self, waiting: Waiting) -> None:
        self._queue.append(waiting)
        self._n_rows += waiting.n_rows
        if waiting.segment is None:
            self._n_memory_bytes += waiting.n_bytes
        else:
            self._n_bytes += waiting.n_bytes
            waiting.segment.n_waiting += 1

    def _kept(self, batch: Batch, stored: bytes) -> Waiting | None:
        if self._own is not None:
            if self._n_bytes + len(stored) > self._max_bytes:
                return None
            try:
                return self._write(self._own, batch, stored)
            except OSError:
                with suppress(OSError):
                    self._close_writer()
        if self._n_memory_bytes + len(stored) > self._max_memory_bytes:
            return None
        return Waiting(n_rows=batch.n_rows, n_bytes=len(stored), batch=batch)

    def _write(self, own: Folder, batch: Batch, stored: bytes) -> Waiting:
        if self._writer is not None and self._writer.file.tell() >= SEGMENT_BYTES:
            self._close_writer()
        if self._writer is None:
            path = own.path / f"{self._next:012d}.spool"
            self._next += 1
            # Unbuffered: what was written survives this process at once.
            file = path.open("xb", 0)
            self._writer = _Writer(segment=self._segment(path, own), file=file)
        writer = self._writer
        offset = writer.file.tell()
        frame = _FRAME.pack(len(stored), checksum(stored)) + stored
        if writer.file.write(frame) < len(frame):
            raise OSError("the disk is full")
        return Waiting(
            n_rows=batch.n_rows, n_bytes=len(stored), segment=writer.segment, offset=offset
        )

    def _segment(self, path: Path, folder: Folder) -> _Segment:
        folder.n_segments += 1
        return _Segment(path=path, folder=folder)

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
        folder = segment.folder
        folder.n_segments -= 1
        if folder.n_segments == 0 and folder is not self._own:
            folder.release()

    def _recover(self, folder: Folder) -> bool:
        """Queue what an earlier process left; False when there was nothing."""
        before = self._n_rows
        for path in folder.segments():
            if folder is self._own and path.stem.isdecimal():
                self._next = int(path.stem) + 1
            segment = self._segment(path, folder)
            for waiting in _frames(path, segment):
                self._push(waiting)
            if not segment.n_waiting:
                segment.path.unlink(missing_ok=True)
                folder.n_segments -= 1
        self._n_recovered += self._n_rows - before
        return folder.n_segments > 0


def _frames(path: Path, segment: _Segment) -> Iterator[Waiting]:
    """Yield the complete frames; an incomplete last frame ends the segment."""
    with path.open("rb") as file:
        while True:
            offset = file.tell()
            stored = _frame(file)
            if stored is None:
                return
            try:
                n_rows = Batch.from_bytes(stored).n_rows
            except ValueError:  # complete, but not of this format
                continue
            yield Waiting(n_rows=n_rows, n_bytes=len(stored), segment=segment, offset=offset)


def _frame(file: IO[bytes]) -> bytes | None:
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    length, expected = _FRAME.unpack(head)
    stored = file.read(length)
    return stored if len(stored) == length and checksum(stored) == expected else None
