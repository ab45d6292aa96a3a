"""Parts of more rows than fit in memory: files on disk, by the hash of a text.

Rows of the same text are in the same part, so that parts can be joined one by one
(a partitioned hash join).
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_WORD = 8  # bytes
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd: 2^64 by the golden ratio
_HALF = np.uint64(32)
_PREFIX, _LOCK = "seqwatch-join-", "lock"
_BEING_MADE_SECONDS = 60  # a folder so young may not be locked yet
_SEEN_BITS = 26  # of a hash: 64 MB, whatever the number of texts


def hashes(texts: pa.Array) -> Hashes:
    """Return a hash of each text, shape (row,); equal texts have equal hashes.

    Parameters
    ----------
    texts
        Strings; a null counts as an empty one.

    Examples
    --------
    >>> a, b, c = hashes(pa.array(["x", "y", "x"])).tolist()
    >>> a == c, a == b
    (True, False)
    """
    texts = texts.cast(pa.large_string())
    _, offsets, content = texts.buffers()
    places = np.frombuffer(offsets, np.int64)[texts.offset :][: len(texts) + 1]
    data = np.frombuffer(content or b"", np.uint8)[places[0] : places[-1]]
    lengths = np.diff(places)
    width = -(-int(lengths.max(initial=1)) // _WORD) * _WORD
    padded = np.zeros((len(texts), max(width, _WORD)), np.uint8)
    if lengths.size and lengths.min() == lengths.max():
        padded[:, : lengths[0]] = data.reshape(lengths.size, -1) if lengths[0] else 0
    else:
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = data
    found = np.zeros(len(texts), np.uint64)
    for i, word in enumerate(padded.view(np.uint64).T):  # zeros add nothing, however many
        mixed = word * (_FACTOR + np.uint64(2 * i))
        found += (mixed ^ (mixed >> _HALF)) * _FACTOR
    found ^= found >> _HALF
    return found * _FACTOR


class Parts:
    """Rows in parts, each in a file of its own.

    Parameters
    ----------
    folder
        Where the files are; each set of rows has a name of its own.
    n
        How many parts, at most 256.
    """

    def __init__(self, folder: Path, n: int) -> None:
        self._folder, self.n = folder, n
        self._seen: dict[str, NDArray[np.bool_]] = {}

    def write(self, name: str, batches: Iterable[pa.RecordBatch], of: str = "") -> None:
        """Write rows to the parts that their `prediction_id` belongs to.

        Parameters
        ----------
        name
            Of this set of rows.
        batches
            The rows.
        of
            The name of a set that was written before: rows of other ids than its may be left
            out, and nearly all are.
        """
        seen = self._seen.get(of)
        if seen is None:
            seen = self._seen[name] = np.zeros(1 << _SEEN_BITS, np.bool_)
        with ExitStack() as files:
            writers: list[pa.RecordBatchWriter] = []
            for batch in batches:
                hashed = hashes(batch["prediction_id"])
                bits = hashed >> np.uint64(64 - _SEEN_BITS)
                if of:
                    known = seen[bits]
                    batch, hashed = batch.filter(pa.array(known)), hashed[known]
                else:
                    seen[bits] = True
                if not batch.num_rows:
                    continue
                writers = writers or [
                    files.enter_context(pa.ipc.new_stream(self._path(name, i), batch.schema))
                    for i in range(self.n)
                ]
                part = ((hashed >> np.uint64(8)) % np.uint64(self.n)).astype(np.uint8)
                batch = batch.take(pa.array(np.argsort(part, kind="stable")))
                ends = np.cumsum(np.bincount(part, minlength=self.n)).tolist()
                for writer, start, end in zip(writers, [0, *ends], ends, strict=False):
                    if start < end:
                        writer.write_batch(batch.slice(start, end - start))
        pa.default_memory_pool().release_unused()  # up to 400 MB of batches that went by

    def read(self, name: str, i: int) -> pa.Table | None:
        """Return one part of a set of rows; None where no row was written at all."""
        path = self._path(name, i)
        if not path.exists():
            return None
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_stream(file).read_all()

    def _path(self, name: str, i: int) -> Path:
        return self._folder / f"{name}-{i}.arrow"


@contextmanager
def parts(n: int) -> Iterator[Parts]:
    """Give room for some parts, which are removed at the end; those of killed processes too."""
    with TemporaryDirectory(prefix=_PREFIX) as folder, Path(folder, _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the process ends, however it ends
        _remove_abandoned(Path(gettempdir()), os.fstat(lock.fileno()).st_mtime)
        yield Parts(Path(folder), n)


def _remove_abandoned(place: Path, now: float) -> None:
    for path in place.glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError), path.open() as lock:  # locked, or removed by another
            if now - path.stat().st_mtime > _BEING_MADE_SECONDS:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent)
