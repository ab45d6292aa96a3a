"""One prediction while it is computed: input, output, latency and status."""

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from seqwatch.spans import PredictionSpan

if TYPE_CHECKING:
    from seqwatch.monitor import Monitor


class Prediction:
    """Times a prediction and logs it when the block ends, however it ends.

    Returned by `Monitor.predict`; works with `with` and with `async with`. An
    exception passes through unchanged.

    Attributes
    ----------
    prediction_id
        Known from the start, e.g. to be returned with the answer.
    output, features
        To be set in the block.
    status
        `ok`, unless it is set in the block or an exception ends it: `timeout`
        for a TimeoutError or a cancelled task, `error` for any other.
    fields
        All other fields of the row; more may be added.
    """

    __slots__ = (
        "_monitor", "_span", "_started",
        "features", "fields", "output", "prediction_id", "status",
    )  # fmt: skip

    def __init__(
        self, monitor: "Monitor", fields: dict[str, Any], span: PredictionSpan | None = None
    ) -> None:
        self._monitor = monitor
        self._span = span
        self._started = 0.0
        self.features: Any = fields.pop("features", None)
        self.output: Any = fields.pop("output", None)
        self.status: str | None = fields.pop("status", None)
        given: str | None = fields.get("prediction_id")
        self.prediction_id = monitor.new_id() if given is None else given
        self.fields = fields

    def __enter__(self) -> "Prediction":
        if "at" not in self.fields:
            self.fields["_at"] = time.time_ns()
        if self._span is not None:
            self._span.begin()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._started
        row = self.fields
        row["prediction_id"] = self.prediction_id
        row["status"] = _status(kind, self.status)
        row.setdefault("latency_seconds", seconds)
        if self.features is not None:
            row["features"] = self.features
        if self.output is not None:
            row["output"] = self.output
        if self._span is not None:
            self._span.end(row)
        self._monitor.log(row)

    async def __aenter__(self) -> "Prediction":
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def _status(kind: type[BaseException] | None, status: str | None) -> str:
    if kind is None:
        return status or "ok"
    is_timeout = issubclass(kind, TimeoutError | asyncio.CancelledError)
    return "timeout" if is_timeout else "error"
