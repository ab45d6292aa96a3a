"""One batch, in every shape, encoding and compression."""

import gzip
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only
from db.tables import Quarantine
from tests.databases import ON_SQLITE
from tests.ingest.conftest import LABELS, PREDICTIONS, Rows, Stored, answered, prediction
from tests.ingest.formats import ENCODINGS, MSGPACK, SHAPES, as_columns
from tests.problems import error_of

PACKINGS = [
    pytest.param({}, bytes, id="plain"),
    pytest.param({"Content-Encoding": "identity"}, bytes, id="identity"),
    pytest.param({"Content-Encoding": "gzip"}, gzip.compress, id="gzip"),
    pytest.param({"Content-Encoding": "x-gzip"}, gzip.compress, id="x-gzip"),
    pytest.param(
        {"Content-Encoding": "zstd"},
        lambda body: pa.compress(body, "zstd", asbytes=True),
        id="zstd",
    ),
]


@ON_SQLITE
@pytest.mark.parametrize(("headers", "packed"), PACKINGS)
@pytest.mark.parametrize(("content_type", "encode"), ENCODINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_form_of_a_batch_stores_the_same_rows(
    client: TestClient,
    stored: Stored,
    shape: Callable[[Rows], Any],
    content_type: str,
    encode: Callable[[object], bytes],
    headers: dict[str, str],
    packed: Callable[[bytes], bytes],
) -> None:
    rows = [
        prediction(entity="meter", step_index=3, cost=None),
        prediction(prediction_id="p-2", features={"load": None, "wind é.1": [1.0, None]}),
        prediction(prediction_id="p-3", status="timeout", output=None, shadow=True),
    ]
    if shape is as_columns:  # which hold of all rows what they hold of one
        rows = [{"status": "ok", "shadow": False, "entity": None, **row} for row in rows]
    body = encode({"batch_id": "b", **shape(rows)})
    sent = {"Content-Type": content_type, **headers}
    answer = client.post(PREDICTIONS, content=packed(body), headers=sent)
    assert answer.json() == answered(3)
    in_log = stored()
    assert [row["prediction_id"] for row in in_log] == ["p-1", "p-2", "p-3"]
    assert [row["entity"] for row in in_log] == ["meter", None, None]
    assert [row["step_index"] for row in in_log] == [3, None, None]
    assert [row["status"] for row in in_log] == ["ok", "ok", "timeout"]
    assert [row["shadow"] for row in in_log] == [False, False, True]
    assert [row["features"]["load"] for row in in_log] == [[1.5], [None], [1.5]]
    assert in_log[1]["features"]["wind é.1"] == [1.0, None]
    assert in_log[0]["output"] == {"load": [1.0, 2.0], "price": [3.0, 4.5]}
    assert in_log[2]["output"] is None


@ON_SQLITE
@pytest.mark.parametrize(("content_type", "encode"), ENCODINGS[:2])
def test_labels_come_in_columns_too_and_may_be_partial(
    client: TestClient, stored: Stored, content_type: str, encode: Callable[[object], bytes]
) -> None:
    body = encode({"columns": {"prediction_id": ["a", "b"], "actual": {"load": [[1], [2, 3]]}}})
    answer = client.post(LABELS, content=body, headers={"Content-Type": content_type})
    assert answer.json() == answered(2)
    assert [row["actual"] for row in stored()] == [
        {"load": [1.0], "price": None},
        {"load": [2.0, 3.0], "price": None},
    ]


def whole(**changes: Any) -> dict[str, Any]:
    return {**as_columns([prediction(), prediction(prediction_id="p-2")])["columns"], **changes}


@ON_SQLITE
@pytest.mark.parametrize(("content_type", "encode"), ENCODINGS[:2])
@pytest.mark.parametrize(
    ("columns", "detail"),
    [
        pytest.param(whole(version=["v1"]), "column 'version' has 1 rows", id="too short"),
        pytest.param(whole(entity=["m"] * 3), "column 'entity' has 3 rows", id="too long"),
        pytest.param(
            whole(features={"load": [1, 2], "wind é.1": [1]}), "column 'features.wind é.1'",
            id="a nested one too short",
        ),
        pytest.param(whole(version="v1"), "column 'version' must be a list", id="no list"),
        pytest.param(whole(version={"a": ["v1"]}), "column 'version' must be", id="nested"),
        pytest.param(whole(features={"load": 1}), "'features.load' must be", id="bare number"),
        pytest.param([1], "columns must be an object", id="no object"),
        pytest.param({}, "at least one row", id="no columns"),
        pytest.param({"version": []}, "at least one row", id="empty columns"),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_together_are_refused_by_name(
    client: TestClient,
    stored: Stored,
    content_type: str,
    encode: Callable[[object], bytes],
    columns: object,
    detail: str,
) -> None:
    headers = {"Content-Type": content_type}
    answer = client.post(PREDICTIONS, content=encode({"columns": columns}), headers=headers)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]
    assert stored() == []


@ON_SQLITE
@pytest.mark.parametrize(("content_type", "encode"), ENCODINGS[:2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        pytest.param({"version": 7}, "version", "Expected `str`, got `int`", id="a number"),
        pytest.param({"at": "today"}, "at", "not an RFC 3339 timestamp", id="no time"),
        pytest.param(
            {"features": {"load": math.nan, "wind é.1": 1}}, "features.load",
            "NaN or infinite", id="NaN",
        ),
        pytest.param(
            {"features": {"load": "1", "wind é.1": 1}}, "features.load", "Expected", id="text"
        ),
        pytest.param({"surprise": 1}, "surprise", "unknown field", id="unknown field"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_in_every_shape(
    client: TestClient,
    sessions: sessionmaker[Session],
    shape: Callable[[Rows], Any],
    content_type: str,
    encode: Callable[[object], bytes],
    changes: dict[str, Any],
    field: str,
    reason: str,
) -> None:
    rows = [prediction(), prediction(prediction_id="bad", **changes)]
    headers = {"Content-Type": content_type}
    answer = client.post(PREDICTIONS, content=encode(shape(rows)), headers=headers)
    assert answer.status_code == 422
    # In columns, an unknown one is unknown in each of its rows.
    named = {row["row"]: row for row in answer.json()["errors"]}
    assert named[1]["field"] == field
    assert reason in named[1]["reason"]
    with read_only(sessions) as session:
        contents = session.scalars(select(Quarantine.content).order_by(Quarantine.row)).all()
    assert contents[-1]["prediction_id"] == "bad"


@ON_SQLITE
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="four billion elements declared"),
        pytest.param(b"\x91" * 50_000, id="nested beyond reason"),
        pytest.param(b"\x81\xa2\xff\xfe\x01", id="text that is not UTF-8"),
        pytest.param(b"\x81\x80\x01", id="a key that is a map"),
        pytest.param(b"\x01\x02", id="two values"),
    ],
)
def test_what_is_no_msgpack_is_malformed(
    client: TestClient, stored: Stored, body: bytes
) -> None:
    answer = client.post(PREDICTIONS, content=body, headers={"Content-Type": MSGPACK})
    assert (answer.status_code, error_of(answer)) == (400, "Malformed")
    assert stored() == []


@ON_SQLITE
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(msgspec.msgpack.Ext(5, b"x"), id="a type of one's own"),
        pytest.param(b"p-1", id="bytes"),
        pytest.param({1: 2}, id="a map with numbers for keys"),
    ],
)
def test_msgpack_values_that_json_has_not_are_a_fault_of_their_row(
    client: TestClient, stored: Stored, value: object
) -> None:
    rows = [prediction(prediction_id=value), prediction()]
    body = msgspec.msgpack.encode({"rows": rows})
    answer = client.post(PREDICTIONS, content=body, headers={"Content-Type": MSGPACK})
    assert answer.status_code == 422
    assert [(row["row"], row["field"]) for row in answer.json()["errors"]] == [
        (0, "prediction_id")
    ]
    assert len(stored()) == 1
