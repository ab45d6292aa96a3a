"""Requests and responses of both protocols become rows of the contract."""

import json
import struct
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only
from db.tables import Quarantine
from tests.databases import ON_SQLITE
from tests.kserve.conftest import ASKED_AT, REQUEST, RESPONSE, V1, V2, Logger, Stored

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
    answer = logger.binary(RESPONSE, {"predictions": [[1, 2]]}).json()
    assert (answer["accepted"], answer["errors"]) == (1, [])
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
    answer = logger.binary(RESPONSE, payload).json()
    assert (answer["accepted"], answer["errors"]) == (1, [])
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
def test_a_request_holds_its_session_and_entity(logger: Logger, stored: Stored) -> None:
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

    request, response = {"instances": [[1, 2]]}, {"predictions": [[1, 2]]}
    send("/v1/kserve?model=grid&version=a", REQUEST, request, "1", modelversion="b")
    send("/v1/kserve?model=grid&version=a", RESPONSE, response, "1")
    send("/v1/kserve?model=grid", REQUEST, request, "2", modelversion="b")
    send("/v1/kserve?model=grid", RESPONSE, response, "2")
    output = {"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    answer = {"model_version": "c", "outputs": [output]}
    send("/v1/kserve", REQUEST, request, "3", inferenceservicename="grid")
    send("/v1/kserve", RESPONSE, answer, "3", inferenceservicename="grid")
    assert [row["version"] for row in stored()] == ["a", "b", "c"]
    send("/v1/kserve?model=grid", REQUEST, request, "4")
    nobody = send("/v1/kserve?model=grid", RESPONSE, response, "4").json()
    assert [(row["field"], nobody["accepted"]) for row in nobody["errors"]] == [("version", 0)]
    assert send("/v1/kserve", REQUEST, request, "5").status_code == 422


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
    answer = answers[1].json()
    assert (answer["outcome"], answer["accepted"], answer["quarantined"]) == ("paired", 0, 1)
    assert answer["errors"][0]["field"] == field
    with read_only(sessions) as session:
        row = session.scalars(select(Quarantine)).one()
        assert (row.field, row.reason) == (field, answer["errors"][0]["reason"])
        assert row.content["prediction_id"] == "e-1"
    assert stored() == []


@ON_SQLITE
def test_of_one_event_the_good_rows_are_kept(logger: Logger, stored: Stored) -> None:
    logger.binary(REQUEST, {"instances": [[1, 2], [1], [3, 4], [None, float("nan")], [5, 6]]})
    response = logger.binary(
        RESPONSE, {"predictions": [[1, 2], [1, 2], ["x", 2], [1, 2], [3, 4]]}
    )
    named = [(row["row"], row["field"]) for row in response.json()["errors"]]
    assert named == [(1, "features"), (2, "output"), (3, "features.temp")]
    assert [row["prediction_id"] for row in stored()] == ["e-1:0", "e-1:4"]
