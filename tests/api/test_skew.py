"""Skew over HTTP, and in the shell: named, bounded, and nothing of a value in an error."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.models.skew import MAX_BYTES
from api.server.examples import BODIES
from cli.main import main
from core.clock import utcnow
from services.aggregation.fold import PATIENCE, fold_all
from tests.api.conftest import Clients

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SECRET = 73_131.25
CONTRACT: dict[str, Any] = {
    "features": [
        {"name": "load"},
        {"name": "window", "max_length": 24},
        {"name": "age", "sensitivity": "bucket", "bucket_edges": [0, 50, 100]},
        {"name": "name", "sensitivity": "drop"},
        {"name": "kind", "dtype": "category"},
    ],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 24,
    "horizon": 2,
    "scaler": {"load": [20.0, 5.0], "age": [40.0, 10.0]},
}
RNG = np.random.default_rng(11)
LOAD = RNG.normal(20, 5, 60)
WINDOWS = RNG.normal(size=(60, 12)).cumsum(axis=1)


@pytest.fixture
def model(operator: TestClient) -> str:
    assert operator.put("/v1/models/grid", json={"contract": CONTRACT}).status_code == 201
    return "/v1/models/grid/skew"


def sides(name: str, offline: Any, online: Any, **more: Any) -> dict[str, Any]:
    return {
        "offline": {name: np.asarray(offline).tolist()},
        "online": {name: np.asarray(online).tolist()},
        **more,
    }


def compared(client: TestClient, address: str, body: dict[str, Any]) -> Any:
    answer = client.post(address, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def hours(n: int) -> list[str]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [(start + i * timedelta(hours=1)).isoformat() for i in range(n)]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        pytest.param(sides("load", LOAD, 1000 * LOAD), ["unit"], id="unit"),
        pytest.param(
            sides("load", (LOAD - 20) / 5, ((LOAD - 20) / 5 - 20) / 5),
            ["double_scaling"],
            id="scaled twice",
        ),
        pytest.param(sides("window", WINDOWS, WINDOWS[:, ::-1]), ["reversed"], id="reversed"),
        pytest.param(
            sides("load", LOAD[3:], LOAD[:-3], at=hours(57)), ["time_zone"], id="time zone"
        ),
        pytest.param(sides("load", LOAD[1:], LOAD[:-1]), ["lag"], id="lag"),
        pytest.param(sides("output.load", LOAD, LOAD + 3), ["offset"], id="output"),
        pytest.param(sides("load", LOAD, LOAD), [], id="none"),
    ],
)
def test_a_fault_is_named(
    model: str, as_key: Clients, body: dict[str, Any], faults: list[str]
) -> None:
    found = compared(as_key("read"), model, body)
    [feature] = found["features"]
    assert [fault["fault"] for fault in feature["faults"]] == faults
    assert found["golden"]["passed"] is (not faults)


def test_the_example_is_a_unit(as_key: Clients, operator: TestClient) -> None:
    operator.put("/v1/models/load", json=BODIES["put_model"])
    found = compared(as_key("read"), "/v1/models/load/skew", BODIES["compare_skew"])
    [fault] = found["features"][0]["faults"]
    assert fault["message"] == "another unit, factor 1000 (kilo)"
    assert found["golden"]["reasons"][0] == "24 vectors, and 50 are needed"


def test_columns_of_different_length_are_compared_side_by_side(
    model: str, as_key: Clients
) -> None:
    body = sides("load", LOAD, LOAD)
    for side, values in (("offline", WINDOWS), ("online", WINDOWS[:, ::-1])):
        body[side]["window"] = values.tolist()
    found = compared(as_key("read"), model, body)
    verdicts = {feature["name"]: feature["verdict"] for feature in found["features"]}
    assert verdicts == {"load": "equal", "window": "explained"}


@pytest.mark.parametrize("name", ["age", "name"])
def test_of_a_sensitive_feature_no_value_is_shown(
    model: str, as_key: Clients, name: str
) -> None:
    """Filled with a secret, and shifted by one: neither comes back."""
    client = as_key("read")
    if name == "name":
        refused = {"age": LOAD.tolist(), "kind": LOAD.tolist()}
        answer = client.post(model, json={"offline": refused, "online": refused})
        assert answer.status_code == 422
    filled = LOAD.copy()
    filled[::4] = SECRET
    for online in (filled, LOAD + SECRET):
        answer = client.post(model, json=sides(name, LOAD, online))
        assert answer.status_code == 200, answer.text
        [feature] = answer.json()["features"]
        assert feature["faults"]
        assert feature["max_abs"] is None
        assert "73131" not in answer.text


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        pytest.param(b"{", 400, "no JSON", id="no JSON"),
        pytest.param(b'{"at": ' + b"[" * 100_000, 422, "$.at", id="deep"),
        pytest.param(b'{"offline": {"\xff": [1]}}', 400, "no JSON", id="no UTF-8"),
        pytest.param(b" " * (MAX_BYTES + 1), 413, "at most", id="large"),
        pytest.param(b"[1]", 422, "object", id="no object"),
        pytest.param(b'{"offline": {"load": ["73131"]}}', 422, "str", id="text"),
        pytest.param(b'{"offline": {}, "online": {}}', 422, "no column", id="nothing"),
        pytest.param(
            b'{"offline": {"a": [1]}, "online": {"a": [1]}}', 422, "a; known", id="column"
        ),
    ],
)
def test_a_body_that_is_no_comparison_is_refused(
    model: str, as_key: Clients, content: bytes, status: int, message: str
) -> None:
    answer = as_key("read").post(model, content=content)
    assert answer.status_code == status
    assert message in answer.json()["detail"]
    assert "73131" not in answer.text


def test_a_body_of_unknown_length_is_bounded_too(model: str, as_key: Clients) -> None:
    pieces = (b" " * 2**20 for _ in range(9))
    assert as_key("read").post(model, content=pieces).status_code == 413


def test_a_key_that_may_not_read_is_refused(model: str, as_key: Clients) -> None:
    body = sides("load", LOAD, LOAD)
    client = as_key("ingest")
    assert client.post(model, json=body).status_code == 403
    assert client.get(model).status_code == 403


def send(client: TestClient, now: datetime, values: Sequence[float]) -> None:
    rows = [
        {
            "prediction_id": f"p{i}",
            "version": "v1",
            "at": (now - timedelta(hours=i + 1)).isoformat(),
            "features": {"load": value, "window": [0.0], "age": 30, "kind": "a", "name": 1},
            "output": {"load": [1.0, 1.0]},
        }
        for i, value in enumerate(values)
    ]
    answer = client.post("/v1/models/grid/predictions", json={"rows": rows})
    assert answer.status_code == 200, answer.text


def test_a_scaler_is_held_against_what_came_in(
    model: str, as_key: Clients, sessions: sessionmaker[Session], now: datetime
) -> None:
    client = as_key("read", "ingest", "operate")
    assert client.get(model).json() == {"logged": "raw", "features": []}
    client.put("/v1/models/grid/versions/v1", json={})
    send(client, now, np.random.default_rng(3).normal(size=24 * 28).tolist())
    fold_all(sessions, utcnow() + PATIENCE)
    answer = client.get(model)
    assert answer.status_code == 200, answer.text
    found = {one["name"]: one for one in answer.json()["features"]}
    assert found["load"]["verdict"] == "double_scaling"
    assert found["age"]["mean"] is None
    sound = client.get(model, params={"logged": "scaled"}).json()["features"]
    assert {one["name"]: one["verdict"] for one in sound}["load"] == "parity"
    assert client.get(model, params={"days": 5}).status_code == 422


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> Path:
    monkeypatch.setenv("SEQWATCH_DATABASE_URL", database_url)
    return tmp_path


def write(path: Path, table: pa.Table) -> str:
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return str(path)


def golden(load: Any, ids: Iterable[int] = range(60)) -> pa.Table:
    return pa.table({"prediction_id": [*ids], "load": load, "note": ["x"] * len(load)})


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_shell_compares_files_by_id(
    configured: Path, model: str, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    order = np.random.default_rng(1).permutation(60)
    offline = write(configured / f"golden.{ending}", golden(LOAD))
    online = write(configured / f"served.{ending}", golden(32 + 1.8 * LOAD[order], order))
    assert main(["skew", offline, online, "--model", "grid"]) == 1
    output = capsys.readouterr().out
    assert "load: explained: another unit, factor 1.8 (degrees Celsius to degrees F" in output
    assert "not compared: note" in output
    assert main(["skew", offline, offline, "--column", "load"]) == 0
    assert "60 rows as golden vectors: passed" in capsys.readouterr().out


@pytest.mark.usefixtures("model")
def test_the_shell_reads_what_an_export_writes(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def exported(windows: Any) -> pa.Table:
        features = [
            {"window": row, "load": [1.0 * i]} for i, row in enumerate(windows.tolist())
        ]
        return pa.table(
            {
                "prediction_id": [f"p{i}" for i in range(60)],
                "features": features,
                "at": hours(60),
            }
        )

    offline = write(configured / "golden.parquet", exported(WINDOWS))
    online = write(configured / "served.parquet", exported(WINDOWS[:, ::-1]).slice(2))
    assert main(["skew", offline, online, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    verdicts = {one["name"]: one["verdict"] for one in found["features"]}
    assert verdicts == {"window": "explained", "load": "equal"}
    assert found["golden"]["n_absent"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["nowhere.csv"], "no file", id="no file"),
        pytest.param(["other.csv"], "no prediction_id is in both", id="other rows"),
        pytest.param(["golden.csv", "--id", "key"], "no column 'key'", id="no id"),
        pytest.param(["golden.csv", "--column", "note"], "not columns of numbers", id="text"),
        pytest.param(["golden.csv", "--at", "note"], "row 0, note: no time", id="no times"),
        pytest.param(["twice.csv"], "names a row twice", id="twice"),
        pytest.param(["golden.csv", "--model", "nope"], "no model 'nope'", id="no model"),
    ],
)
@pytest.mark.usefixtures("model")
def test_the_shell_reports_what_it_cannot_compare(
    configured: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    offline = write(configured / "golden.csv", golden(LOAD))
    write(configured / "other.csv", golden(LOAD, range(100, 160)))
    write(configured / "twice.csv", golden(LOAD, [1] * 60))
    online, *more = arguments
    assert main(["skew", offline, str(configured / online), *more]) == 1
    assert message in capsys.readouterr().err
