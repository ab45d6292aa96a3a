"""A number whose magnitude no measurement has is quarantined, wherever it stands."""

import json
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from tests.databases import ON_SQLITE
from tests.ingest.conftest import (
    LABELS,
    PREDICTIONS,
    Rows,
    Stored,
    arrow_body,
    as_json,
    label,
    prediction,
)
from tests.ingest.formats import as_columns, as_rows

FORMS = [
    pytest.param("application/json", lambda rows: as_json(as_rows(rows)), id="JSON rows"),
    pytest.param("application/json", lambda rows: as_json(as_columns(rows)), id="JSON columns"),
    pytest.param(
        "application/msgpack", lambda rows: msgspec.msgpack.encode(as_rows(rows)), id="msgpack"
    ),
    pytest.param(
        "application/vnd.apache.arrow.stream",
        lambda rows: arrow_body(pa.Table.from_pylist([_of_arrow(row) for row in rows])),
        id="Arrow",
    ),
]
BEYOND = [
    pytest.param(PREDICTIONS, {"features": {"load": 1e200, "wind é.1": [1.0]}},
                 "features.load", id="feature"),
    pytest.param(PREDICTIONS, {"features": {"load": 1.0, "wind é.1": [1.0, None, -1.1e100]}},
                 "features.wind é.1", id="step of a feature"),
    pytest.param(PREDICTIONS, {"output": {"load": [1.0, 1e150], "price": [3.0, 4.0]}},
                 "output.load", id="output"),
    pytest.param(PREDICTIONS, {"latency_seconds": 1e101}, "latency_seconds", id="latency"),
    pytest.param(PREDICTIONS, {"cost": -1e300}, "cost", id="cost"),
    pytest.param(LABELS, {"actual": {"load": [1.0, 2.0], "price": [None, 1e308]}},
                 "actual.price", id="label"),
]  # fmt: skip


def _of_arrow(row: dict[str, Any]) -> dict[str, Any]:
    """Give each list one type, as Arrow wants it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        if isinstance(value, list):
            return [None if each is None else float(each) for each in value]
        return value

    return {name: plain(value) for name, value in row.items()}


def sent(client: TestClient, path: str, content_type: str, body: bytes) -> Any:
    return client.post(path, content=body, headers={"Content-Type": content_type}).json()


@ON_SQLITE
@pytest.mark.parametrize(("path", "change", "field"), BEYOND)
@pytest.mark.parametrize(("content_type", "encode"), FORMS)
def test_a_number_beyond_the_largest_is_quarantined_as_out_of_range(
    client: TestClient, path: str, change: Any, field: str, content_type: str, encode: Any
) -> None:
    make = prediction if path == PREDICTIONS else label
    rows: Rows = [make(prediction_id="bad", **change), make(prediction_id="good")]

    outcome = sent(client, path, content_type, encode(rows))

    assert outcome["accepted"] == 1
    assert [(row["row"], row["field"], row["reason"]) for row in outcome["errors"]] == [
        (0, field, "out_of_range")
    ]


@ON_SQLITE
def test_the_largest_and_the_smallest_magnitudes_are_taken(
    client: TestClient, stored: Stored
) -> None:
    wild = [1e100, -1e100, 5e-324]
    row = prediction(features={"load": 1e100, "wind é.1": wild})

    outcome = sent(client, PREDICTIONS, "application/json", json.dumps(row).encode())

    assert outcome["accepted"] == 1
    assert stored()[0]["features"]["wind é.1"] == wild
