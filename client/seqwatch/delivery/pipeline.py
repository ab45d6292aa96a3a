"""Packs rows from the buffer into the spool, in a thread that never blocks the host."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from seqwatch.delivery.batch import Kind, Row, encode, pack, parts
from seqwatch.delivery.sender import Ledger, Sender, Target
from seqwatch.delivery.spool import Spool
from seqwatch.options import Counts

_log = logging.getLogger("seqwatch")

# The packing thread runs this long, then releases the interpreter lock: a thread that
# only computes would keep it for 5 ms at a time.
_WORK_SECONDS = 0.0005
_PAUSE_SECONDS = 0.0002
_POLL_SECONDS = 0.02  # how often a waiting row checks whether its batch is full
_LAST_SECONDS = 0.2  # time for a thread to finish after the deadline of `close`


class Pipeline:
    """The buffer, the two threads and the spool, of one process.

    `take` is the only function called in the host's threads for each row: it
    takes no lock that another thread could hold for long, and it starts the threads
    at the first row, so that a forked child has them only if it logs.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._options = target.options
        self.spool = Spool(
            target.spool, target.options.max_spool_bytes, target.options.max_memory_bytes
        )
        self._buffer: deque[tuple[Kind, Row]] = deque()
        self._max_rows = self._options.max_rows
        # True while the packing thread sleeps without a limit, or is not there yet.
        self._is_resting = True
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.RLock()  # reentrant: a signal handler may log too
        self._refused: Counter[str] = Counter()
        self._ledger = Ledger()
        self._n_packing = 0
        self._warned: set[str] = set()
        self._sender = Sender(target, self.spool, self._ledger)
        name = f"seqwatch-{target.model}"
        self._packing = threading.Thread(target=self._pack_all, name=name, daemon=True)
        self._sending = threading.Thread(
            target=self._sender.run, args=(self._packing,), name=name, daemon=True
        )
        self._is_started = False

    # --- the host's side

    def take(self, kind: Kind, row: Row) -> None:
        """Put a row into the buffer, or count it as dropped."""
        if self._ledger.is_closing or len(self._buffer) >= self._max_rows:
            self.refuse("closed" if self._ledger.is_closing else "buffer_full")
            return
        self._buffer.append((kind, row))
        # Waking the thread for every row would cost more than the row itself.
        if self._is_resting:
            self._wake()

    def refuse(self, reason: str, n_rows: int = 1) -> None:
        """Count rows that were not put into the buffer."""
        with self._lock:
            self._refused[reason] += n_rows

    def open(self) -> None:
        """Take the spool and start, in the process that made the monitor.

        Raises
        ------
        OSError
            When the spool, or the machine's certificates, cannot be used.
        """
        self._sender.connect()
        self.spool.open()
        self.start()

    def start(self) -> None:
        """Start the threads, once."""
        with self._lock:
            for thread in (self._packing, self._sending):
                if thread.ident is None:
                    thread.start()
            self._is_started = True

    def counts(self) -> Counts:
        """Return the counts of rows by state."""
        with self._ledger.changed, self._lock:
            n_buffered = len(self._buffer)
            return Counts(
                logged=self._ledger.tally["packed"] + n_buffered + self._refused.total(),
                recovered=self.spool.n_recovered,
                buffered=n_buffered + self._n_packing,
                spooled=self.spool.n_rows,
                sent=self._ledger.tally["sent"],
                acknowledged=self._ledger.tally["acknowledged"],
                rejected=self._ledger.tally["rejected"],
                dropped=dict(+(self._ledger.dropped + self._refused)),
            )

    def flush(self, timeout: float) -> bool:
        """Wait until no row is unsent; False at the time limit."""
        if not self._is_started and not self._buffer:
            return True
        self.start()
        with self._ledger.changed:
            self._ledger.n_flushing += 1
            self._wakes.put(None)
            self._ledger.changed.notify_all()
            is_empty = self._ledger.changed.wait_for(lambda: self._n_waiting() == 0, timeout)
            self._ledger.n_flushing -= 1
        if not is_empty:
            self._sync()
        return is_empty

    def close(self, timeout: float) -> None:
        """Flush, then stop; returns soon after `timeout`, also if the disk or API hangs."""
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        with self._ledger.changed:
            self._ledger.is_closing = True
            self._wakes.put(None)
            self._ledger.changed.notify_all()
        if not self._is_started:
            self.spool.close()
            return
        for thread in (self._packing, self._sending):
            if thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0.0) + _LAST_SECONDS)
        if not self._packing.is_alive():
            n_late = len(self._buffer)  # logged between the flush and the end
            self._buffer.clear()
            self.refuse("closed", n_late)

    def _sync(self) -> None:
        """Flush the spool to disk, in a thread: the disk may hang."""

        def sync() -> None:
            with suppress(OSError):
                self.spool.sync()

        with suppress(RuntimeError):  # at interpreter exit no thread can be started
            syncing = threading.Thread(target=sync, daemon=True)
            syncing.start()
            syncing.join(_LAST_SECONDS)

    def _wake(self) -> None:
        self._is_resting = False
        try:
            self.start()
        except RuntimeError as error:  # no thread can be started now; the next row tries again
            self._is_resting = True
            _log.warning("the sending threads do not start: %s", error)
        self._wakes.put(None)

    def _n_waiting(self) -> int:
        return len(self._buffer) + self._n_packing + self.spool.n_rows

    # --- the packing thread: buffer -> spool

    def _pack_all(self) -> None:
        try:
            self.spool.open()  # in a child; the parent's is open from the start
        except OSError as error:
            _log.warning("there is no spool, rows wait in memory: %s", error)
        while self._rest_until_rows():
            self._linger()
            while self._pack_some():
                pass
        # A row logged too late is counted by `close`.

    def _rest_until_rows(self) -> bool:
        """Sleep until there are rows; False after `close`."""
        while not self._buffer:
            if self._ledger.is_closing:
                return False
            self._is_resting = True
            # Checked again after the flag is set: the thread of a row logged in between
            # either has read the flag, or the row is found here.
            if not self._buffer:
                self._wakes.get()
        self._is_resting = False
        return True

    def _linger(self) -> None:
        deadline = time.monotonic() + self._options.linger_seconds
        while not self._is_batch_due() and (left := deadline - time.monotonic()) > 0:
            with suppress(Empty):
                self._wakes.get(timeout=min(left, _POLL_SECONDS))

    def _is_batch_due(self) -> bool:
        is_full = len(self._buffer) >= self._options.batch_rows
        return is_full or self._ledger.is_closing or self._ledger.n_flushing > 0

    def _pack_some(self) -> bool:
        with self._ledger.changed:
            rows = self._next_rows()
            self._n_packing = sum(map(len, rows.values()))
            self._ledger.tally["packed"] += self._n_packing
        if not rows:
            return False
        dropped: Counter[str] = Counter()
        for kind, some in rows.items():
            dropped += self._spool_rows(kind, some)
        with self._ledger.changed:
            self._n_packing = 0
            self._ledger.dropped.update(dropped)
            self._ledger.changed.notify_all()
        return True

    def _next_rows(self) -> dict[Kind, list[Row]]:
        """Take rows by kind: a label between two predictions does not split their batch."""
        rows: dict[Kind, list[Row]] = {}
        for _ in range(min(len(self._buffer), self._options.batch_rows)):
            kind, row = self._buffer.popleft()
            rows.setdefault(kind, []).append(row)
        return rows

    def _spool_rows(self, kind: Kind, rows: Sequence[Row]) -> Counter[str]:
        dropped: Counter[str] = Counter()
        encoded: list[bytes] = []
        began = time.monotonic()
        for row in rows:
            try:
                encoded.append(encode(self._target.prepare(dict(row))))
            except Exception as error:  # noqa: BLE001 - a row may run the host's code
                name = type(error).__name__
                if name not in self._warned:
                    self._warned.add(name)
                    _log.warning("a row was dropped: %s", name)
                dropped["not_json"] += 1
            if time.monotonic() - began > _WORK_SECONDS:
                if len(self._buffer) < self._max_rows // 10:  # else packing falls behind
                    time.sleep(_PAUSE_SECONDS)
                began = time.monotonic()
        for part in parts(encoded, self._options.batch_bytes):
            if not self.spool.append(pack(kind, part, self._target.contract)):
                dropped["spool_full"] += len(part)
        return dropped
