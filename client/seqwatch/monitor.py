"""Log predictions and labels from the serving process, without ever slowing or breaking it."""

import atexit
import logging
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from seqwatch.answers import Again, Delivered, Refused, delay, read_answer
from seqwatch.batch import Batch, Kind, Row, encode, pack, rows_of
from seqwatch.spool import Spool, Waiting

_log = logging.getLogger("seqwatch")
_random = secrets.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is kept, and how long it may wait.

    Attributes
    ----------
    max_rows
        Rows in the buffer between `log` and the packing thread; more are dropped.
    batch_rows, batch_bytes
        A batch is closed when it holds this much.
    linger_seconds
        A row waits this long for company, at most. It is also what a process
        that is killed may lose: rows that are not yet in the spool.
    max_spool_bytes
        Bound of what waits for the API; more is dropped.
    timeout_seconds
        Of one request.
    close_seconds
        How long the end of the process waits for what is still unsent.
    on_acknowledged
        Called from the sending thread with the ids of the predictions that
        the API has confirmed to keep. Ids of a batch that an earlier process
        sent, and of which some rows were refused, are left out.
    """

    max_rows: int = 100_000
    batch_rows: int = 500
    batch_bytes: int = 2**20
    linger_seconds: float = 0.2
    max_spool_bytes: int = 2**30
    timeout_seconds: float = 10.0
    close_seconds: float = 2.0
    on_acknowledged: Callable[[Sequence[str]], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Where the rows went, since the start of this process.

    `logged` rows were given to us, and `recovered` lay in the spool. Each of
    them is `buffered` (lost if the process is killed), `spooled`,
    `acknowledged`, `rejected` (the API keeps it in quarantine) or in
    `dropped`, by reason: buffer_full, spool_full, not_json, not_rows, damaged,
    closed, refused_<status>. `sent` counts every attempt that was answered.
    """

    logged: int
    recovered: int
    buffered: int
    spooled: int
    sent: int
    acknowledged: int
    rejected: int
    dropped: Mapping[str, int]

    @property
    def waiting(self) -> int:
        """Rows that are neither acknowledged nor lost."""
        return self.buffered + self.spooled


class Monitor:
    """Log what a model predicted and what really happened.

    Parameters
    ----------
    url, key, model
        Of the Seqwatch API: its address, a key with scope `ingest`, and the
        name under which the model is registered.
    spool
        A folder of this process alone. What is not acknowledged yet waits
        there, also while the API or this process is down. None keeps it in
        memory.
    options
        See `Options`.

    Raises
    ------
    SpoolInUse, OSError
        When the folder cannot be used. After this nothing raises.

    Examples
    --------
    >>> monitor = Monitor("http://127.0.0.1:9", "sw_key", "load")  # nobody listens there
    >>> monitor.log({"prediction_id": "p-1", "version": "v1", "at": "2026-01-01T00:00:00Z",
    ...              "features": {"load": [1.0]}, "output": {"load": [2.0]}})
    >>> monitor.counts().waiting
    1
    >>> monitor.close(timeout=0.0)
    """

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        spool: Path | None = None,
        options: Options | None = None,
    ) -> None:
        self._options = options or Options()
        self._model = model
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=self._options.timeout_seconds,
        )
        self._spool = Spool(spool, self._options.max_spool_bytes)
        self._recovered = self._spool.n_rows
        self._buffer: deque[tuple[Kind, Row]] = deque()
        self._n_packing = 0
        self._tally: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._is_closing = False
        self._n_flushing = 0
        self._threads = [
            threading.Thread(target=loop, name=f"seqwatch-{model}", daemon=True)
            for loop in (self._pack_all, self._send_all)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    def log(self, row: Row) -> None:
        """Take one prediction row. Returns at once and never raises."""
        self._take(Kind.PREDICTIONS, (row,))

    def log_many(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Take prediction rows as columns of equal length. Never raises."""
        self._take_columns(Kind.PREDICTIONS, columns)

    def label(self, row: Row) -> None:
        """Take one label row. Returns at once and never raises."""
        self._take(Kind.LABELS, (row,))

    def label_many(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Take label rows as columns of equal length. Never raises."""
        self._take_columns(Kind.LABELS, columns)

    def counts(self) -> Counts:
        """Say where the rows went."""
        with self._changed:
            return Counts(
                logged=self._tally["logged"],
                recovered=self._recovered,
                buffered=len(self._buffer) + self._n_packing,
                spooled=self._spool.n_rows,
                sent=self._tally["sent"],
                acknowledged=self._tally["acknowledged"],
                rejected=self._tally["rejected"],
                dropped=dict(+self._dropped),
            )

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until nothing waits any more.

        Parameters
        ----------
        timeout
            In seconds.

        Returns
        -------
        bool
            True when every row was acknowledged or dropped; False when the
            time was over first. What waits in a spool is safe on the disk then.
        """
        with self._changed:
            self._n_flushing += 1
            self._changed.notify_all()
            is_empty = self._changed.wait_for(lambda: self._n_waiting() == 0, timeout)
            self._n_flushing -= 1
        with suppress(OSError):
            self._spool.sync()
        return is_empty

    def close(self, timeout: float | None = None) -> None:
        """Flush, then stop. What is not sent by then stays in the spool.

        Parameters
        ----------
        timeout
            In seconds; `Options.close_seconds` when None.
        """
        atexit.unregister(self.close)
        if self._is_closing:
            return
        self.flush(self._options.close_seconds if timeout is None else timeout)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        packing, sending = self._threads
        packing.join()
        sending.join(1.0)
        if not sending.is_alive():  # else it still waits for an answer, and ends with us
            self._http.close()
        with suppress(OSError):
            self._spool.close()

    def _take(self, kind: Kind, rows: Sequence[Row]) -> None:
        with self._changed:
            self._tally["logged"] += len(rows)
            if self._is_closing:
                self._dropped["closed"] += len(rows)
                return
            room = max(self._options.max_rows - len(self._buffer), 0)
            self._dropped["buffer_full"] += max(len(rows) - room, 0)
            was_empty = not self._buffer
            self._buffer.extend((kind, row) for row in rows[:room])
            # The packing thread sleeps without a limit only while the buffer is
            # empty; waking it for every row would cost the host more than the row.
            if was_empty or len(self._buffer) >= self._options.batch_rows:
                self._changed.notify_all()

    def _take_columns(self, kind: Kind, columns: Mapping[str, Sequence[object]]) -> None:
        try:
            rows = list(rows_of(columns))
        except (TypeError, ValueError, AttributeError) as error:
            _log.warning("columns do not make rows: %s", error)
            with self._changed:
                self._tally["logged"] += 1
                self._dropped["not_rows"] += 1
            return
        self._take(kind, rows)

    def _n_waiting(self) -> int:
        return len(self._buffer) + self._n_packing + self._spool.n_rows

    # --- the packing thread: buffer -> spool

    def _pack_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._buffer or self._is_closing)
                if not self._buffer:
                    return
                self._changed.wait_for(self._is_batch_due, self._options.linger_seconds)
                kind, rows = self._next_rows()
                self._n_packing = len(rows)
            dropped = self._spool_rows(kind, rows)
            with self._changed:
                self._n_packing = 0
                self._dropped.update(dropped)
                self._changed.notify_all()

    def _is_batch_due(self) -> bool:
        is_full = len(self._buffer) >= self._options.batch_rows
        return is_full or self._is_closing or self._n_flushing > 0

    def _next_rows(self) -> tuple[Kind, list[Row]]:
        kind = self._buffer[0][0]
        rows: list[Row] = []
        while self._buffer and len(rows) < self._options.batch_rows:
            if self._buffer[0][0] is not kind:
                break
            rows.append(self._buffer.popleft()[1])
        return kind, rows

    def _spool_rows(self, kind: Kind, rows: Iterable[Row]) -> Counter[str]:
        dropped: Counter[str] = Counter()
        encoded: list[bytes] = []
        for row in rows:
            try:
                encoded.append(encode(row))
            except Exception as error:  # noqa: BLE001 - a row may run the host's code
                _log.warning("a row was dropped: %s", error)
                dropped["not_json"] += 1
        for part in _parts(encoded, self._options.batch_bytes):
            if not self._spool.append(pack(kind, part)):
                dropped["spool_full"] += len(part)
        return dropped

    # --- the sending thread: spool -> API

    def _send_all(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._spool.n_rows or self._is_closing)
                if self._is_closing:
                    return
            waiting = self._spool.oldest()
            assert waiting is not None
            answer = self._send(waiting)
            if isinstance(answer, Again):
                failures += 1
                pause = delay(failures, _random.random())
                self._rest(pause if answer.after is None else max(pause, answer.after))
            else:
                failures = 0

    def _rest(self, seconds: float) -> None:
        """Wait; an end of the process, or a flush that begins, is waited out no longer."""
        with self._changed:
            flushing = self._n_flushing
            self._changed.wait_for(
                lambda: self._is_closing or self._n_flushing > flushing, seconds
            )

    def _send(self, waiting: Waiting) -> Delivered | Again | Refused:
        batch = self._spool.read(waiting)
        answer = Refused(reason="damaged") if batch is None else self._post(batch)
        if isinstance(answer, Again):
            if answer.is_crash:
                self._spool.postpone(waiting)
            return answer
        if isinstance(answer, Delivered) and batch is not None:
            self._confirm(batch, answer)
        self._spool.remove(waiting)
        with self._changed:
            match answer:
                case Delivered():
                    self._tally["acknowledged"] += answer.n_accepted
                    self._tally["rejected"] += answer.n_rejected
                case Refused():
                    self._dropped[answer.reason] += waiting.n_rows
            self._changed.notify_all()
        return answer

    def _post(self, batch: Batch) -> Delivered | Again | Refused:
        try:
            response = self._http.post(
                f"/v1/models/{self._model}/{batch.kind}",
                content=batch.body,
                headers={"Idempotency-Key": batch.batch_id},
            )
        except httpx.HTTPError as error:
            _log.info("Seqwatch does not answer: %r", error)
            return Again()
        with self._changed:
            self._tally["sent"] += batch.n_rows
        answer = read_answer(
            response.status_code,
            response.content,
            batch.n_rows,
            response.headers.get("Retry-After"),
        )
        if not isinstance(answer, Delivered):
            _log.warning("Seqwatch answered %d: %r", response.status_code, answer)
        return answer

    def _confirm(self, batch: Batch, answer: Delivered) -> None:
        notify = self._options.on_acknowledged
        if notify is None or batch.kind is not Kind.PREDICTIONS or answer.faulty is None:
            return
        try:
            notify(batch.prediction_ids(answer.faulty))
        except Exception:  # noqa: BLE001 - the host's code must not end our thread
            _log.exception("on_acknowledged failed")


def _parts(rows: Sequence[bytes], max_bytes: int) -> Iterable[list[bytes]]:
    """Split so that no part passes `max_bytes`, unless one row alone does."""
    part: list[bytes] = []
    size = 0
    for row in rows:
        if part and size + len(row) > max_bytes:
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row)
    if part:
        yield part
