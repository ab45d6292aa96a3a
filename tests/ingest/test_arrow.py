from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from tests.ingest.conftest import LABELS, PREDICTIONS, Stored, answered, arrow_body, prediction
from tests.problems import error_of

ARROW = {"Content-Type": "application/vnd.apache.arrow.stream"}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

AT = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2)


def table() -> pa.Table:
    return pa.table(
        {
            "prediction_id": ["p-1", "p-2"],
            "version": ["v1", "v1"],
            "at": AT,
            "features.load": [1.5, None],
            "features.wind é.1": [[1.0], [1.0, None, 3.0]],
        }
    )


def with_column(name: str, values: object) -> Callable[[], pa.Table]:
    def change() -> pa.Table:
        columns = dict(zip(table().column_names, table().columns, strict=True))
        return pa.table({**columns, name: values})

    return change


def nested() -> pa.Table:
    lists = pa.large_list(pa.float32())
    features = pa.StructArray.from_arrays(
        [pa.array([[1.0, None, 3.0], [1.0]], lists), pa.array([1, 2], pa.int16())],
        ["wind é.1", "load"],
    )
    return pa.table(
        {
            "features": features,
            "at": pa.array(["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"]),
            "version": pa.array(["v1", "v1"]).dictionary_encode(),
            "prediction_id": pa.array(["p-1", "p-2"], pa.large_string()),
        }
    )


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(table, id="flat columns"),
        pytest.param(nested, id="nested, shuffled, narrow, large, dictionary, times as text"),
        pytest.param(
            with_column("at", AT.cast(pa.timestamp("ns", "Asia/Tokyo"))), id="nanoseconds"
        ),
        pytest.param(
            with_column("features.load", pa.array([[1.0], [2.0]], pa.list_(pa.float64(), 1))),
            id="lists of fixed size",
        ),
        pytest.param(with_column("status", pa.nulls(2, pa.string())), id="null for default"),
        pytest.param(with_column("step_index", pa.array([1, 2], pa.int8())), id="small int"),
    ],
)
def test_arrow_is_taken_in_every_width_and_order(
    client: TestClient, stored: Stored, sent: Callable[[], pa.Table]
) -> None:
    answer = client.post(PREDICTIONS, content=arrow_body(sent()), headers=ARROW)
    assert answer.json() == answered(2)
    first, second = stored()
    assert first["prediction_id"] == "p-1"
    assert first["at"] == second["at"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert first["status"] == "ok"
    assert {len(first["features"]["load"]), len(second["features"]["load"])} == {1}


def test_arrow_and_json_leave_the_same_row(client: TestClient, stored: Stored) -> None:
    row = prediction(at=datetime(2026, 1, 1, tzinfo=UTC), entity="m", latency_seconds=0.25)
    client.post(PREDICTIONS, content=arrow_body(pa.Table.from_pylist([row])), headers=ARROW)
    client.post(PREDICTIONS, json=row | {"at": "2026-01-01T00:00:00Z"})
    first, second = stored()
    del first["received_at"], second["received_at"]
    assert first == second


@pytest.mark.parametrize(
    ("sent", "field", "reason"),
    [
        pytest.param(
            with_column("features.load", [1.5, float("nan")]), "features.load",
            "NaN or infinite", id="NaN",
        ),
        pytest.param(
            with_column("prediction_id", ["p-1", None]), "prediction_id", "missing", id="null"
        ),
        pytest.param(
            with_column("features.wind é.1", [[1.0], [1.0] * 4]), "features.wind é.1",
            "expected a list of 1 to 3 numbers", id="too long",
        ),
        pytest.param(
            with_column("at", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00"]), "at",
            "timestamp without zone", id="text without zone",
        ),
    ],
)  # fmt: skip
def test_a_bad_row_of_a_table_is_named_and_the_other_is_kept(
    client: TestClient,
    stored: Stored,
    sent: Callable[[], pa.Table],
    field: str,
    reason: str,
) -> None:
    answer = client.post(PREDICTIONS, content=arrow_body(sent()), headers=ARROW)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"row": 1, "field": field, "reason": reason}]
    assert len(stored()) == 1


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        pytest.param(
            with_column("at", AT.cast(pa.timestamp("us"))), "at: timestamp without zone",
            id="timestamp without zone",
        ),
        pytest.param(with_column("at", [1, 2]), "at: expected timestamp[us, tz=UTC], got int64",
                     id="a number for a moment"),
        pytest.param(with_column("colour", [1, 2]), "unknown column 'colour'", id="unknown"),
        pytest.param(
            with_column("features.x", [1.0, 2.0]), "unknown column 'features.x'",
            id="unknown feature",
        ),
        pytest.param(
            lambda: table().drop_columns("features.load"), "missing column 'features.load'",
            id="missing feature",
        ),
        pytest.param(with_column("features.load", ["1", "2"]),
                     "features.load: expected list<item: double>, got string",
                     id="text for a number"),
        pytest.param(with_column("version", [1, 2]), "version: expected string, got int64",
                     id="a number for text"),
        pytest.param(with_column("step_index", [1.5, 2.0]),
                     "step_index: expected int64, got double", id="a fraction for an integer"),
        pytest.param(
            with_column("output.load", [[1.0, 2.0]] * 2), "missing column 'output.price'",
            id="half an output",
        ),
        pytest.param(lambda: table().slice(0, 0), "a batch needs at least one row", id="empty"),
    ],
)  # fmt: skip
def test_a_table_of_another_shape_is_refused_whole(
    client: TestClient, stored: Stored, sent: Callable[[], pa.Table], detail: str
) -> None:
    answer = client.post(PREDICTIONS, content=arrow_body(sent()), headers=ARROW)
    assert answer.status_code == 422
    assert (error_of(answer), answer.json()["detail"]) == ("Unprocessable", detail)
    assert stored() == []


def broken_offsets() -> bytes:
    """Return a stream whose text column points far outside its buffer."""
    body = bytearray(arrow_body(pa.table({"prediction_id": ["p-1", "p-2"]})))
    at = body.rindex((3).to_bytes(4, "little") + (6).to_bytes(4, "little"))
    body[at : at + 8] = (2**30).to_bytes(4, "little") * 2
    return bytes(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            arrow_body(table()).replace(b"prediction_id", b"prediction\xffid"),
            id="the name of a column is no text",
        ),
        pytest.param(
            arrow_body(nested()).replace("wind é.1".encode(), b"wind \xff\xff.1"),
            id="the name of a nested column is no text",
        ),
        pytest.param(b"", id="nothing"),
        pytest.param(b"ARROW1\0\0" * 10, id="noise"),
        pytest.param(arrow_body(table())[:-300], id="cut short"),
        pytest.param(broken_offsets(), id="offsets that point elsewhere"),
    ],
)
def test_broken_arrow_is_refused(client: TestClient, stored: Stored, body: bytes) -> None:
    answer = client.post(PREDICTIONS, content=body, headers=ARROW)
    assert answer.status_code == 400
    assert error_of(answer) == "Malformed"
    assert stored() == []


def test_a_table_may_not_have_more_rows_than_a_batch(client: TestClient) -> None:
    many = pa.concat_tables([table()] * 51)
    answer = client.post(PREDICTIONS, content=arrow_body(many), headers=ARROW)
    assert answer.status_code == 413


def test_labels_come_as_tables_too(client: TestClient, stored: Stored) -> None:
    labels = pa.table({"entity": ["m"], "target_at": AT[:1], "actual.load": [[1.0, 2.0]]})
    answer = client.post(LABELS, content=arrow_body(labels), headers=ARROW)
    assert answer.json()["accepted"] == 1
    assert stored()[0]["actual"] == {"load": [1.0, 2.0], "price": None}
