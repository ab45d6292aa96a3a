"""A prediction is a span of the host's trace, and its row names the trace."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer
from seqwatch import Monitor, Options

from tests.client.api import Api

SECRET = "patient-7"


def test_a_prediction_is_a_span_and_its_row_has_the_id_of_the_trace(api: Api) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("forecaster")
    options = Options(tracer=tracer, defaults={"version": "v1"})
    monitor = Monitor(api.url, "k", "load", options=options)
    with tracer.start_as_current_span("request"):
        with monitor.predict(entity=SECRET) as prediction:
            prediction.output = {"load": [2.0]}
        with pytest.raises(KeyError), monitor.predict(version="v1"):
            raise KeyError(SECRET)
    assert monitor.flush()
    monitor.close()
    provider.shutdown()
    kept, failed, request = exporter.get_finished_spans()
    assert {kept.name, failed.name} == {"seqwatch predict"}
    assert kept.parent == request.context
    assert [dict(one.attributes or {}) for one in (kept, failed)] == [
        {"seqwatch.model": "load", "seqwatch.version": "v1", "seqwatch.status": status}
        for status in ("ok", "error")
    ]
    assert (failed.events, SECRET in kept.to_json() + failed.to_json()) == ((), False)
    rows = [row for seen in api.seen for row in seen.rows]
    assert request.context is not None
    assert {row["trace_id"] for row in rows} == {f"{request.context.trace_id:032x}"}
    assert [row["status"] for row in rows] == ["ok", "error"]


def test_a_tracer_that_records_nothing_gives_no_row_a_trace(api: Api) -> None:
    monitor = Monitor(api.url, "k", "load", options=Options(tracer=NoOpTracer()))
    with monitor.predict(version="v1"):
        pass
    assert monitor.flush()
    monitor.close()
    assert ["trace_id" in row for seen in api.seen for row in seen.rows] == [False]
