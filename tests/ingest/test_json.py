import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from db.session import read_only
from db.tables import Inbox, Model, Quarantine, Receipt
from tests.ingest.conftest import (
    LABELS,
    PREDICTIONS,
    Stored,
    answered,
    as_json,
    label,
    prediction,
)
from tests.problems import error_of

JSON = {"Content-Type": "application/json"}


def test_an_accepted_batch_is_in_the_inbox_when_the_answer_arrives(
    client: TestClient, sessions: sessionmaker[Session], stored: Stored
) -> None:
    rows = [prediction(prediction_id=f"p-{i}") for i in range(3)]
    answer = client.post(PREDICTIONS, json={"batch_id": "b-1", "rows": rows})
    assert answer.status_code == 200
    assert answer.json() == answered(3)
    kept = stored()
    assert [row["prediction_id"] for row in kept] == ["p-0", "p-1", "p-2"]
    assert kept[0]["features"] == {"load": [1.5], "wind é.1": [1.0, None, 3.0]}
    assert kept[0]["output"] == {"load": [1.0, 2.0], "price": [3.0, 4.5]}
    assert kept[0]["at"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert kept[0]["status"] == "ok"
    assert kept[0]["shadow"] is False
    with read_only(sessions) as session:
        receipt = session.scalars(select(Receipt)).one()
        assert (receipt.batch_id, receipt.n_accepted) == ("b-1", 3)
        assert session.scalars(select(Inbox.group_no)).one() is None
        assert session.scalars(select(Model.last_received_at)).one() == receipt.received_at


def test_only_a_prediction_of_the_last_days_is_an_arrival(
    client: TestClient, sessions: sessionmaker[Session]
) -> None:
    def last() -> datetime | None:
        with read_only(sessions) as session:
            return session.scalars(select(Model.last_arrival_at)).one()

    now = utcnow().isoformat()
    assert client.post(LABELS, json=label()).status_code == 200
    old = prediction(prediction_id="old")
    assert client.post(PREDICTIONS, json={"rows": [old]}).status_code == 200
    assert last() is None
    assert client.post(PREDICTIONS, json={"rows": [prediction(at=now)]}).status_code == 200
    assert last() is not None


def test_one_bare_row_is_a_batch(client: TestClient, stored: Stored) -> None:
    row = prediction(
        entity="meter", session_id="s", step_index=4, status="timeout", shadow=True,
        latency_seconds=0.5, session_start=True, session_end=False, cold_start=True,
        queue_length=2, batch_size=1, trace_id="t", cost=0.01, worker="w", output=None,
    )  # fmt: skip
    assert client.post(PREDICTIONS, json=row).json()["accepted"] == 1
    (kept,) = stored()
    assert {name: kept[name] for name in row.keys() - {"at", "features"}} == {
        name: row[name] for name in row.keys() - {"at", "features"}
    }


def test_the_reference_needs_no_version_and_bears_no_output(
    client: TestClient, stored: Stored
) -> None:
    row = prediction()
    del row["version"], row["output"]
    assert client.post("/v1/models/grid/reference", json=row).status_code == 200
    assert stored()[0]["version"] == "reference"
    answer = client.post("/v1/models/grid/reference", json=prediction())
    assert answer.json()["errors"] == [{"row": 0, "field": "output", "reason": "unknown field"}]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(label(), id="by prediction"),
        pytest.param(
            {"entity": "m", "target_at": "2026-01-01T00:00:00+02:00", "actual": {"load": 1}},
            id="by entity and target time, one target, one number",
        ),
        pytest.param(label(arrived_at="2026-01-02T00:00:00Z"), id="with its time of arrival"),
    ],
)
def test_labels_are_taken_in_every_form(
    client: TestClient, stored: Stored, row: dict[str, Any]
) -> None:
    assert client.post(LABELS, json=row).status_code == 200
    (kept,) = stored()
    expected = datetime(2026, 1, 2, tzinfo=UTC) if "arrived_at" in row else kept["received_at"]
    assert kept["arrived_at"] == expected


FUTURE = (utcnow() + timedelta(days=3)).isoformat()

BAD_PREDICTIONS = [
    pytest.param({"features": {"load": 1}}, "features.wind é.1", "missing", id="one missing"),
    pytest.param(
        {"features": {"load": 1, "wind é.1": 1, "x": 1}}, "features.x", "unknown field",
        id="unknown feature",
    ),
    pytest.param(
        {"features": {"load": 1, "wind é.1": [1, 2, 3, 4]}}, "features.wind é.1",
        "expected a list of 1 to 3 numbers", id="too long",
    ),
    pytest.param(
        {"features": {"load": [], "wind é.1": 1}}, "features.load",
        "expected a list of 1 to 4096 numbers", id="empty list",
    ),
    pytest.param(
        {"features": {"load": math.nan, "wind é.1": 1}}, "features.load", "NaN or infinite",
        id="NaN",
    ),
    pytest.param(
        {"features": {"load": 1, "wind é.1": [1, -math.inf]}}, "features.wind é.1",
        "NaN or infinite", id="infinity in a list",
    ),
    pytest.param(
        {"features": {"load": 10**400, "wind é.1": 1}}, "features.load", "Number out of range",
        id="a number beyond floats",
    ),
    pytest.param(
        {"features": {"load": "1", "wind é.1": 1}}, "features.load",
        "Expected `float | array | null`, got `str`", id="text for a number",
    ),
    pytest.param(
        {"output": {"load": [1], "price": [1, 2]}}, "output.load",
        "expected a list of 2 numbers", id="shorter than the horizon",
    ),
    pytest.param(
        {"output": {"load": [1, None], "price": [1, 2]}}, "output.load",
        "missing, NaN or infinite", id="a hole in the forecast",
    ),
    pytest.param({"output": {"load": [1, 2]}}, "output.price", "missing", id="missing target"),
    pytest.param({"at": "2026-01-01T00:00:00"}, "at", "timestamp without zone", id="no zone"),
    pytest.param({"at": "soon"}, "at", "not an RFC 3339 timestamp", id="no timestamp"),
    pytest.param({"at": FUTURE}, "at", "in the future", id="a clock that runs ahead"),
    pytest.param({"at": "0001-01-01T00:00:00Z"}, "at", "before 1970-01-02", id="unset clock"),
    pytest.param({"prediction_id": ""}, "prediction_id", "empty", id="empty id"),
    pytest.param({"prediction_id": 7}, "prediction_id", "Expected `str`, got `int`", id="int"),
    pytest.param(
        {"version": "v" * 600}, "version", "longer than 512 bytes", id="an endless name"
    ),
    pytest.param({"version": "v\0"}, "version", "holds a NUL character", id="NUL"),
    pytest.param({"entity": "\ud800"}, "", "text is not Unicode", id="half a character"),
    pytest.param(
        {"status": "fine"}, "status", "expected one of ok, error, timeout, degraded",
        id="unknown status",
    ),
    pytest.param({"latency_seconds": -1}, "latency_seconds", "negative", id="negative latency"),
    pytest.param({"cost": math.nan}, "cost", "NaN or infinite", id="NaN cost"),
    pytest.param(
        {"step_index": 2**70}, "step_index", f"Expected `int` <= {2**63 - 1}", id="huge integer"
    ),
    pytest.param({"colour": "red"}, "colour", "unknown field", id="unknown field"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "field", "reason"), BAD_PREDICTIONS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_bad_row_is_named_and_the_others_are_kept(
    client: TestClient, stored: Stored, changes: dict[str, Any], field: str, reason: str
) -> None:
    rows = [prediction(), prediction(prediction_id="bad") | changes]
    rows.append(prediction(prediction_id="p-2"))
    answer = client.post(PREDICTIONS, content=as_json({"rows": rows}), headers=JSON)
    assert answer.status_code == 422
    body = answer.json()
    assert error_of(answer) == "BadRows"
    assert body["accepted"] == 2
    assert body["errors"] == [{"row": 1, "field": field, "reason": reason}]
    assert [row["prediction_id"] for row in stored()] == ["p-1", "p-2"]


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        pytest.param(
            {"entity": "m", "actual": {"load": 1}}, "prediction_id",
            "name the prediction, or entity and target_at", id="about nothing",
        ),
        pytest.param(label(actual={}), "actual", "names no target", id="no target"),
        pytest.param(label(actual={"load": math.inf}), "actual.load", "NaN or infinite",
                     id="infinite"),
        pytest.param(label(actual={"x": 1}), "actual.x", "unknown field", id="unknown target"),
        pytest.param(label(arrived_at="now"), "arrived_at", "not an RFC 3339 timestamp",
                     id="no timestamp"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_bad_label_is_named(
    client: TestClient, row: dict[str, Any], field: str, reason: str
) -> None:
    answer = client.post(LABELS, content=as_json({"rows": [label(), row]}), headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"row": 1, "field": field, "reason": reason}]


def test_bad_rows_are_kept_in_quarantine_as_they_came(
    client: TestClient, sessions: sessionmaker[Session]
) -> None:
    bad = prediction(features={"load": math.nan, "wind é.1": 1}, trace_id="\0\ud800")
    content = as_json({"batch_id": "b", "rows": [3, prediction(), bad]})
    answer = client.post(PREDICTIONS, content=content, headers=JSON)
    assert [row["row"] for row in answer.json()["errors"]] == [0, 2]
    with read_only(sessions) as session:
        first, second = session.scalars(select(Quarantine).order_by(Quarantine.row)).all()
        assert first.content == {"row": 3}
        assert second.content == bad | {
            "features": {"load": None, "wind é.1": 1},
            "trace_id": "??",
        }
        assert (second.batch_id, second.field) == ("b", "")
    again = client.post(PREDICTIONS, content=content, headers=JSON)
    assert again.json() == answered(1, duplicate=True, quarantined=2)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        pytest.param(b'{"rows": [', 400, "Malformed", id="truncated JSON"),
        pytest.param(b"\xff\xfe", 400, "Malformed", id="not UTF-8"),
        pytest.param(b"[" * 50_000, 400, "Malformed", id="nested without end"),
        pytest.param(b"", 400, "Malformed", id="nothing"),
        pytest.param(b"[]", 422, "Unprocessable", id="no object"),
        pytest.param(b'{"rows": []}', 422, "Unprocessable", id="empty batch"),
        pytest.param(b'{"rows": 3}', 422, "Unprocessable", id="rows are no list"),
        pytest.param(b'{"rows": [], "row": 1}', 422, "Unprocessable", id="unknown field"),
        pytest.param(b'{"batch_id": 1, "rows": []}', 422, "Unprocessable", id="id is no text"),
        pytest.param(
            as_json({"batch_id": "", "rows": [prediction()]}),
            422,
            "Unprocessable",
            id="empty id",
        ),
        pytest.param(
            as_json({"batch_id": "\0", "rows": [prediction()]}),
            422,
            "Unprocessable",
            id="NUL id",
        ),
        pytest.param(
            as_json({"rows": [prediction()] * 101}), 413, "TooLarge", id="too many rows"
        ),
        pytest.param(b" " * 65_537, 413, "TooLarge", id="too many bytes"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_body_that_means_nothing_is_refused_whole(
    client: TestClient, stored: Stored, body: bytes, status: int, error: str
) -> None:
    answer = client.post(PREDICTIONS, content=body, headers=JSON)
    assert answer.status_code == status
    assert error_of(answer) == error
    assert stored() == []
