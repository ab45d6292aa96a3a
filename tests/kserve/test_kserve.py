"""Two events of KServe's logger are one batch of predictions."""

import base64
import json
import struct
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.settings import Settings
from db.queries.log import row_counters
from db.session import read_only, unit_of_work
from db.tables import Model, Quarantine
from services.kserve.pairing import UNANSWERED, UNASKED, sweep
from tests.databases import ON_SQLITE
from tests.kserve.conftest import (
    ANSWERED_AT,
    ASKED_AT,
    REQUEST,
    RESPONSE,
    V1,
    V2,
    Logger,
    Stored,
    waiting,
)

WAIT = timedelta(minutes=10)


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["request first", "response first"])
@pytest.mark.parametrize("protocol", [V1, V2], ids=["v1", "v2"])
def test_two_events_make_one_batch(
    logger: Logger,
    stored: Stored,
    sessions: sessionmaker[Session],
    mode: str,
    order: list[int],
    protocol: tuple[Any, Any],
) -> None:
    send = getattr(logger, mode)
    first, second = [send([REQUEST, RESPONSE][part], protocol[part]) for part in order]
    assert (first.status_code, first.json()["outcome"]) == (200, "waiting")
    assert second.json() == {
        "outcome": "paired",
        "accepted": 2,
        "duplicate": False,
        "duplicates": [],
        "quarantined": 0,
        "errors": [],
    }
    rows = stored()
    assert [row["prediction_id"] for row in rows] == ["e-1:0", "e-1:1"]
    assert rows[0]["features"] == {"load": [1.0, 2.0, 3.0], "temp": [10.0, 20.0, 30.0]}
    assert rows[1]["features"] == {"load": [4.0, 5.0, 6.0], "temp": [40.0, 50.0, 60.0]}
    assert [row["output"] for row in rows] == [{"load": [7.0, 8.0]}, {"load": [9.0, 10.0]}]
    assert rows[0]["at"] == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert rows[0]["latency_seconds"] == pytest.approx(0.25)
    assert {(row["version"], row["status"], row["batch_size"]) for row in rows} == {
        ("v1", "ok", 2)
    }
    assert waiting(sessions) == []


def test_a_half_twice_changes_nothing(
    logger: Logger, stored: Stored, sessions: sessionmaker[Session]
) -> None:
    assert logger.binary(REQUEST, V1[0]).json()["outcome"] == "waiting"
    other = {"instances": [[[0, 0]]]}
    assert logger.binary(REQUEST, other).json()["outcome"] == "duplicate"
    assert logger.structured(REQUEST, V1[0]).json()["outcome"] == "duplicate"
    assert logger.binary(RESPONSE, V1[1]).json()["outcome"] == "paired"
    for kind, payload in ((REQUEST, V1[0]), (RESPONSE, V1[1]), (REQUEST, V1[0])):
        assert logger.binary(kind, payload).json()["outcome"] == "duplicate"
    assert [row["features"]["load"][0] for row in stored()] == [1.0, 4.0]
    assert waiting(sessions) == []


def test_events_find_each_other_across_restarts_and_replicas(
    settings: Settings,
    sessions: sessionmaker[Session],
    model: str,
    token: str,
    stored: Stored,
) -> None:
    outcomes = []
    for kind, payload in ((REQUEST, V1[0]), (RESPONSE, V1[1])):
        with TestClient(create_app(settings, sessions)) as replica:
            replica.headers["Authorization"] = f"Bearer {token}"
            outcomes.append(Logger(replica).binary(kind, payload).json()["outcome"])
    assert outcomes == ["waiting", "paired"]
    assert len(stored()) == 2


def test_events_that_come_at_the_same_moment_make_exactly_one_prediction(
    settings: Settings,
    sessions: sessionmaker[Session],
    model: str,
    token: str,
    stored: Stored,
) -> None:
    n_pairs, outcomes = 40, []
    parties = threading.Barrier(2, timeout=60)

    def send(kind: str, payload: object) -> None:
        with TestClient(create_app(settings, sessions)) as replica:
            replica.headers["Authorization"] = f"Bearer {token}"
            logger = Logger(replica)
            for i in range(n_pairs):
                parties.wait()
                outcomes.append(logger.binary(kind, payload, id=f"e-{i}").json()["outcome"])

    one = {"instances": [[[1, 2]]]}, {"predictions": [[1, 2]]}
    threads = [
        threading.Thread(target=send, args=(kind, payload))
        for kind, payload in zip((REQUEST, RESPONSE), one, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2 * n_pairs
    assert outcomes.count("paired") >= n_pairs
    assert sorted(row["prediction_id"] for row in stored()) == sorted(
        f"e-{i}" for i in range(n_pairs)
    )
    assert waiting(sessions) == []


ONE = [1, 2, 3], [10, 20, 30]
REQUESTS = [
    pytest.param({"instances": [[[1, 10], [2, 20], [3, 30]]]}, *ONE, id="v1, windows"),
    pytest.param(
        {"instances": [{"load": [1, 2, 3], "temp": [10, 20, 30]}]}, *ONE, id="v1, names"
    ),
    pytest.param(
        {"instances": [{"load": [[1], [2], [3]], "temp": [[10], [20], [30]]}]}, *ONE,
        id="v1, names, an axis of one",
    ),
    pytest.param({"instances": [[1, 10]]}, [1], [10], id="v1, one step"),
    pytest.param({"instances": [{"load": 1, "temp": 10}]}, [1], [10], id="v1, bare numbers"),
    pytest.param(
        {"inputs": [
            {"name": "temp", "shape": [1, 3], "datatype": "INT64", "data": [10, 20, 30]},
            {"name": "load", "shape": [1, 3, 1], "datatype": "FP32", "data": [[[1], [2], [3]]]},
        ]}, *ONE, id="v2, named tensors in any order",
    ),
    pytest.param(
        {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 10]}]},
        [1], [10], id="v2, one step",
    ),
]  # fmt: skip


@ON_SQLITE
@pytest.mark.parametrize(("payload", "load", "temp"), REQUESTS)
def test_requests_map_to_the_features_of_the_contract(
    logger: Logger, stored: Stored, payload: object, load: list[float], temp: list[float]
) -> None:
    logger.binary(REQUEST, payload)
    said = logger.binary(RESPONSE, {"predictions": [[1, 2]]}).json()
    assert (said["accepted"], said["errors"]) == (1, [])
    (row,) = stored()
    assert row["features"] == {"load": load, "temp": temp}
    assert row["prediction_id"] == "e-1"


@ON_SQLITE
@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"predictions": [[1, 2]]}, id="v1, a list"),
        pytest.param({"predictions": [[[1], [2]]]}, id="v1, an axis of one"),
        pytest.param({"predictions": [{"load": [1, 2]}]}, id="v1, by name"),
        pytest.param(
            {"outputs": [{"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]},
            id="v2, a tensor of any name",
        ),
        pytest.param(
            {"outputs": [
                {"name": "p", "shape": [1, 9], "datatype": "FP32", "data": [0] * 9},
                {"name": "load", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
            ]},
            id="v2, one more than the contract follows",
        ),
    ],
)  # fmt: skip
def test_responses_map_to_the_targets(logger: Logger, stored: Stored, payload: object) -> None:
    logger.binary(REQUEST, {"instances": [[1, 10]]})
    said = logger.binary(RESPONSE, payload).json()
    assert (said["accepted"], said["errors"]) == (1, [])
    assert stored()[0]["output"] == {"load": [1.0, 2.0]}


@ON_SQLITE
def test_tensors_of_the_binary_extension_are_read(logger: Logger, stored: Stored) -> None:
    def tensor(name: str, shape: list[int], datatype: str, size: int) -> dict[str, Any]:
        parameters = {"binary_data_size": size}
        return {"name": name, "shape": shape, "datatype": datatype, "parameters": parameters}

    header = {
        "id": "é",
        "inputs": [tensor("load", [1, 3], "FP32", 12), tensor("temp", [1, 3], "INT16", 6)],
    }
    body = json.dumps(header, ensure_ascii=False).encode()
    body += struct.pack("<3f3h", 1, 2, 3, 10, 20, 30)
    logger.binary(REQUEST, body)
    answer = {"model_name": "m", "outputs": [tensor("y", [1, 2], "FP64", 16)]}
    logger.binary(RESPONSE, json.dumps(answer).encode() + struct.pack("<2d", 1, 2))
    (row,) = stored()
    assert row["features"] == {"load": [1, 2, 3], "temp": [10, 20, 30]}
    assert row["output"] == {"load": [1.0, 2.0]}


@ON_SQLITE
def test_a_request_says_whose_it_is(logger: Logger, stored: Stored) -> None:
    inputs = V2[0]["inputs"]
    logger.binary(
        REQUEST, {"inputs": inputs, "parameters": {"session_id": "s", "x": 1}}, id="2"
    )
    logger.binary(RESPONSE, V2[1], id="2")
    instance = {"load": 1, "temp": 2, "entity": "m", "step_index": 3}
    logger.binary(REQUEST, {"instances": [instance]}, id="1")
    logger.binary(RESPONSE, {"predictions": [[1, 2]]}, id="1")
    first, second, third = stored()
    assert (first["session_id"], second["session_id"]) == ("s", "s")
    assert (third["entity"], third["step_index"]) == ("m", 3)


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@ON_SQLITE
def test_the_trace_of_the_request_is_kept(logger: Logger, stored: Stored) -> None:
    logger.binary(REQUEST, V1[0], traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    logger.binary(RESPONSE, V1[1], traceparent="nonsense")
    assert {row["trace_id"] for row in stored()} == {TRACE}


@ON_SQLITE
def test_the_version_is_that_of_the_address_the_event_or_the_response(
    client: TestClient, stored: Stored
) -> None:
    def send(path: str, kind: str, payload: object, event_id: str, **more: str) -> Any:
        headers = {
            "ce-specversion": "1.0", "ce-type": kind, "ce-id": event_id, "ce-time": ASKED_AT,
            **{f"ce-{name}": value for name, value in more.items()},
        }  # fmt: skip
        return client.post(path, content=json.dumps(payload), headers=headers)

    asked, said = {"instances": [[1, 2]]}, {"predictions": [[1, 2]]}
    send("/v1/kserve?model=grid&version=a", REQUEST, asked, "1", modelversion="b")
    send("/v1/kserve?model=grid&version=a", RESPONSE, said, "1")
    send("/v1/kserve?model=grid", REQUEST, asked, "2", modelversion="b")
    send("/v1/kserve?model=grid", RESPONSE, said, "2")
    output = {"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    answer = {"model_version": "c", "outputs": [output]}
    send("/v1/kserve", REQUEST, asked, "3", inferenceservicename="grid")
    send("/v1/kserve", RESPONSE, answer, "3", inferenceservicename="grid")
    assert [row["version"] for row in stored()] == ["a", "b", "c"]
    send("/v1/kserve?model=grid", REQUEST, asked, "4")
    nobody = send("/v1/kserve?model=grid", RESPONSE, said, "4").json()
    assert [(row["field"], nobody["accepted"]) for row in nobody["errors"]] == [("version", 0)]
    assert send("/v1/kserve", REQUEST, asked, "5").status_code == 422


BAD_PAIRS = [
    pytest.param({"instances": [[1, 2, 3]]}, V1[1], "features", id="too wide"),
    pytest.param({"instances": []}, V1[1], "features", id="no instance"),
    pytest.param({"instances": 5}, V1[1], "features", id="instances that are no list"),
    pytest.param({"instances": [[1, [2]]]}, V1[1], "features", id="ragged"),
    pytest.param({"rows": []}, V1[1], "features", id="neither protocol"),
    pytest.param(None, V1[1], "features", id="null"),
    pytest.param(b"\x00\x01", V1[1], "features", id="no JSON"),
    pytest.param({"instances": [{"load": 1}]}, V1[1], "features.temp", id="one missing"),
    pytest.param(
        {"instances": [{"load": 1, "temp": 2, "x": 3}]}, V1[1], "features.x", id="one unknown"
    ),
    pytest.param({"instances": [["1", 2]]}, V1[1], "features.load[0]", id="text"),
    pytest.param(
        {"instances": [[[1, 2]] * 4]}, V1[1], "features.load", id="a window that is too long"
    ),
    pytest.param({"inputs": [{"shape": [2, 2]}]}, V1[1], "features", id="no values"),
    pytest.param(
        {"inputs": [{"shape": [2, 2], "data": [1, 2, 3]}]}, V1[1], "features",
        id="shape and values differ",
    ),
    pytest.param(
        {"inputs": [{"shape": [2**40], "data": [1]}]}, V1[1], "features", id="a lie of a shape"
    ),
    pytest.param(
        {"inputs": [{"shape": [1, 2], "datatype": "FP32",
                     "parameters": {"binary_data_size": 8}}]},
        V1[1], "features", id="bytes that do not follow",
    ),
    pytest.param({"instances": [[1, 2]]}, {"predictions": [[1]]}, "output.load", id="horizon"),
    pytest.param({"instances": [[1, 2]]}, {"predictions": ["x"]}, "output", id="a word"),
    pytest.param({"instances": [[1, 2]]}, {"error": "no"}, "output", id="no predictions"),
    pytest.param({"instances": [[1, 2]]}, V1[1], "output", id="more answers than questions"),
]  # fmt: skip


@ON_SQLITE
@pytest.mark.parametrize(("request_", "response", "field"), BAD_PAIRS)
@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["request first", "response first"])
def test_what_does_not_fit_goes_to_quarantine_with_the_reason(
    logger: Logger,
    stored: Stored,
    sessions: sessionmaker[Session],
    request_: object,
    response: object,
    field: str,
    order: list[int],
) -> None:
    pending_events = [(REQUEST, request_), (RESPONSE, response)]
    answers = [logger.binary(*pending_events[part]) for part in order]
    assert [answer.status_code for answer in answers] == [200, 200]
    said = answers[1].json()
    assert (said["outcome"], said["accepted"], said["quarantined"]) == ("paired", 0, 1)
    assert said["errors"][0]["field"] == field
    with read_only(sessions) as session:
        row = session.scalars(select(Quarantine)).one()
        assert (row.field, row.reason) == (field, said["errors"][0]["reason"])
        assert row.content["prediction_id"] == "e-1"
    assert stored() == []


@ON_SQLITE
def test_of_one_event_the_good_rows_are_kept(logger: Logger, stored: Stored) -> None:
    logger.binary(REQUEST, {"instances": [[1, 2], [1], [3, 4], [None, float("nan")], [5, 6]]})
    said = logger.binary(RESPONSE, {"predictions": [[1, 2], [1, 2], ["x", 2], [1, 2], [3, 4]]})
    named = [(row["row"], row["field"]) for row in said.json()["errors"]]
    assert named == [(1, "features"), (2, "output"), (3, "features.temp")]
    assert [row["prediction_id"] for row in stored()] == ["e-1:0", "e-1:4"]


@ON_SQLITE
def test_a_half_waits_no_longer_when_the_clock_is_set_back(
    logger: Logger, sessions: sessionmaker[Session], model: str
) -> None:
    logger.binary(REQUEST, V1[0], id="asked")
    now = utcnow() - timedelta(hours=1)
    assert sweep(sessions, lambda: now, WAIT) == 0
    assert sweep(sessions, lambda: now + WAIT, WAIT) == 1


def test_a_half_that_stays_alone_becomes_what_it_says(
    logger: Logger, stored: Stored, sessions: sessionmaker[Session], model: str
) -> None:
    logger.binary(REQUEST, V1[0], id="asked")
    logger.binary(RESPONSE, V1[1], id="answered")
    now = utcnow()
    assert sweep(sessions, lambda: now, WAIT) == 0
    assert len(waiting(sessions)) == 2
    assert sweep(sessions, lambda: now + WAIT, WAIT) == 2
    assert sweep(sessions, lambda: now + WAIT, WAIT) == 0
    assert waiting(sessions) == []
    rows = stored()
    assert [row["prediction_id"] for row in rows] == ["asked:0", "asked:1"]
    assert {(row["status"], row["output"] is None) for row in rows} == {("error", True)}
    with read_only(sessions) as session:
        bad = {(row.field, row.reason) for row in session.scalars(select(Quarantine))}
        model_id = session.scalars(select(Model.id)).one()
        counted = row_counters.of_model(session, model_id)
    assert bad == {("features", "no request came for this response")}
    assert (counted[UNANSWERED], counted[UNASKED]) == (1, 1)
    # Whoever comes now comes too late.
    assert logger.binary(RESPONSE, V1[1], id="asked").json()["outcome"] == "duplicate"
    assert logger.binary(REQUEST, V1[0], id="answered").json()["outcome"] == "duplicate"
    assert len(stored()) == 2
    assert waiting(sessions) == []


FOREIGN = [
    pytest.param({"type": "org.example.other"}, 422, "event type", id="another type"),
    pytest.param({"type": None}, 422, "event type", id="no type"),
    pytest.param({"id": None}, 422, "id:", id="no id"),
    pytest.param({"id": "x" * 151}, 422, "id:", id="endless id"),
    pytest.param({"time": "yesterday"}, 422, "time:", id="no time"),
    pytest.param({"time": "2026-01-01T00:00:00"}, 422, "zone", id="a time without zone"),
    pytest.param({"specversion": "0.3"}, 422, "specversion", id="an old CloudEvent"),
    pytest.param({"inferenceservicename": "nobody"}, 404, "nobody", id="an unknown model"),
    pytest.param({"inferenceservicename": None}, 422, "model", id="no model"),
]


@ON_SQLITE
@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize(("changes", "status", "detail"), FOREIGN)
def test_a_foreign_event_is_refused_with_a_clear_error(
    logger: Logger,
    sessions: sessionmaker[Session],
    mode: str,
    changes: dict[str, Any],
    status: int,
    detail: str,
) -> None:
    answer = getattr(logger, mode)(REQUEST, V1[0], **changes)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert waiting(sessions) == []


@ON_SQLITE
@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param({"Content-Type": "application/json"}, b"{}", 415, id="no event at all"),
        pytest.param(
            {"Content-Type": "application/cloudevents-batch+json"}, b"[]", 415, id="a batch"
        ),
        pytest.param({"Content-Type": "application/cloudevents+json"}, b"{", 400, id="broken"),
        pytest.param({"Content-Type": "application/cloudevents+json"}, b"[]", 400, id="a list"),
        pytest.param(
            {"Content-Type": "application/cloudevents+json"},
            json.dumps({"specversion": "1.0", "type": REQUEST, "id": 5}).encode(),
            422,
            id="a number for an id",
        ),
        pytest.param(
            {"Content-Type": "application/cloudevents+json"},
            json.dumps({"specversion": "1.0", "data_base64": "?"}).encode(),
            400,
            id="no base64",
        ),
        pytest.param({"Authorization": ""}, b"", 401, id="no key"),
        pytest.param({"Authorization": "Basic eDp5"}, b"", 401, id="another password"),
        pytest.param({"Authorization": "Basic %"}, b"", 401, id="no base64 for a password"),
    ],
)
def test_what_is_no_event_is_refused(
    client: TestClient, headers: dict[str, str], body: bytes, status: int
) -> None:
    sent = {"Content-Type": "application/cloudevents+json", **headers}
    assert client.post("/v1/kserve", content=body, headers=sent).status_code == status


@ON_SQLITE
def test_a_payload_may_be_base64_and_the_body_packed(
    client: TestClient, stored: Stored
) -> None:
    import gzip

    for kind, payload, at in ((REQUEST, V1[0], ASKED_AT), (RESPONSE, V1[1], ANSWERED_AT)):
        document = {
            "specversion": "1.0",
            "id": "e-1",
            "type": kind,
            "time": at,
            "modelversion": "v1",
            "data_base64": base64.b64encode(json.dumps(payload).encode()).decode(),
        }
        answer = client.post(
            "/v1/kserve?model=grid",
            content=gzip.compress(json.dumps(document).encode()),
            headers={
                "Content-Type": "application/cloudevents+json",
                "Content-Encoding": "gzip",
            },
        )
        assert answer.status_code == 200
    assert len(stored()) == 2


@ON_SQLITE
def test_the_key_may_be_the_password_of_the_address(
    client: TestClient, token: str, stored: Stored
) -> None:
    password = base64.b64encode(f"seqwatch:{token}".encode()).decode()
    client.headers["Authorization"] = f"Basic {password}"
    logger = Logger(client)
    logger.binary(REQUEST, V1[0])
    assert logger.binary(RESPONSE, V1[1]).json()["outcome"] == "paired"


@ON_SQLITE
def test_a_key_that_may_not_send_sends_nothing(
    client: TestClient, sessions: sessionmaker[Session]
) -> None:
    from services.access.api_keys import create_key

    with unit_of_work(sessions) as session:
        reader = create_key(session, "reader", ["read"], None, utcnow())
    client.headers["Authorization"] = f"Bearer {reader}"
    assert Logger(client).binary(REQUEST, V1[0]).status_code == 403
    assert waiting(sessions) == []
