"""Logs as JSON: one object a line, with the trace of its request, and nothing attached."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.operations.request_spans import RequestSpans
from core.settings import LogFormat, Settings
from services.telemetry.logs import JsonFormatter
from services.telemetry.spans import tracing
from tests.peers.programs import answers, free_port
from tests.telemetry.receiver import receiving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
log = logging.getLogger("seqwatch.test")


def formatted(record: logging.LogRecord) -> dict[str, str]:
    line = JsonFormatter().format(record)
    assert "\n" not in line
    read: dict[str, str] = json.loads(line)
    return read


def test_a_line_has_the_exception_and_nothing_that_was_attached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attached = {"authorization": "Bearer sw_secret"}
    error = ValueError("two\nlines")
    log.error("job %s failed", "fold", exc_info=error, extra=attached)
    line = formatted(caplog.records[0])
    assert {*line} == {"timestamp", "level", "logger", "message", "exception"}
    assert (line["level"], line["message"]) == ("ERROR", "job fold failed")
    assert line["exception"].endswith("ValueError: two\nlines")
    assert "sw_secret" not in json.dumps(line)


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE, id="of the caller"),
        pytest.param("nonsense", None, id="none where the header is invalid"),
    ],
)
def test_what_a_request_logs_has_its_trace_id_without_a_backend(
    caplog: pytest.LogCaptureFixture, traceparent: str, trace_id: str | None
) -> None:
    lines = []

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        log.warning("slow")
        lines.append(formatted(caplog.records[0]))

    async def receive() -> Message:
        raise AssertionError

    async def send(_: Message) -> None:
        pass

    tracer = tracing(Settings(log_format=LogFormat.JSON), "api").tracer
    assert tracer is not None
    headers = [(b"traceparent", traceparent.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    asyncio.run(RequestSpans(app, tracer)(scope, receive, send))
    assert lines[0].get("trace_id") == trace_id


def test_processes_write_only_json_and_export_their_last_spans(tmp_path: Path) -> None:
    port = free_port()
    with receiving() as receiver:
        environment = os.environ | {
            "SEQWATCH_DATABASE_URL": f"sqlite:///{tmp_path}/seqwatch.sqlite",
            "SEQWATCH_LAKE": str(tmp_path / "lake"),
            "SEQWATCH_ARTIFACTS": str(tmp_path / "artifacts"),
            "SEQWATCH_REPORTS": str(tmp_path / "reports"),
            "SEQWATCH_PORT": str(port),
            "SEQWATCH_LOG_FORMAT": "json",
            "SEQWATCH_OTLP_ENDPOINT": receiver.url,
        }
        command = [sys.executable, "-m", "cli.main"]
        subprocess.run([*command, "migrate"], env=environment, check=True, timeout=120)
        processes = {}
        for role in ("api", "worker"):
            with (tmp_path / f"{role}.log").open("wb") as output:
                processes[role] = subprocess.Popen(
                    [*command, role], env=environment, stdout=output, stderr=output
                )
        try:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 90
            while not answers(f"{url}/health") or not receiver.bodies:  # the worker exports
                assert time.monotonic() < until, (tmp_path / "api.log").read_text()
                time.sleep(0.2)
            assert not answers(f"{url}/v1/models")  # 401
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGTERM)
            for process in processes.values():
                process.wait(60)
        spans = receiver.spans()
    assert {one.service for one in spans} == {"seqwatch-api", "seqwatch-worker"}
    assert "job fold" in {one.name for one in spans}
    refused = [one for one in spans if one.service == "seqwatch-api"]
    assert [one.attributes["http.response.status_code"] for one in refused] == [401]
    lines = (tmp_path / "api.log").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert "uvicorn.error" in {line["logger"] for line in logged}
