"""What a row may hold that a 64-bit float or a calendar cannot: refused by row, never a 500."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from core.durations import MINUTE
from core.schema.contract import Contract
from core.schema.feature import Feature
from db.session import unit_of_work
from db.tables import Model
from tests.ingest.conftest import LABELS, PREDICTIONS, Stored, arrow_body, label, prediction

JSON, MSGPACK = "application/json", "application/msgpack"
ARROW = "application/vnd.apache.arrow.stream"
SAFE = 2**53

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def post(
    client: TestClient, kind: str, rows: list[dict[str, Any]], path: str = PREDICTIONS
) -> Any:
    match kind:
        case "application/json":
            body = json.dumps({"rows": rows}).encode()
        case "application/msgpack":
            body = msgspec.msgpack.encode({"rows": rows})
        case _:
            body = arrow_body(pa.Table.from_pylist(rows))
    answer = client.post(path, content=body, headers={"Content-Type": kind})
    assert answer.status_code in (200, 422), answer.text
    return answer.json()


def rows_with(loads: list[Any]) -> list[dict[str, Any]]:
    return [
        prediction(
            prediction_id=f"p-{i}", features={"load": load, "wind é.1": [1.0]}, output=None
        )
        for i, load in enumerate(loads)
    ]


@pytest.mark.parametrize("kind", [JSON, MSGPACK, ARROW])
@pytest.mark.parametrize("is_list", [True, False], ids=["lists", "single values"])
def test_an_integer_beyond_2_to_the_53_is_refused_by_row(
    client: TestClient, stored: Stored, kind: str, is_list: bool
) -> None:
    loads = [SAFE, SAFE + 1, -SAFE - 1, 2**62, -3, 0]
    answer = post(client, kind, rows_with([[n] if is_list else n for n in loads]))
    assert answer["accepted"] == 3
    assert [row["row"] for row in answer["errors"]] == [1, 2, 3]
    assert {row["field"] for row in answer["errors"]} == {"features.load"}
    assert "2^53" in answer["errors"][0]["reason"]
    assert [row["features"]["load"] for row in stored()] == [[SAFE], [-3], [0]]


@pytest.mark.parametrize("kind", [JSON, MSGPACK, ARROW])
def test_a_float_of_any_size_is_no_integer(client: TestClient, kind: str) -> None:
    assert post(client, kind, rows_with([[1e17], [float(2**60)]]))["accepted"] == 2


def test_an_integer_in_columns_of_json_and_in_a_label_is_refused_by_row(
    client: TestClient,
) -> None:
    rows = rows_with([1, SAFE + 1, 2])
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["features"] = {
        name: [row["features"][name] for row in rows] for name in rows[0]["features"]
    }
    del columns["output"]
    answer = client.post(PREDICTIONS, json={"columns": columns}).json()
    assert (answer["accepted"], [row["row"] for row in answer["errors"]]) == (2, [1])
    labels = [label(), label(actual={"load": [1, SAFE + 1], "price": [1, 2]})]
    answer = client.post(LABELS, json={"rows": labels}).json()
    assert answer["errors"][0]["field"] == "actual.load"


@pytest.mark.parametrize("kind", [JSON, MSGPACK, ARROW])
def test_booleans_are_refused_by_row_where_no_range_of_0_to_1_is_declared(
    client: TestClient, kind: str
) -> None:
    sent = rows_with([[True], [False], [None]])
    answer = post(client, kind, sent)
    assert (answer["accepted"], [row["row"] for row in answer["errors"]]) == (1, [0, 1])


@pytest.mark.parametrize("kind", [JSON, MSGPACK, ARROW])
def test_booleans_are_0_and_1_where_a_range_of_0_to_1_is_declared(
    client: TestClient, sessions: sessionmaker[Session], stored: Stored, kind: str
) -> None:
    contract = Contract(
        features=(Feature(name="valve", minimum=0, maximum=1), Feature(name="x")),
        targets=("no", "yes"),
        label_map=("no", "yes"),
        task="classification",
        step=MINUTE,
        input_length=1,
        horizon=1,
    )
    with unit_of_work(sessions) as session:
        session.add(
            Model(
                name="flags",
                contract=contract,
                created_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
        )
    rows = [
        {
            "prediction_id": f"p{i}",
            "version": "v1",
            "at": "2026-01-01T00:00:00Z",
            "features": {"valve": valve, "x": [1.0]},
        }
        for i, valve in enumerate([[True], [False], [None]])
    ]
    assert post(client, kind, rows, "/v1/models/flags/predictions")["accepted"] == 3
    assert [row["features"]["valve"] for row in stored()] == [[1.0], [0.0], [None]]
    labels = [{"prediction_id": "p0", "actual": {"no": [False], "yes": [True]}}]
    assert post(client, kind, labels, "/v1/models/flags/labels")["accepted"] == 1
    assert stored()[-1]["actual"] == {"no": [0.0], "yes": [1.0]}


def test_lists_of_nothing_but_nulls_are_missing_numbers(
    client: TestClient, stored: Stored
) -> None:
    assert post(client, ARROW, rows_with([[None], [None]]))["accepted"] == 2
    assert [row["features"]["load"] for row in stored()] == [[None], [None]]


def test_decimals_become_numbers(client: TestClient, stored: Stored) -> None:
    sent = rows_with([[Decimal("1.25")], [Decimal("-3.00")]])
    assert post(client, ARROW, sent)["accepted"] == 2
    assert [row["features"]["load"] for row in stored()] == [[1.25], [-3.0]]


@pytest.mark.parametrize("kind", [JSON, MSGPACK, ARROW])
def test_rfc_3339_may_be_written_in_lower_case(
    client: TestClient, stored: Stored, kind: str
) -> None:
    rows = [prediction(at="2026-01-01t06:00:00.25z", output=None)]
    assert post(client, kind, rows)["accepted"] == 1
    assert stored()[0]["at"] == datetime(2026, 1, 1, 6, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Nowhere/City"])
@pytest.mark.parametrize("field", ["at", "target_at", "arrived_at"])
def test_a_moment_outside_every_calendar_is_refused_by_row(
    client: TestClient, unit: str, zone: str, field: str
) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = [1_767_225_600 * per_second, 2**62, -(2**62), -(2**63) + 1, None]
    moments = pa.array(counts, pa.int64()).cast(pa.timestamp(unit, tz=zone))
    ids = [f"p{i}" for i in range(len(counts))]
    if field == "at":
        path, rest = PREDICTIONS, {"version": ["v1"] * 5, "features.load": [1.0] * 5}
        rest["features.wind é.1"] = [1.0] * 5
    else:
        path, rest = LABELS, {"actual.load": [1.0] * 5}
    table = pa.table({"prediction_id": ids, field: moments, **rest})
    answer = client.post(path, content=arrow_body(table), headers={"Content-Type": ARROW})
    assert answer.status_code == 422
    bad = {row["row"]: row for row in answer.json()["errors"]}
    assert {1, 2, 3} <= bad.keys()
    assert 0 not in bad
    assert {bad[row]["field"] for row in (1, 2, 3)} == {field}
    assert answer.json()["accepted"] + answer.json()["quarantined"] == len(counts)


def test_an_offset_may_not_lead_out_of_the_calendar(client: TestClient) -> None:
    rows = [
        prediction(prediction_id=f"p{i}", at=at, output=None)
        for i, at in enumerate(
            ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00Z"]
        )
    ]
    answer = post(client, JSON, rows)
    assert (answer["accepted"], answer["quarantined"]) == (1, 2)
