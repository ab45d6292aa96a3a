"""Spans of requests and jobs reach a trace backend, and carry no value of a row."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.errors import NotInstalled
from core.settings import Settings
from db.queries.queue import runs
from db.queries.queue.runs import Claim
from db.session import unit_of_work
from jobs.worker import Job, Queue, Worker
from services.telemetry.spans import tracing
from tests.pipeline.world import platform
from tests.streams import START
from tests.telemetry.receiver import Receiver, receiving

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
SECRET = "patient-7"
CONTRACT = {
    "features": [{"name": "load"}],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 1,
    "horizon": 1,
}
ROW = {
    "prediction_id": "p1",
    "version": "v1",
    "at": START.isoformat(),
    "entity": SECRET,
    "features": {"load": [1.0]},
    "output": {"load": [1.0]},
}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def traced(settings: Settings, receiver: Receiver) -> Settings:
    return settings.model_copy(update={"otlp_endpoint": receiver.url})


def test_a_request_is_a_span_of_the_caller_s_trace_named_by_its_route(
    traced: Settings, sessions: sessionmaker[Session], receiver: Receiver, tmp_path: Path
) -> None:
    with platform(traced, sessions, tmp_path) as served:
        made = served.http.put("/v1/models/load", json={"contract": CONTRACT})
        assert made.is_success, made.text
        kept = served.http.post(
            "/v1/models/load/predictions", json={"rows": [ROW]}, headers=TRACEPARENT
        )
        assert kept.status_code == 200, kept.text
        found = served.http.get("/v1/models/load/predictions", params={"entity": SECRET})
        assert SECRET in found.text
        missing = served.http.get(f"/v1/models/{SECRET}")
        assert missing.status_code == 404
        served.http.get("/health")
    spans = {one.name: one for one in receiver.spans()}
    ingest = spans["POST /v1/models/{model}/predictions"]
    assert (ingest.trace_id, ingest.parent_id) == (TRACE, PARENT)
    assert ingest.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/models/{model}/predictions",
    }
    assert spans["GET /v1/models/{model}"].attributes["http.response.status_code"] == 404
    assert "GET /v1/models/{model}/predictions" in spans
    assert {one.service for one in spans.values()} == {"seqwatch-api"}
    assert not [name for name in spans if "health" in name]
    sent = b"".join(receiver.bodies)
    assert SECRET.encode() not in sent
    assert served.key.encode() not in sent


def test_a_run_of_a_job_is_a_span_and_its_error_is_named_by_its_type(
    traced: Settings, sessions: sessionmaker[Session], receiver: Receiver
) -> None:
    def work(claim: Claim) -> None:
        if claim.job == "fails":
            raise ValueError(SECRET)

    spans = tracing(traced, "worker")
    with unit_of_work(sessions) as session:
        for job in ("works", "fails"):
            runs.ask(session, job, START, START)
    jobs = dict.fromkeys(("works", "fails"), Job(Queue.BULK, work))
    worker = Worker(traced, sessions, jobs, tracer=spans.tracer)
    assert (worker.once(), worker.once()) == (True, True)
    spans.stop()
    found = {one.name: one for one in receiver.spans()}
    assert {name: one.is_error for name, one in found.items()} == {
        "job works": False,
        "job fails": True,
    }
    assert found["job fails"].attributes == {
        "seqwatch.job": "fails",
        "seqwatch.slot": START.isoformat(),
        "seqwatch.attempt": 1,
        "error.type": "ValueError",
    }
    assert {one.service for one in found.values()} == {"seqwatch-worker"}
    assert SECRET.encode() not in b"".join(receiver.bodies)


def test_a_backend_that_is_away_delays_no_request_and_no_stop(
    settings: Settings, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    away = settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:9"})
    started = monotonic()
    with platform(away, sessions, tmp_path) as served:
        assert served.http.get("/v1/models").status_code == 200
    assert monotonic() - started < 15


def test_without_an_endpoint_nothing_of_the_sdk_is_imported(database_url: str) -> None:
    code = (
        "import sys; from sqlalchemy.orm import sessionmaker; from api.main import create_app; "
        "from core.settings import Settings; import jobs.wiring; "
        "create_app(Settings(), sessionmaker()); "
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_start_without_the_extra_names_it(
    traced: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # cannot be imported
    with pytest.raises(NotInstalled, match=r"seqwatch-platform\[otel\]"):
        tracing(traced, "api")
