import logging
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.server.security import HEADERS
from core.errors import BadRows, Busy, RowFault
from db.session import unit_of_work
from tests.api.conftest import Clients
from tests.problems import error_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OPEN_TO_ALL = {"/health", "/ready"}


def test_nothing_but_health_is_open_to_strangers(app: FastAPI, stranger: TestClient) -> None:
    for path, verbs in app.openapi()["paths"].items():
        for verb in verbs:
            answer = stranger.request(verb, path)
            expected = 200 if path in OPEN_TO_ALL else 401
            assert answer.status_code == expected, (verb, path, answer.text)


def test_a_key_that_only_reads_changes_nothing(
    app: FastAPI, model: str, as_key: Clients
) -> None:
    reader = as_key("read")
    for path, verbs in app.openapi()["paths"].items():
        for verb in {*verbs} - {"get"}:
            answer = reader.request(verb, path.replace("{model}", model), json={})
            # 422: the body was checked first. It shows nothing of what is stored.
            assert answer.status_code in (403, 422), (verb, path, answer.text)


def test_an_unknown_query_parameter_is_refused_by_name(app: FastAPI, as_key: Clients) -> None:
    """A filter that was misspelt returned everything."""
    reader = as_key("admin", "read")
    paths = [path for path, verbs in app.openapi()["paths"].items() if "get" in verbs]
    for path in {*paths} - OPEN_TO_ALL - {"/metrics"}:
        answer = reader.get(path, params={"limt": 1})
        assert (answer.status_code, error_of(answer)) == (422, "Unprocessable"), path
        assert "query parameter limt: unknown; known: " in answer.json()["detail"], path


def test_an_unknown_address_has_the_same_shape(stranger: TestClient) -> None:
    answer = stranger.get("/v2")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:seqwatch:error:NotFound",
        "title": "Not found",
        "status": 404,
        "detail": "Not Found",
        "instance": "/v2",
    }


def test_broken_json_is_malformed(operator: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = operator.put("/v1/models/grid", content=b'{"contract": ', headers=headers)
    assert answer.status_code == 400
    assert error_of(answer) == "Malformed"


def test_values_are_never_echoed(operator: TestClient) -> None:
    answer = operator.put("/v1/models/grid", json={"contract": "hunter2", "hidden": "hunter2"})
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


def test_a_bug_keeps_its_trace_in_the_log(
    app: FastAPI, as_key: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/bug")
    def bug() -> None:
        raise RuntimeError("secret detail")

    with caplog.at_level(logging.ERROR):
        answer = as_key("read").get("/bug")
    assert answer.status_code == 500
    assert error_of(answer) == "InternalError"
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


def test_bad_rows_are_listed(app: FastAPI, stranger: TestClient) -> None:
    @app.get("/rows")
    def rows() -> None:
        raise BadRows((RowFault(row=3, field="at", reason="has no time zone"),), n_accepted=7)

    answer = stranger.get("/rows").json()
    assert answer["accepted"] == 7
    assert answer["errors"] == [{"row": 3, "field": "at", "reason": "has no time zone"}]


def test_busy_states_when_to_retry(app: FastAPI, stranger: TestClient) -> None:
    @app.get("/busy")
    def busy() -> None:
        raise Busy("the queue is full")

    answer = stranger.get("/busy")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/absent"])
def test_every_answer_carries_the_security_headers(stranger: TestClient, path: str) -> None:
    headers = stranger.get(path).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({}, 415, id="content type"),
        pytest.param({"json": {"rows": []}}, 422, id="no rows"),
        pytest.param({"json": {}, "headers": {"Authorization": "Bearer no"}}, 401, id="key"),
    ],
)
def test_what_is_sent_in_is_answered_like_all_else(
    app: FastAPI,
    as_key: Clients,
    model: str,
    given: dict[str, Any],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over the short way, and past it through the layers of the framework."""
    sender, path = as_key("ingest"), f"/v1/models/{model}/predictions"
    short = sender.post(path, **given)
    monkeypatch.setattr(app, "_serve", partial(FastAPI.__call__, app))
    long = sender.post(path, **given)
    assert short.status_code == long.status_code == status
    assert short.json() == long.json()
    assert short.headers == long.headers


@pytest.mark.parametrize("path", ["/v1/models//predictions", "/v1/models/a/b/predictions"])
def test_what_is_no_address_is_not_found(as_key: Clients, path: str) -> None:
    assert as_key("ingest").post(path, json={}).status_code == 404


def test_a_bug_in_the_short_way_keeps_its_trace_in_the_log(
    app: FastAPI,
    as_key: Clients,
    model: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("api.ingestion.ingest.IngestEndpoint._batch", fail)
    answer = as_key("ingest").post(f"/v1/models/{model}/predictions", json={})
    assert answer.status_code == 500
    assert error_of(answer) == "InternalError"
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


def test_not_ready_without_tables(app: FastAPI, stranger: TestClient) -> None:
    assert stranger.get("/ready").text == "ready\n"
    with unit_of_work(app.state.platform.sessions) as session:
        session.execute(text("ALTER TABLE model RENAME TO gone"))
    answer = stranger.get("/ready")
    assert (answer.status_code, answer.text) == (
        503,
        "not ready: the database does not answer, or does not bear our schema\n",
    )
