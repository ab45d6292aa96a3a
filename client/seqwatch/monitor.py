"""Logs what a serving process did, without blocking or raising in it."""

import atexit
import logging
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any

import httpx

from seqwatch.contract import Declared
from seqwatch.copies import settle
from seqwatch.delivery.batch import Kind, Row, rows_of
from seqwatch.delivery.pipeline import Pipeline
from seqwatch.delivery.sender import Target
from seqwatch.forks import on_fork
from seqwatch.options import Counts, Options
from seqwatch.prediction import Prediction
from seqwatch.request import current
from seqwatch.spans import PredictionSpan

_log = logging.getLogger("seqwatch")

# Looked up once: each attribute access slows `log`.
_PREDICTIONS = Kind.PREDICTIONS
_OF_EVENTS = {"version", "session_id", "worker"}
_current = current.get


class Monitor:
    """Log the predictions of a model, their labels, and events of its service.

    Parameters
    ----------
    url, key, model
        Of the Seqwatch API: its address, a key with scope `ingest`, and the
        name under which the model is registered.
    spool
        A folder for what is not acknowledged yet; it waits there, also while
        the API or this process is down. Any number of processes may share it:
        each uses its own folder in it, and sends what dead processes left. None
        keeps all batches in memory.
    options
        See `Options`.
    contract
        The contract as it is registered. Its digest goes with every batch,
        and `features` and `output` may then be arrays: (steps, features) and
        (horizon, targets), in the contract's order without optional features.

    Raises
    ------
    OSError
        When the spool cannot be used.
    ValueError
        When the address, the key or the contract cannot be one.
        After this nothing raises.

    Examples
    --------
    >>> monitor = Monitor("http://127.0.0.1:9", "sw_key", "load")  # no server there
    >>> monitor.log(
    ...     version="v1", prediction_id="p-1", features={"load": [1.0]}, output={"load": [2.0]}
    ... )
    'p-1'
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
        *,
        contract: Mapping[str, Any] | None = None,
    ) -> None:
        self._declared = None if contract is None else Declared.from_document(contract)
        options = options or Options()
        self._defaults = dict(options.defaults)
        self._warned: set[str] = set()
        self._target = Target(
            url=_address(url),
            key=_ascii(key),
            model=model,
            spool=spool,
            options=options,
            contract=self._declared.digest if self._declared else None,
            prepare=partial(_prepare, self._declared),
        )
        self._new_id_prefix()
        self._pipe = Pipeline(self._target)
        self._pipe.open()
        on_fork(self)
        atexit.register(self.close)

    def log(self, row: Row | None = None, /, **fields: object) -> str:
        """Log one prediction. Returns at once and never raises.

        Parameters
        ----------
        row
            The prediction as one mapping.
        fields
            Or field by field; these override `row`, and `row` the defaults.

        Returns
        -------
        str
            The prediction's id: the one given, or a new one. `at` is now,
            when it is not given. The row is copied before this returns:
            arrays may be used again.
        """
        try:
            taken = {**self._defaults, **row, **fields} if row else {**self._defaults, **fields}
            name = taken.get("prediction_id")
            if name is None:
                name = taken["prediction_id"] = f"{self._prefix}{next(self._numbers):x}"
            if "at" not in taken and "_at" not in taken:
                taken["_at"] = time_ns()
            settle(taken)
            if _current() is None:
                self._pipe.take(_PREDICTIONS, taken)
            else:
                self._hold(taken)
            return name  # type: ignore[return-value]  # the API refuses an id that is no string
        except Exception as error:  # noqa: BLE001 - no error of the client may reach the host
            return self._drop(error)

    def predict(self, **fields: object) -> Prediction:
        """Time a prediction, and log it when the block ends.

        Parameters
        ----------
        fields
            What is known before: `version`, `session_id`, `features`, ...

        Examples
        --------
        >>> monitor = Monitor("http://127.0.0.1:9", "sw_key", "load")
        >>> with monitor.predict(version="v1", features={"load": [1.0]}) as prediction:
        ...     prediction.output = {"load": [2.0]}
        >>> monitor.close(timeout=0.0)
        """
        tracer = self._target.options.tracer
        span = (
            None
            if tracer is None
            else PredictionSpan(tracer, self._target.model, self._defaults)
        )
        return Prediction(self, fields, span)

    def log_many(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Log predictions, as columns of equal length. Never raises."""
        for row in self._rows(columns):
            self.log(row)

    def label(self, row: Row | None = None, /, **fields: object) -> None:
        """Log one label, as a mapping or field by field. Never raises."""
        try:
            taken = {**row, **fields} if row else dict(fields)
            settle(taken)
            self._pipe.take(Kind.LABELS, taken)
        except Exception as error:  # noqa: BLE001 - no error of the client may reach the host
            self._drop(error)

    def label_many(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Log labels, as columns of equal length. Never raises."""
        for row in self._rows(columns):
            self.label(row)

    def event(self, type: str, /, **fields: object) -> str:
        """Log one event of the service, e.g. `restart`. Returns at once and never raises.

        Parameters
        ----------
        type
            One of the types of docs/model-events.md.
        fields
            Of this type. `version`, `session_id` and `worker` are those of
            `Options.defaults`, when they are not given; `at` is now.

        Returns
        -------
        str
            The event's id: the one given, or a new one. The API stores an id once.
        """
        try:
            taken = {name: self._defaults[name] for name in _OF_EVENTS & self._defaults.keys()}
            taken |= {**fields, "type": type}
            name = taken.setdefault("event_id", self.new_id())
            if "at" not in taken:
                taken["_at"] = time_ns()
            settle(taken)
            self._pipe.take(Kind.EVENTS, taken)
            return name  # type: ignore[return-value]  # the API refuses an id that is no string
        except Exception as error:  # noqa: BLE001 - no error of the client may reach the host
            return self._drop(error)

    @contextmanager
    def timed(self, type: str, /, **fields: object) -> Iterator[None]:
        """Time a block, and log it as an event when it ends: `load`, `restore`, `cold_start`.

        A block that raises is not logged.

        Examples
        --------
        >>> monitor = Monitor("http://127.0.0.1:9", "sw_key", "load")
        >>> with monitor.timed("load", version="v1"):
        ...     weights = [1.0]
        >>> monitor.close(timeout=0.0)
        """
        started = perf_counter()
        yield
        self.event(type, duration_seconds=perf_counter() - started, **fields)

    def counts(self) -> Counts:
        """Return the counts of rows by state."""
        return self._pipe.counts()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until no row is unsent.

        It blocks: in asyncio, `await asyncio.to_thread(monitor.flush)`.

        Parameters
        ----------
        timeout
            In seconds.

        Returns
        -------
        bool
            True when every row was acknowledged or dropped; False at the time
            limit. Batches in a spool are on disk then,
            unless the disk hangs.
        """
        return self._pipe.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Flush, then stop. Unsent batches stay in the spool.

        Parameters
        ----------
        timeout
            In seconds; `Options.close_seconds` when None. A request or a disk
            that hangs is not waited for longer than half a second more.
        """
        atexit.unregister(self.close)
        self._pipe.close(self._target.options.close_seconds if timeout is None else timeout)

    def new_id(self) -> str:
        """Return a prediction id that no other process and no other call returns."""
        return f"{self._prefix}{next(self._numbers):x}"

    def renew(self) -> None:
        """Reinitialise in a forked child: the parent sends what it has logged."""
        parents = self._pipe
        self._new_id_prefix()
        self._pipe = Pipeline(self._target)
        parents.spool.abandon()
        # multiprocessing ends its children without the handlers of `atexit`.
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.register_after_fork(self, _close_with_the_child)

    def _new_id_prefix(self) -> None:
        self._prefix = f"{secrets.token_hex(8)}-"
        self._numbers = count()

    def _hold(self, taken: dict[str, Any]) -> None:
        request = current.get()
        assert request is not None
        if request.trace_id is not None:
            taken.setdefault("trace_id", request.trace_id)
        if "status" in taken and "latency_seconds" in taken:
            self._pipe.take(Kind.PREDICTIONS, taken)
        else:
            request.hold(partial(self._pipe.take, Kind.PREDICTIONS), taken)

    def _rows(self, columns: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
        try:
            return list(rows_of(columns))
        except Exception as error:  # noqa: BLE001 - no error of the client may reach the host
            self._drop(error)
            return []

    def _drop(self, error: Exception) -> str:
        name = type(error).__name__
        if name not in self._warned:  # once each, to limit the messages in the host's log
            self._warned.add(name)
            _log.warning("what was logged is not a row: %s", name)
        self._pipe.refuse("not_rows")
        return self.new_id()


def _prepare(declared: Declared | None, row: dict[str, Any]) -> Row:
    """Complete a row, in the packing thread: the steps that `log` leaves out."""
    at = row.pop("_at", None)
    if at is not None:
        row["at"] = datetime.fromtimestamp(at / 1e9, UTC).isoformat()
    if declared is not None:
        declared.named(row)
    return row


def _close_with_the_child(monitor: Monitor) -> None:
    from multiprocessing.util import Finalize

    Finalize(None, monitor.close, exitpriority=0)


def _address(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ValueError(f"not an address: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"not an address of http or https: {url!r}")
    return url


def _ascii(key: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise ValueError("the key has characters that no key has")
    return key
