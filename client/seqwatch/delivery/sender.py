"""Sends batches from the spool to the API, in one thread, until each has a final result."""

import gzip
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from seqwatch.delivery.answers import Again, Delivered, Refused, delay, read_answer
from seqwatch.delivery.batch import Batch, Kind, Row
from seqwatch.delivery.spool import Spool, Waiting
from seqwatch.options import Options

_log = logging.getLogger("seqwatch")
_random = secrets.SystemRandom()

# One row may be the reason, or the number of rows: the others are sent again.
_HALVED = frozenset({"refused_400", "refused_413", "refused_422"})

Outcome = tuple[Batch, Delivered | Refused]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Destination and format of rows.

    `prepare` turns a logged row into the one that is sent; it runs in the
    packing thread.
    """

    url: str
    key: str
    model: str
    spool: Path | None
    options: Options
    contract: str | None
    prepare: Callable[[dict[str, Any]], Row]


class Ledger:
    """State shared by the two threads and the waiting callers, under `changed`."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.tally: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.n_flushing = 0
        self.is_closing = False


class Sender:
    """Sends the batches of a spool in order, each until its result is final."""

    def __init__(self, target: Target, spool: Spool, ledger: Ledger) -> None:
        self._target = target
        self._options = target.options
        self._spool = spool
        self._ledger = ledger
        self._is_plain = not target.options.compress
        self._http: httpx.Client | None = None

    def connect(self) -> None:
        """Create the HTTP client.

        Called before any thread runs: httpx imports parts of itself here, and
        a fork in the middle of an import would leave the child half of it.
        """
        "localhost".encode("idna")  # the first resolution of a name would import the codec
        self._http = self._connect()

    def run(self, packing: threading.Thread) -> None:
        """Send until the end; `packing` is waited for before the spool is closed."""
        http = self._http or self._connect()
        failures = 0
        adopt_at = 0.0
        while not self._is_over():
            if time.monotonic() >= adopt_at:
                adopt_at = time.monotonic() + self._options.adopt_seconds
                self._adopt()
            with self._ledger.changed:
                self._ledger.changed.wait_for(
                    lambda: self._spool.n_rows or self._ledger.is_closing,
                    self._options.adopt_seconds,
                )
            waiting = self._spool.oldest()
            if waiting is None or self._is_over():
                continue
            answer = self._attempt(http, waiting)
            if answer is not None:
                failures += 1
                pause = delay(failures, _random.random())
                self._rest(pause if answer.after is None else max(pause, answer.after))
            else:
                failures = 0
        packing.join()
        http.close()
        self._spool.close()

    def _is_over(self) -> bool:
        return self._ledger.is_closing

    def _connect(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._target.url,
            headers={"Content-Type": "application/json"},
            timeout=self._options.timeout_seconds,
        )

    def _adopt(self) -> None:
        try:
            self._spool.adopt()
        except OSError as error:
            _log.warning("the spools of former processes cannot be read: %s", error)

    def _rest(self, seconds: float) -> None:
        """Wait; the end of the process, or a new flush, ends the wait."""
        with self._ledger.changed:
            flushing = self._ledger.n_flushing
            self._ledger.changed.wait_for(
                lambda: self._ledger.is_closing or self._ledger.n_flushing > flushing, seconds
            )

    def _attempt(self, http: httpx.Client, waiting: Waiting) -> Again | None:
        try:
            return self._send(http, waiting)
        except Exception as error:  # noqa: BLE001 - the batch is kept after any error
            _log.warning("a batch could not be sent: %r", error)
            return Again()

    def _send(self, http: httpx.Client, waiting: Waiting) -> Again | None:
        batch = self._spool.read(waiting)
        if batch is None:
            with self._ledger.changed:
                self._ledger.dropped["damaged"] += waiting.n_rows
        else:
            outcomes = self._deliver(http, batch)
            if isinstance(outcomes, Again):
                if outcomes.is_crash:
                    self._spool.postpone(waiting)
                return outcomes
            for part, answer in outcomes:
                self._account(part, answer)
        self._spool.remove(waiting)
        with self._ledger.changed:
            self._ledger.changed.notify_all()
        return None

    def _deliver(self, http: httpx.Client, batch: Batch) -> "list[Outcome] | Again":
        """Send a batch; split one that is refused for its content."""
        answer = self._post(http, batch)
        if isinstance(answer, Again):
            return answer
        if isinstance(answer, Delivered) or batch.n_rows == 1 or answer.reason not in _HALVED:
            return [(batch, answer)]
        outcomes: list[Outcome] = []
        for half in batch.split():
            part = self._deliver(http, half)
            if isinstance(part, Again):
                return part  # both are sent again, under the same ids
            outcomes += part
        return outcomes

    def _account(self, batch: Batch, answer: Delivered | Refused) -> None:
        if isinstance(answer, Delivered):
            self._confirm(batch, answer)
        with self._ledger.changed:
            match answer:
                case Delivered():
                    self._ledger.tally["acknowledged"] += answer.n_accepted
                    self._ledger.tally["rejected"] += answer.n_rejected
                    self._ledger.dropped["duplicate"] += answer.n_doubled
                case Refused():
                    self._ledger.dropped[answer.reason] += batch.n_rows

    def _post(self, http: httpx.Client, batch: Batch) -> Delivered | Again | Refused:
        headers = {
            "Authorization": f"Bearer {self._target.key}",
            "Idempotency-Key": batch.batch_id,
        }
        if batch.contract is not None:
            headers["Seqwatch-Contract"] = batch.contract
        if not self._is_plain:
            headers["Content-Encoding"] = "gzip"
        body = batch.body if self._is_plain else gzip.compress(batch.body, 1)
        try:
            response = http.post(
                f"/v1/models/{self._target.model}/{batch.kind}", content=body, headers=headers
            )
        except httpx.HTTPError as error:
            _log.info("Seqwatch does not answer: %r", error)
            return Again()
        if response.status_code == httpx.codes.UNSUPPORTED_MEDIA_TYPE and not self._is_plain:
            self._is_plain = True  # an API without support of compression
            return self._post(http, batch)
        with self._ledger.changed:
            self._ledger.tally["sent"] += batch.n_rows
        answer = read_answer(
            response.status_code,
            response.content,
            batch.n_rows,
            response.headers.get("Retry-After"),
        )
        if not isinstance(answer, Delivered):
            then = answer.reason if isinstance(answer, Refused) else "sent again later"
            _log.warning("Seqwatch answered %d: %s", response.status_code, then)
        return answer

    def _confirm(self, batch: Batch, answer: Delivered) -> None:
        notify = self._options.on_acknowledged
        if notify is None or batch.kind is not Kind.PREDICTIONS or answer.faulty is None:
            return
        try:
            notify(batch.prediction_ids(answer.faulty))
        except Exception:  # noqa: BLE001 - an error of the host must not end this thread
            _log.exception("on_acknowledged failed")
