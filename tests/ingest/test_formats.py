"""One batch, in every shape, encoding and compression."""

import gzip
import math
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.terms import Terms
from db.session import read_only
from db.tables import Quarantine
from services.ingest import Batch, Feed, Format
from services.ingest.formats.decode import decode
from services.ingest.formats.decompress import MAX_RATIO, Packing, unpack
from tests.databases import ON_SQLITE
from tests.ingest.conftest import CONTRACT, Rows, Stored, answered, as_json, label, prediction
from tests.problems import error_of

PREDICTIONS = "/v1/models/grid/predictions"
LABELS = "/v1/models/grid/labels"
JSON = "application/json"
MSGPACK = "application/msgpack"


def as_rows(rows: Rows) -> dict[str, Any]:
    return {"rows": rows}


def as_columns(rows: Rows) -> dict[str, Any]:
    """Turn rows on their side; a field that one row has and another has not is null there."""
    columns: dict[str, Any] = {}
    for name in {name: None for row in rows for name in row}:
        values = [row.get(name) for row in rows]
        nested = next((value for value in values if isinstance(value, dict)), None)
        columns[name] = (
            values
            if nested is None
            else {child: [(value or {}).get(child) for value in values] for child in nested}
        )
    return {"columns": columns}


Written = tuple[str, bytes]
SHAPES = [pytest.param(as_rows, id="rows"), pytest.param(as_columns, id="columns")]
ENCODINGS = [
    pytest.param(JSON, as_json, id="JSON"),
    pytest.param(MSGPACK, msgspec.msgpack.encode, id="msgpack"),
    pytest.param("application/vnd.msgpack", msgspec.msgpack.encode, id="vnd.msgpack"),
    pytest.param("application/x-msgpack; v=5", msgspec.msgpack.encode, id="x-msgpack"),
]
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
    if shape is as_columns:  # which say of all rows what they say of one
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
        pytest.param(b"\xdd\xff\xff\xff\xff", id="four billion elements, it says"),
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


@ON_SQLITE
def test_the_same_batch_is_a_duplicate_however_it_is_packed(
    client: TestClient, stored: Stored
) -> None:
    body = as_json(prediction())
    headers = {"Content-Type": JSON}
    assert client.post(PREDICTIONS, content=body, headers=headers).json() == answered(1)
    packed = {"gzip": gzip.compress(body), "zstd": pa.compress(body, "zstd", asbytes=True)}
    for name, content in packed.items():
        sent = {**headers, "Content-Encoding": name}
        again = client.post(PREDICTIONS, content=content, headers=sent)
        assert again.json() == answered(1, duplicate=True)
    assert len(stored()) == 1


LONG = b" " * 300_000  # of JSON: nothing


@ON_SQLITE
@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        pytest.param("gzip", gzip.compress(LONG), 413, id="a gzip bomb"),
        pytest.param("zstd", pa.compress(LONG, "zstd", asbytes=True), 413, id="a zstd bomb"),
        pytest.param("gzip", gzip.compress(as_json(prediction()))[:-9], 400, id="gzip cut off"),
        pytest.param(
            "zstd", pa.compress(as_json(prediction()), "zstd", asbytes=True)[:-1], 400,
            id="zstd cut off",
        ),
        pytest.param("gzip", b"", 400, id="empty gzip"),
        pytest.param("zstd", b"", 400, id="empty zstd"),
        pytest.param("gzip", gzip.compress(as_json(prediction())) + b"x", 400, id="a rest"),
        pytest.param("gzip", zlib.compress(as_json(prediction())), 400, id="zlib for gzip"),
    ],
)  # fmt: skip
def test_a_packed_body_that_is_too_large_or_broken_is_refused(
    client: TestClient, stored: Stored, encoding: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": encoding}
    assert client.post(PREDICTIONS, content=body, headers=headers).status_code == status
    assert stored() == []


@pytest.mark.parametrize("packing", Packing)
def test_a_body_of_nothing_but_repetition_is_refused_before_it_is_unpacked(
    packing: Packing,
) -> None:
    body = bytes(64 * 2**20)
    packed = (
        gzip.compress(body, 9)
        if packing is Packing.GZIP
        else pa.compress(body, "zstd", asbytes=True)
    )
    assert len(packed) * MAX_RATIO < len(body)
    before = pa.total_allocated_bytes()
    with pytest.raises(Exception, match="times its size"):
        unpack(packed, packing, len(body))
    assert pa.total_allocated_bytes() == before


def test_members_of_one_gzip_stream_are_one_body() -> None:
    assert unpack(gzip.compress(b"[1,") + gzip.compress(b"2]"), Packing.GZIP, 100) == b"[1,2]"


@ON_SQLITE
@pytest.mark.parametrize(("content_type", "encode"), ENCODINGS[:2])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_whose_id_stood_before_is_dropped_and_named(
    client: TestClient,
    stored: Stored,
    shape: Callable[[Rows], Any],
    content_type: str,
    encode: Callable[[object], bytes],
) -> None:
    rows = [
        prediction(prediction_id="a", at="no time"),
        prediction(prediction_id="a", entity="first good one"),
        prediction(prediction_id="b", entity=None),
        prediction(prediction_id="a", entity="repeats"),
        prediction(prediction_id="b", entity="repeats"),
    ]
    headers = {"Content-Type": content_type}
    answer = client.post(PREDICTIONS, content=encode(shape(rows)), headers=headers)
    said = answer.json()
    assert (answer.status_code, said["accepted"], said["quarantined"]) == (422, 2, 1)
    assert said["duplicates"] == [3, 4]
    assert [row["row"] for row in said["errors"]] == [0]
    assert [row["entity"] for row in stored()] == ["first good one", None]


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(["b", "b"], id="side by side"),
        pytest.param(["b", "a", "b"], id="apart"),
    ],
)
def test_a_repeated_id_is_found_beside_batches_without_a_good_row(ids: list[str]) -> None:
    rows = [prediction(prediction_id=name) for name in ids]
    broken = as_json({"rows": [prediction(unheard_of=1)]})
    bodies = [as_json({"rows": rows}), *[broken] * (len(ids) - 1)]
    model_id, terms = uuid4(), Terms(contract=CONTRACT)
    batches = {
        no: Batch(
            model_id=model_id,
            model="grid",
            terms=terms,
            feed=Feed.PREDICTIONS,
            format=Format.JSON,
            body=body,
        )
        for no, body in enumerate(bodies)
    }
    (section,), refused = decode(batches, datetime(2026, 1, 2, tzinfo=UTC), max_rows=10)
    assert section.drafts[0].duplicates == (len(ids) - 1,)
    assert not refused


@ON_SQLITE
def test_served_and_shadow_may_share_an_id_and_labels_may_repeat_one(
    client: TestClient, stored: Stored
) -> None:
    both = {"rows": [prediction(), prediction(shadow=True, version="v2")]}
    assert client.post(PREDICTIONS, json=both).json() == answered(2)
    assert client.post(LABELS, json={"rows": [label(), label()]}).json() == answered(2)


@ON_SQLITE
def test_an_answer_names_a_thousand_rows_and_counts_the_rest(
    client: TestClient, settings: object
) -> None:
    from api.server.responses import MAX_NAMED, outcome
    from core.errors import RowFault

    faults = [RowFault(row=row, field="at", reason="missing") for row in range(MAX_NAMED + 7)]
    said = outcome(n_accepted=0, faults=faults, duplicates=range(MAX_NAMED + 2))
    assert (len(said["errors"]), said["more_errors"]) == (MAX_NAMED, 7)
    assert (len(said["duplicates"]), said["more_duplicates"]) == (MAX_NAMED, 2)
    assert said["quarantined"] == MAX_NAMED + 7


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@ON_SQLITE
@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE, id="valid"),
        pytest.param(f"cc-{TRACE}-00f067aa0ba902b7-01-later", TRACE, id="a later version"),
        pytest.param(f"00-{'0' * 32}-00f067aa0ba902b7-01", None, id="all zero"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", None, id="no parent"),
        pytest.param(f"ff-{TRACE}-00f067aa0ba902b7-01", None, id="no version"),
        pytest.param(f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None, id="capitals"),
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7-01-x", None, id="too long"),
        pytest.param("what is this", None, id="something else"),
    ],
)
def test_rows_without_a_trace_id_take_that_of_their_request(
    client: TestClient, stored: Stored, traceparent: str, expected: str | None
) -> None:
    rows = [prediction(), prediction(prediction_id="p-2", trace_id="own")]
    headers = {"traceparent": traceparent}
    assert client.post(PREDICTIONS, json={"rows": rows}, headers=headers).json() == answered(2)
    assert [row["trace_id"] for row in stored()] == [expected, "own"]
