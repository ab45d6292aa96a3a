"""Silences, routes, acknowledgement and verdicts over HTTP, and as configuration."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.settings import Settings
from db.queries.read import false_alarm_rates
from db.session import read_only, unit_of_work
from db.tables import Alert, Scope
from services.access.api_keys import create_key
from tests.alerting.world import Alerting

MODEL = {"name": "model", "value": "grid"}


@pytest.fixture
def alerting(sessions: sessionmaker[Session]) -> Alerting:
    alerting = Alerting(sessions)
    alerting.now = utcnow()
    return alerting


@pytest.fixture
def client(alerting: Alerting, settings: Settings) -> Any:
    with unit_of_work(alerting.sessions) as session:
        scopes = {Scope.ADMIN, Scope.OPERATE, Scope.READ}
        key = create_key(session, "ann", scopes, None, utcnow())
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(create_app(settings, alerting.sessions), headers=headers) as client:
        yield client


def in_hours(n: int) -> str:
    return (utcnow() + timedelta(hours=n)).isoformat()


def test_a_silence_is_added_changed_and_ended(client: TestClient) -> None:
    body = {"matchers": [MODEL], "ends_at": in_hours(1), "comment": "new meters"}
    made = client.post("/v1/silences", json=body)
    assert (made.status_code, made.json()["state"]) == (201, "active")
    assert made.json()["silence"]["author"] == "ann"
    path = f"/v1/silences/{made.json()['id']}"
    longer = client.put(path, json={**body, "ends_at": in_hours(2)})
    assert (longer.status_code, longer.json()["id"]) == (200, made.json()["id"])
    other = client.put(path, json={**body, "matchers": [{**MODEL, "value": "load"}]})
    assert other.status_code == 201
    assert client.get(path).json()["state"] == "expired"
    assert client.delete(f"/v1/silences/{other.json()['id']}").status_code == 204
    states = [one["state"] for one in client.get("/v1/silences").json()["items"]]
    assert states == ["expired", "expired"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"matchers": [{"name": "team", "value": ""}]}, "must not match an empty label"),
        ({"matchers": [{"name": "m", "value": "(", "is_regex": True}]}, "regular expression"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "before starts_at"),
        ({"weekly": {"days": ["day"], "start": "02:00", "duration": "PT1H"}}, "days must be"),
        (
            {
                "weekly": {
                    "days": ["mon"],
                    "start": "02:00",
                    "duration": "PT1H",
                    "zone": "Nowhere",
                }
            },
            "time zone 'Nowhere'",
        ),
    ],
)
def test_a_silence_that_cannot_be_is_refused(
    client: TestClient, changes: dict[str, Any], why: str
) -> None:
    body = {"matchers": [MODEL], "ends_at": in_hours(1), **changes}
    answer = client.post("/v1/silences", json=body)
    assert answer.status_code == 422
    assert why in answer.text


def test_a_route_is_put_and_deleted(client: TestClient) -> None:
    parent = {"channels": ["on-call"], "group_by": ["model"], "group_wait": "PT10S"}
    made = client.put("/v1/routes/all", json=parent)
    assert made.status_code == 201
    assert made.json()["group_wait"] == "PT10S"
    below = {"parent": "all", "matchers": [MODEL]}
    assert client.put("/v1/routes/grid", json=below).status_code == 201
    assert client.put("/v1/routes/all", json={**parent, "parent": "grid"}).status_code == 422
    unknown = client.put("/v1/routes/x", json={"channels": ["nobody"]})
    assert (unknown.status_code, "no nobody" in unknown.text) == (422, True)
    assert client.delete("/v1/routes/all").status_code == 409
    assert client.delete("/v1/routes/grid").status_code == 204
    assert client.delete("/v1/routes/all").status_code == 204
    assert client.get("/v1/routes").json()["items"] == []


def test_an_alert_is_acknowledged_silenced_and_gets_a_verdict(
    client: TestClient, alerting: Alerting
) -> None:
    alerting.breach()
    [alert] = client.get("/v1/alerts").json()["items"]
    path = f"/v1/alerts/{alert['id']}"
    assert alert["incident"]["labels"]["alertname"] == "silence"
    taken = client.post(f"{path}/acknowledge", json={"note": "mine"}).json()
    assert (taken["acknowledged_by"], taken["acknowledgement"]) == ("ann", "mine")
    silence = client.post(f"{path}/silence", json={}).json()
    [alert] = client.get("/v1/alerts").json()["items"]
    assert alert["silenced_by"] == [silence["id"]]
    alerting.ok()
    assert client.get(f"/v1/silences/{silence['id']}").json()["state"] == "expired"
    assert client.post(f"{path}/acknowledge", json={}).status_code == 409
    given = client.post(f"{path}/verdict", json={"verdict": "real", "note": "a bad deploy"})
    assert given.json()["verdict"] == "real"
    [incident] = client.get("/v1/incidents").json()["items"]
    assert incident == given.json()
    other = {"verdict": "real", "incident": str(uuid4())}
    assert client.post(f"{path}/verdict", json=other).status_code == 404
    assert client.post(f"/v1/alerts/{uuid4()}/acknowledge", json={}).status_code == 404


def test_a_verdict_takes_an_alarm_out_of_the_false_alarms(
    client: TestClient, alerting: Alerting
) -> None:
    def counts() -> list[tuple[int, int]]:
        with read_only(alerting.sessions) as session:
            return [*false_alarm_rates.live(session, session.query(Alert)).values()]

    alerting.breach()
    alerting.ok()
    assert counts() == [(1, 2)]
    [alert] = client.get("/v1/alerts").json()["items"]
    path = f"/v1/alerts/{alert['id']}/verdict"
    client.post(path, json={"verdict": "expected_change"})
    assert counts() == [(0, 2)]
    client.post(path, json={"verdict": "false_alarm"})
    assert counts() == [(1, 2)]


def test_routes_and_silences_are_applied_once_and_pruned(client: TestClient) -> None:
    weekly = {"days": ["sat"], "start": "02:00:00", "duration": "PT4H", "zone": "Europe/Berlin"}
    document = {
        "routes": {"ml": {"matchers": [MODEL], "channels": ["on-call"]}},
        "silences": {
            "nights": {
                "matchers": [MODEL],
                "ends_at": "2100-01-01T00:00:00Z",
                "weekly": weekly,
            }
        },
    }
    body = {"configuration": document, "commit": "8c8c94d"}
    made = client.put("/v1/configuration", json=body)
    assert made.status_code == 200, made.text
    assert [one["kind"] for one in made.json()["changes"]] == ["Route", "Silence"]
    assert client.put("/v1/configuration", json=body).json()["changes"] == []
    known = client.get("/v1/configuration").json()["configuration"]
    assert known["routes"] == document["routes"]
    assert known["silences"] == document["silences"]
    kept = {"on-call": {"url": "http://127.0.0.1/"}}  # with its secret
    empty = {"configuration": {"channels": kept}, "commit": "8c8c94d"}
    pruned = client.put("/v1/configuration", params={"prune": True}, json=empty)
    assert pruned.status_code == 200, pruned.text
    removed = [
        one["action"] for one in pruned.json()["changes"] if one["kind"] in ("Route", "Silence")
    ]
    assert removed == ["removed", "removed"], pruned.text
