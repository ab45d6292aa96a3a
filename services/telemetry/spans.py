"""Spans of our own requests and jobs (OpenTelemetry), exported by OTLP over HTTP.

Off without `SEQWATCH_OTLP_ENDPOINT`: the SDK is not imported, and no request passes through it.
No attribute holds a value of a row, a name of an entity, or the text of an error: an address is
the route as declared, an error its type.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from core import __version__
from core.errors import NotInstalled
from core.settings import LogFormat, Settings
from db.queries.queue.runs import Claim

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

EXPORT_SECONDS = 5.0  # for one export; what a backend that is away does not take is dropped

Attempt: TypeAlias = Callable[[Claim], Exception | None]


@dataclass(frozen=True, slots=True)
class Tracing:
    """A tracer, None where tracing is off, and what exports its last spans."""

    tracer: "Tracer | None" = None
    stop: Callable[[], object] = bool  # does nothing


def tracing(settings: Settings, process: str) -> Tracing:
    """Return the tracing of a process.

    With logs as JSON and no endpoint it passes on the trace id of a request, and exports none.

    Parameters
    ----------
    settings
        Where to export to.
    process
        `api`, `worker` or `trainer`: the service is `seqwatch-api` and so on.

    Raises
    ------
    NotInstalled
        If the extra `otel` is not installed.
    """
    if not settings.otlp_endpoint:
        if settings.log_format is LogFormat.TEXT:
            return Tracing()
        from opentelemetry.trace import NoOpTracer

        return Tracing(NoOpTracer())
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise NotInstalled(
            "SEQWATCH_OTLP_ENDPOINT needs OpenTelemetry: pip install 'seqwatch-platform[otel]'"
        ) from error
    service = {"service.name": f"seqwatch-{process}", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider.get_tracer("seqwatch", __version__), provider.shutdown)


def traced(tracer: "Tracer | None", claim: Claim, attempt: Attempt) -> Exception | None:
    """Make an attempt of a run, in a span where tracing is on; return its error."""
    if tracer is None:
        return attempt(claim)
    from opentelemetry.trace import StatusCode

    attributes: dict[str, str | int] = {
        "seqwatch.job": claim.job,
        "seqwatch.slot": claim.slot.isoformat(),
        "seqwatch.attempt": claim.attempts,
    }
    with tracer.start_as_current_span(f"job {claim.job}", attributes=attributes) as span:
        error = attempt(claim)
        if error is not None:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
    return error
