"""Contracts grow with the model: from the request to the summaries and the lake."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from seqwatch.contract import digest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.schema.contract import Contract
from core.settings import Settings
from core.window import Window
from db.queries import summary_layouts
from db.session import read_only, unit_of_work
from db.tables import MismatchDay, Model
from lake.reading import Log
from monitors.summaries.streams import INPUT
from monitors.summaries.summary import Edges, N, Summary
from services.access.api_keys import create_key
from services.aggregation.fold import PATIENCE, fold_all
from services.evaluation import input_history
from services.retention.archive import archive_all
from tests import stored
from tests.ingest.conftest import arrow_body

ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
DAY = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES: list[dict[str, Any]] = [
    {"name": "load", "minimum": 0, "maximum": 100},
    {"name": "area", "dtype": "category", "vocabulary": ["north", "south"]},
]
CONTRACT: dict[str, Any] = {
    "features": FEATURES,
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 2,
    "horizon": 1,
}
RAIN = {"name": "rain", "minimum": 0}
NEXT = {**CONTRACT, "features": [*FEATURES, RAIN], "input_length": 4}
ROW: dict[str, Any] = {
    "prediction_id": "p-1",
    "version": "v1",
    "at": "2026-01-01T05:00:00Z",
    "features": {"load": [1, 2], "area": "south"},
    "output": {"load": 3},
}


def row(number: int = 1, version: str = "v1", **features: Any) -> dict[str, Any]:
    return {
        **ROW,
        "prediction_id": f"p-{number}",
        "version": version,
        "features": {**ROW["features"], **features},
    }


@pytest.fixture
def client(
    settings: Settings, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    # What the way in knows of a model is up to a second old; here, it is not.
    monkeypatch.setattr("api.ingestion.ingest.AUTHORIZED_SECONDS", 0.0)
    with unit_of_work(sessions) as session:
        token = create_key(session, "all", ["ingest", "read", "operate"], None, utcnow())
    key = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(settings, sessions), headers=key) as client:
        put(client, CONTRACT)
        yield client


def put(client: TestClient, contract: dict[str, Any], version: str = "") -> Any:
    path = "/v1/models/grid" + (f"/versions/{version}" if version else "")
    answer = client.put(path, json={"contract": contract})
    assert answer.status_code < 300, answer.text
    return answer.json()


def post(client: TestClient, *rows: dict[str, Any], **headers: str) -> Any:
    return client.post("/v1/models/grid/predictions", json={"rows": rows}, headers=headers)


def reasons(answer: Any) -> list[tuple[str, str]]:
    return [(bad["field"], bad["reason"]) for bad in answer.json().get("errors", [])]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("features", "field", "reason"),
    [
        pytest.param({"load": 101}, "features.load", "expected numbers from 0 to", id="high"),
        pytest.param({"load": [1, -1]}, "features.load", "expected numbers", id="low"),
        pytest.param({"area": "sea"}, "features.area", "not in the vocabulary", id="text"),
        pytest.param({"area": ["south", ""]}, "features.area", "not in the vo", id="no text"),
        pytest.param({"area": 1}, "features.area", "Expected", id="a number for a text"),
        pytest.param({"load": "1"}, "features.load", "Expected", id="a text for a number"),
    ],
)
def test_a_row_out_of_range_is_named(
    client: TestClient, features: dict[str, Any], field: str, reason: str
) -> None:
    answer = post(client, row(1), row(2, **features))
    assert answer.status_code == 422
    (found,) = reasons(answer)
    assert found[0].startswith(field)
    assert found[1].startswith(reason)
    assert answer.json()["accepted"] == 1


def test_rows_keep_to_the_contract_of_their_version(client: TestClient) -> None:
    put(client, CONTRACT, "v1")
    put(client, NEXT, "v2")
    narrow = {**CONTRACT, "features": [{**FEATURES[0], "maximum": 5}, FEATURES[1]]}
    put(client, narrow, "v3")

    answer = post(
        client,
        row(1, "v1"),
        row(2, "v2", rain=[0.5, None]),
        row(3, "v2"),
        row(4, "v1", rain=1),
        row(5, "v3", load=6),
        row(6, "v1", load=6),
        row(7, "unheard of", rain=7),
        row(8, "v2", rain=None),
        row(9, "v2", rain=-1),
    )

    assert [(bad["row"], bad["field"], bad["reason"]) for bad in answer.json()["errors"]] == [
        (2, "features.rain", "missing"),
        (3, "features.rain", "unknown field"),
        (4, "features.load", "expected numbers from 0 to 5"),
        (8, "features.rain", "expected numbers from 0"),
    ]
    assert answer.json()["accepted"] == 5


def test_arrow_is_held_to_the_same(client: TestClient) -> None:
    put(client, CONTRACT, "v1")
    put(client, NEXT, "v2")
    columns = {
        "prediction_id": ["p-1", "p-2"],
        "at": [DAY, DAY],
        "features.load": [1.0, 2.0],
        "features.area": pa.array(["north", "sea"]).dictionary_encode(),
    }
    old = pa.table({**columns, "version": ["v1", "v1"]})
    new = pa.table({**columns, "version": ["v1", "v2"], "features.rain": [None, None]})
    for sent, wanted in (
        (old, [("features.area", "not in the vocabulary")]),
        (new, [("features.area", "not in the vocabulary")]),
    ):
        answer = client.post(
            "/v1/models/grid/predictions", content=arrow_body(sent), headers=ARROW
        )
        assert reasons(answer) == wanted


def test_what_a_wider_contract_lets_in(client: TestClient) -> None:
    put(client, CONTRACT, "v1")
    before = client.get("/v1/models/grid").json()["contract_digest"]
    wide = [{**FEATURES[0], "maximum": None}, FEATURES[1], {**RAIN, "optional": True}]
    put(client, {**CONTRACT, "features": wide})

    answer = post(client, row(1, load=1000, rain=1), **{"Seqwatch-Contract": before})

    assert answer.status_code == 200, answer.text
    model = client.get("/v1/models/grid").json()
    assert model["contract"]["widens"] == [before]
    assert model["versions"][0]["contract_digest"] == model["contract_digest"]  # it follows


def test_a_version_may_not_come_apart_from_its_log(client: TestClient) -> None:
    put(client, NEXT, "v2")
    for contract, word in (
        ({**CONTRACT, "horizon": 2}, "horizon"),
        ({**CONTRACT, "sensitive_fields": {"entity": "hash"}}, "sensitive_fields"),
    ):
        answer = client.put("/v1/models/grid/versions/v3", json={"contract": contract})
        assert answer.status_code == 409
        assert word in answer.json()["detail"]
    again = put(client, CONTRACT)  # a declaration of the model need not name v2
    names = [feature["name"] for feature in again["contract"]["features"]]
    assert names == ["load", "area", "rain"]
    assert put(client, NEXT, "v2")["contract"]["input_length"] == 4


def mismatches(sessions: sessionmaker[Session]) -> dict[tuple[str, str], int]:
    with read_only(sessions) as session:
        rows = session.execute(select(MismatchDay.day, MismatchDay.reason, MismatchDay.n))
        return {(str(day), reason): n for day, reason, n in rows}


def test_what_does_not_fit_is_counted_once_by_event_day(
    client: TestClient, sessions: sessionmaker[Session]
) -> None:
    own = client.get("/v1/models/grid").json()["contract_digest"]
    late = {**row(2), "at": "2026-01-02T05:00:00Z"}
    bad = [row(3, load=-1), {**row(4, load=-1), "at": "2026-01-02T05:00:00Z"}, row(5, area=7)]
    for _ in range(2):  # a batch that comes again is not counted again
        post(client, row(1), late, *bad, **{"Seqwatch-Contract": "f" * 64})
        post(client, row(6), **{"Seqwatch-Contract": own})
    post(client, row(7))
    assert mismatches(sessions) == {
        ("2026-01-01", "contract"): 1,
        ("2026-01-02", "contract"): 1,
        ("2026-01-01", "range"): 1,
        ("2026-01-02", "range"): 1,
        ("2026-01-01", "type"): 1,
    }


def test_a_feature_that_comes_later_is_folded_and_archived_beside_the_old_rows(
    client: TestClient, settings: Settings, sessions: sessionmaker[Session]
) -> None:
    put(client, CONTRACT, "v1")
    post(client, row(1, load=[10, 20], area=["north", "south"]))
    later = utcnow() + 2 * PATIENCE
    fold_all(sessions, later)
    archive_all(sessions, settings.lake, later)
    post(client, row(2))  # waits in the inbox as v1 wrote it
    put(client, NEXT, "v2")
    post(client, row(3, "v2", rain=[7, None]))
    fold_all(sessions, later)
    archive_all(sessions, settings.lake, later)

    model_id, edges, summary = state(sessions)
    assert edges.names == ("load", "area", "rain")
    assert summary.moments[:, :, N].sum(axis=0).tolist() == [6, 4, 1]
    by_code = summary.counts[:, 1].sum(axis=0)
    assert by_code[1:3].tolist() == [1, 3]  # north, south
    rows = Log(settings.lake, model_id).predictions(
        Window(DAY, DAY + timedelta(days=1)), ["prediction_id", "features"]
    )
    assert rows is not None
    found = dict(
        zip(rows["prediction_id"].to_pylist(), rows["features"].to_pylist(), strict=True)
    )
    assert found["p-1"] == {"load": [10, 20], "area": ["north", "south"], "rain": None}
    assert found["p-3"]["rain"] == [7, None]
    with read_only(sessions) as session:
        model = session.get_one(Model, model_id)
        hours = input_history.load(session, model, Window(DAY, DAY + timedelta(days=1))).hours
    assert hours.names == ("load", "rain")  # the code of a category is no measurement
    assert np.nansum(hours.mean[:, 1]) == 7


def test_a_feature_dropped_later_leaves_the_rows_that_come(
    client: TestClient, settings: Settings, sessions: sessionmaker[Session]
) -> None:
    later = utcnow() + 2 * PATIENCE
    put(client, {**CONTRACT, "features": [*FEATURES, {"name": "pin", "optional": True}]})
    post(client, row(1, pin=4711))
    fold_all(sessions, later)
    archive_all(sessions, settings.lake, later)
    hidden = {"name": "pin", "optional": True, "sensitivity": "drop"}
    put(client, {**CONTRACT, "features": [*FEATURES, hidden]})
    assert post(client, row(2, pin=4711)).status_code == 200
    fold_all(sessions, later)
    archive_all(sessions, settings.lake, later)
    model_id, _, summary = state(sessions)
    assert summary.moments[:, 2, N].sum() == 1
    rows = Log(settings.lake, model_id).predictions(
        Window(DAY, DAY + timedelta(days=1)), ["features"]
    )
    assert rows is not None
    kept = sorted(str(each["pin"]) for each in rows["features"].to_pylist())
    assert kept == ["None", "[4711.0]"]


def state(sessions: sessionmaker[Session]) -> tuple[UUID, Edges, Summary]:
    with read_only(sessions) as session:
        model_id = session.scalars(select(Model.id)).one()
        edges = summary_layouts.edges(session, model_id)
        summary = stored.whole(session, INPUT)
    assert edges is not None
    return model_id, edges, summary


def test_the_client_gives_a_contract_the_same_name(client: TestClient) -> None:
    assert digest(NEXT) == Contract.from_json(NEXT).digest
