"""Spans around predictions, by the tracer of the host (OpenTelemetry)."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer


class PredictionSpan:
    """The span of one prediction, child of the span that is current where it begins.

    It has the model, the version and the status as attributes, and no value of the row.
    """

    __slots__ = ("_defaults", "_model", "_open", "_span", "_tracer")

    def __init__(self, tracer: "Tracer", model: str, defaults: Mapping[str, Any]) -> None:
        self._tracer = tracer
        self._model = model
        self._defaults = defaults
        self._open = ExitStack()
        self._span: Span | None = None

    def begin(self) -> None:
        """Begin the span, and make it the current one."""
        self._span = self._open.enter_context(
            self._tracer.start_as_current_span(
                "seqwatch predict",
                attributes={"seqwatch.model": self._model},
                record_exception=False,  # its text may quote a value
                set_status_on_exception=False,
            )
        )

    def end(self, row: dict[str, Any]) -> None:
        """End the span; the row gets the id of its trace, unless it has one."""
        assert self._span is not None
        for name in ("version", "status"):
            value = row.get(name, self._defaults.get(name))
            if value is not None:
                self._span.set_attribute(f"seqwatch.{name}", str(value))
        context = self._span.get_span_context()
        if context.is_valid:
            row.setdefault("trace_id", f"{context.trace_id:032x}")
        self._open.close()
