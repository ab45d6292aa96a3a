"""SLOs over HTTP: defined, read at a moment, corrected, linted, tried on the past."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.durations import DAY, HOUR, MINUTE
from core.schema.rows import Kind
from services.aggregation.fold import fold_all
from services.evaluation.by_clock.live import LiveMonitors
from tests.api.conftest import app, as_key, operator, stranger
from tests.streams import CONTRACT, START, add_served_model, keep, prediction, table

__all__ = ["app", "as_key", "operator", "stranger"]  # fixtures

NOW = START + 10 * DAY + MINUTE
PATH = "/v1/models/grid/slos"
OUTAGE = START + 9 * DAY


@pytest.fixture
def api(app: FastAPI, operator: TestClient, sessions: sessionmaker[Session]) -> TestClient:
    """A model with a row a minute for ten days, of which an hour of the last failed."""
    app.dependency_overrides[utcnow] = lambda: NOW
    model_id = add_served_model(sessions, monitors={})
    rows = []
    for i in range(10 * 1440):
        at = START + i * MINUTE
        status = "error" if OUTAGE <= at < OUTAGE + HOUR else "ok"
        features: dict[str, Any] = {"load": [1.0], "wind": [2.0]}
        rows.append(prediction(at, i, features=features, status=status, latency_seconds=0.1))
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, CONTRACT))
    fold_all(sessions, NOW)
    made = operator.put(f"{PATH}/up", json={"params": {"objective": 0.99, "period": "P7D"}})
    assert made.status_code == 201, made.text
    return operator


def at(moment: datetime) -> dict[str, str]:
    return {"as_of": moment.isoformat()}


def test_an_slo_is_listed_read_and_deleted(
    api: TestClient, sessions: sessionmaker[Session]
) -> None:
    [listed] = api.get(PATH).json()["items"]
    assert (listed["name"], listed["outcome"]) == ("up", None)
    LiveMonitors(sessions).run(NOW)
    [listed] = api.get(PATH).json()["items"]
    assert (listed["outcome"], listed["detail"]["bad"]) == ("ok", 60)
    found = api.get(f"{PATH}/up").json()
    assert found["detail"]["bad"] == 60
    assert found["detail"]["consumed"] == pytest.approx(60 / (0.01 * 7 * 1440), rel=0.001)
    assert [one["window"] for one in found["windows"]][-2:] == ["P1D", "P3D"]
    assert api.get("/v1/models/grid/monitors/up").json()["kind"] == "burn_rate"
    assert api.delete(f"{PATH}/up").status_code == 204
    assert api.get(f"{PATH}/up").status_code == 404
    assert api.get("/v1/models/grid/monitors/input_drift").status_code == 404


def test_a_budget_is_read_at_a_moment_of_the_past(api: TestClient) -> None:
    """Complaints 4, 10 and 21: it begins at 1, and is never given back."""
    before = api.get(f"{PATH}/up", params=at(OUTAGE - HOUR)).json()
    during = api.get(f"{PATH}/up", params=at(OUTAGE + HOUR)).json()
    assert (before["outcome"], before["detail"]["bad"]) == ("ok", 0)
    assert (during["outcome"], during["detail"]["bad"]) == ("breach", 60)
    left = [point["remaining"] for point in during["budget"]]
    assert left[0] == 1
    assert left == sorted(left, reverse=True)
    assert left[-1] == pytest.approx(during["detail"]["remaining"])


def test_a_correction_is_listed_counts_and_is_taken_back(api: TestClient) -> None:
    path = f"{PATH}/up/corrections"
    stretch = {"start": OUTAGE.isoformat(), "end": (OUTAGE + HOUR / 2).isoformat()}
    made = api.post(path, json={**stretch, "reason": "load test"})
    assert made.status_code == 201
    [listed] = api.get(path).json()["items"]
    assert (listed["reason"], listed["author"] != "") == ("load test", True)
    detail = api.get(f"{PATH}/up").json()["detail"]
    assert (detail["bad"], detail["total"]) == (30, 7 * 1440)
    assert api.delete(f"{path}/{made.json()['id']}").status_code == 204
    assert api.delete(f"{path}/{made.json()['id']}").status_code == 404
    assert api.get(f"{PATH}/up").json()["detail"]["bad"] == 60


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("start", "end", "reason", "message"),
    [
        pytest.param("2026-01-02T00:00Z", "2026-01-01T00:00Z", "x", "after", id="reversed"),
        pytest.param("2024-01-02T00:00Z", "2026-01-01T00:00Z", "x", "P366D", id="years"),
        pytest.param("2026-01-01T00:00", "2026-01-02T00:00Z", "x", "start", id="no zone"),
        pytest.param("2026-01-01T00:00Z", "2026-01-02T00:00Z", "", "reason", id="no reason"),
    ],
)
def test_a_correction_that_is_none_is_refused(
    api: TestClient, start: str, end: str, reason: str, message: str
) -> None:
    body = {"start": start, "end": end, "reason": reason}
    answer = api.post(f"{PATH}/up/corrections", json=body)
    assert answer.status_code == 422
    assert message in answer.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_definition_is_linted_at_the_traffic_of_its_model(api: TestClient) -> None:
    found = api.post(f"{PATH}/lint", json={"params": {"objective": 0.99}}).json()
    assert found["per_hour"] == pytest.approx(60, rel=0.01)
    quick = found["tiers"][0]
    assert (quick["tier"], quick["events"]) == ("page quick", pytest.approx(60, rel=0.01))
    assert 10 * 60 < quick["detects_after_seconds"] < 20 * 60
    low = api.post(f"{PATH}/lint", json={"params": {"objective": 0.9}}).json()
    assert {one["tier"] for one in low["tiers"] if one["reason"]} == {"page quick"}
    for params, why in (
        ({"objective": 0.1, "period": "P1D"}, "can never fire"),
        ({"objektive": 0.1}, "no objektive; known: sli"),
    ):
        answer = api.post(f"{PATH}/lint", json={"params": params})
        assert answer.status_code == 422
        assert why in answer.json()["detail"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_definition_is_tried_on_the_past(api: TestClient) -> None:
    body = {"params": {"objective": 0.99}, "days": 9}
    found = api.post(f"{PATH}/backtest", json=body).json()
    [quick] = [one for one in found["episodes"] if one["tier"] == "page quick"]
    since, until = (datetime.fromisoformat(quick[name]) for name in ("since", "until"))
    assert timedelta(minutes=8) < since - OUTAGE < timedelta(minutes=20)
    assert HOUR < until - OUTAGE < HOUR + 6 * MINUTE
    lenient = {"params": {"objective": 0.5, "period": "P7D"}, "days": 9}
    assert api.post(f"{PATH}/backtest", json=lenient).json()["episodes"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_may_read_may_not_define(
    app: FastAPI, api: TestClient, stranger: TestClient
) -> None:
    assert stranger.get(PATH).status_code == 401
    assert stranger.put(f"{PATH}/x", json={}).status_code == 401
