"""Alertmanager's API v2: what `amtool`, Karma and Grafana ask for."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from alerts import route
from alerts.labels import Matcher, fingerprint
from api.main import create_app
from core.clock import utcnow
from core.settings import Settings
from db.session import unit_of_work
from db.tables import Model, Scope
from services.access.api_keys import create_key
from tests.alerting.world import Alerting

MODEL = {"name": "model", "value": "grid", "isRegex": False}
JSON = {"Content-Type": "application/json"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
ALERTS, SILENCES = "/api/v2/alerts", "/api/v2/silences"


@pytest.fixture
def alerting(sessions: sessionmaker[Session]) -> Alerting:
    alerting = Alerting(sessions, kinds=("silence", "accuracy"))
    alerting.now = utcnow()
    return alerting


@pytest.fixture
def client(alerting: Alerting, settings: Settings) -> Any:
    with TestClient(create_app(settings, alerting.sessions)) as client:
        client.headers = keyed(alerting, Scope.OPERATE, Scope.READ)
        yield client


def keyed(alerting: Alerting, *scopes: Scope, model: str | None = None) -> dict[str, str]:
    """Return the headers of a new key."""
    with unit_of_work(alerting.sessions) as session:
        model_id = None
        if model is not None:
            found = session.query(Model).filter_by(name=model).one_or_none()
            model_id = found.id if found is not None else add_model(session, model)
        key = create_key(session, f"key {uuid4()}", {*scopes}, model_id, utcnow())
    return {"Authorization": f"Bearer {key}"}


def add_model(session: Session, name: str) -> Any:
    grid = session.query(Model).filter_by(name="grid").one()
    other = Model(name=name, contract=grid.contract, created_at=grid.created_at)
    session.add(other)
    session.flush()
    return other.id


def silence(**changes: Any) -> dict[str, Any]:
    now = utcnow()
    return {
        "matchers": [MODEL],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "ann",
        "comment": "new meters",
        **changes,
    }


def test_an_alert_that_fires_is_listed_with_alertmanager_s_fields(
    client: TestClient, alerting: Alerting
) -> None:
    assert client.get(ALERTS).json() == []
    alerting.breach()
    [alert] = client.get(ALERTS).json()
    assert alert["labels"].items() >= {"model": "grid", "alertname": "silence"}.items()
    assert alert["fingerprint"] == fingerprint(alert["labels"])
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"].startswith("http://127.0.0.1:8765/alerts/")
    assert alert["receivers"] == [{"name": "root"}]
    assert alert["generatorURL"].endswith("/models/grid")
    assert alert["startsAt"] <= alert["updatedAt"] < alert["endsAt"]
    unmuted = {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}
    assert alert["status"] == unmuted
    alerting.ok()
    assert client.get(ALERTS).json() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("query", "n"),
    [
        ({"filter": ['model="grid"', 'alertname=~"sil.*"']}, 1),
        ({"filter": ["model=grid", "team!=ml"]}, 1),
        ({"filter": ["model=grid", 'alertname="accuracy"']}, 0),
        ({"filter": 'alertname!~"silence"'}, 0),
        ({"receiver": "ro+t"}, 1),
        ({"receiver": "oo"}, 0),
        ({"active": False}, 0),
        ({"silenced": False, "inhibited": False, "unprocessed": False}, 1),
        ({"ruleMetadata": True}, 1),
    ],
)
def test_alerts_and_groups_are_chosen_by_the_query(
    client: TestClient, alerting: Alerting, query: dict[str, Any], n: int
) -> None:
    alerting.breach()
    assert len(client.get(ALERTS, params=query).json()) == n
    assert len(client.get(f"{ALERTS}/groups", params=query).json()) == n


def test_a_silenced_and_an_inhibited_alert_are_suppressed(
    client: TestClient, alerting: Alerting
) -> None:
    alerting.breach("accuracy")
    alerting.breach("accuracy", "silence")
    found = {one["labels"]["monitor"]: one for one in client.get(ALERTS).json()}
    source = found["silence"]["fingerprint"]
    assert found["accuracy"]["status"]["inhibitedBy"] == [source]
    assert found["accuracy"]["status"]["state"] == "suppressed"
    monitor = {"name": "monitor", "value": "silence", "isRegex": False}
    made = client.post(SILENCES, json=silence(matchers=[monitor])).json()["silenceID"]
    found = {one["labels"]["monitor"]: one for one in client.get(ALERTS).json()}
    assert found["silence"]["status"]["silencedBy"] == [made]

    def names(**query: bool) -> list[str]:
        return [one["labels"]["monitor"] for one in client.get(ALERTS, params=query).json()]

    assert names(silenced=False) == ["accuracy"]
    assert names(inhibited=False) == ["silence"]
    assert names(silenced=False, inhibited=False) == []
    assert sorted(names(active=False)) == ["accuracy", "silence"]


def test_groups_are_those_of_the_routes_that_an_alert_takes(
    client: TestClient, alerting: Alerting
) -> None:
    everything = route.Route(is_continued=True, group_by=("model",))
    alerting.route("all", everything)
    ours = (Matcher(name="alertname", value="silence"),)
    alerting.route("ml", route.Route(position=1, matchers=ours, group_by=("severity",)))
    alerting.breach()
    groups = client.get(f"{ALERTS}/groups").json()
    assert [(one["receiver"]["name"], one["labels"]) for one in groups] == [
        ("all", {"model": "grid"}),
        ("ml", {"severity": "page"}),
    ]
    [alert] = client.get(ALERTS).json()
    assert [one["alerts"][0]["fingerprint"] for one in groups] == [alert["fingerprint"]] * 2
    assert alert["receivers"] == [{"name": "all"}, {"name": "ml"}]
    names = [one["name"] for one in client.get("/api/v2/receivers").json()]
    assert names == ["root", "all", "ml"]


def test_a_silence_is_added_changed_and_ended(client: TestClient) -> None:
    made = client.post(SILENCES, json=silence(id="", annotations={})).json()["silenceID"]
    read = client.get(f"/api/v2/silence/{made}").json()
    assert read["status"] == {"state": "active"}
    assert read["matchers"] == [{**MODEL, "isEqual": True}]
    assert (read["createdBy"], read["comment"]) == ("ann", "new meters")
    later = (utcnow() + timedelta(hours=2)).isoformat()
    rounded = read["startsAt"][:23] + "Z"  # as Go's clients write it
    longer = {**read, "startsAt": rounded, "endsAt": later}
    assert client.post(SILENCES, json=longer).json()["silenceID"] == made
    other = {**longer, "matchers": [{**MODEL, "value": "load"}]}
    assert client.post(SILENCES, json=other).json()["silenceID"] != made
    states = {one["id"]: one["status"]["state"] for one in client.get(SILENCES).json()}
    assert sorted(states.values()) == ["active", "expired"]
    [found] = client.get(SILENCES, params={"filter": "model=load"}).json()
    ended = client.delete(f"/api/v2/silence/{found['id']}")
    assert (ended.status_code, ended.content) == (200, b"")
    assert client.get(f"/api/v2/silence/{found['id']}").json()["status"]["state"] == "expired"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_window_that_recurs_stays_one_when_it_is_changed(client: TestClient) -> None:
    weekly = {"days": ["mon"], "start": "02:00", "duration": "PT1H"}
    matcher = {"name": "model", "value": "grid"}
    ends_at = silence()["endsAt"]
    made = client.post(
        "/v1/silences", json={"matchers": [matcher], "ends_at": ends_at, "weekly": weekly}
    ).json()
    read = client.get(f"/api/v2/silence/{made['id']}").json()
    changed = client.post(SILENCES, json={**read, "comment": "nights"}).json()
    assert changed["silenceID"] == made["id"]
    now = client.get(f"/v1/silences/{made['id']}").json()["silence"]
    assert (now["comment"], now["weekly"]["days"]) == ("nights", ["mon"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("method", "path", "given", "status", "why"),
    [
        ("GET", ALERTS, {"params": {"filter": "model"}}, 400, "'model' is no matcher"),
        ("GET", ALERTS, {"params": {"filter": 'a="b"c"'}}, 400, "is no matcher"),
        ("GET", SILENCES, {"params": {"filter": "a=~("}}, 400, "no regular expression"),
        ("GET", ALERTS, {"params": {"receiver": "("}}, 400, "receiver"),
        ("POST", SILENCES, {"json": silence(matchers=[])}, 400, "matchers"),
        ("POST", SILENCES, {"json": silence(endsAt="2020-01-01T00:00:00Z")}, 400, "ends_at"),
        ("POST", SILENCES, {"content": b"{", "headers": JSON}, 400, "JSON"),
        ("POST", SILENCES, {"json": silence(id=UNKNOWN)}, 404, "no silence"),
        ("GET", f"/api/v2/silence/{UNKNOWN}", {}, 404, "no silence"),
        ("DELETE", f"/api/v2/silence/{UNKNOWN}", {}, 404, "no silence"),
        ("POST", ALERTS, {"json": [{"labels": {"a": "b"}}]}, 400, "no alerts of others"),
        ("GET", "/api/v2/other", {}, 404, "Not Found"),
        ("GET", ALERTS, {"headers": {"Authorization": "Bearer x"}}, 401, "key"),
    ],
)
def test_an_error_is_a_text_in_json(
    client: TestClient, method: str, path: str, given: dict[str, Any], status: int, why: str
) -> None:
    answer = client.request(method, path, **given)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert isinstance(answer.json(), str)
    assert why in answer.json()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_expression_of_a_key_to_read_takes_linear_time(
    client: TestClient, alerting: Alerting
) -> None:
    """Python's own `re` takes 2^n steps for this one."""
    with unit_of_work(alerting.sessions) as session:
        session.query(Model).filter_by(name="grid").one().owner = "x" * 100
    alerting.breach()
    for query in ({"filter": 'owner=~"(.|.)*!"'}, {"filter": 'owner=~"(x+x+)+y"'}):
        assert client.get(ALERTS, params=query).json() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_key_to_read_changes_nothing(client: TestClient, alerting: Alerting) -> None:
    made = client.post(SILENCES, json=silence()).json()["silenceID"]
    client.headers = keyed(alerting, Scope.READ)
    for path in (ALERTS, f"{ALERTS}/groups", SILENCES, "/api/v2/status", "/api/v2/receivers"):
        assert client.get(path).status_code == 200
    assert client.post(SILENCES, json=silence()).status_code == 403
    assert client.delete(f"/api/v2/silence/{made}").status_code == 403
    assert client.post(ALERTS, json=[]).status_code == 403
    client.headers = keyed(alerting, Scope.INGEST)
    assert client.get(ALERTS).status_code == 403


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_key_of_one_model_sees_and_silences_that_model(
    client: TestClient, alerting: Alerting
) -> None:
    alerting.breach()
    made = client.post(SILENCES, json=silence()).json()["silenceID"]
    wide = {"name": "severity", "value": "page", "isRegex": False}
    for_all = client.post(SILENCES, json=silence(matchers=[wide])).json()["silenceID"]

    client.headers = keyed(alerting, Scope.READ, Scope.OPERATE, model="grid")
    assert len(client.get(ALERTS).json()) == len(client.get(f"{ALERTS}/groups").json()) == 1
    assert [one["id"] for one in client.get(SILENCES).json()] == [made]
    assert client.get(f"/api/v2/silence/{for_all}").status_code == 404
    refused = client.post(SILENCES, json=silence(matchers=[wide]))
    assert (refused.status_code, "for one model only" in refused.json()) == (403, True)
    assert client.post(SILENCES, json=silence(id=for_all)).status_code == 403
    assert client.delete(f"/api/v2/silence/{for_all}").status_code == 403
    assert client.delete(f"/api/v2/silence/{made}").status_code == 200
    narrow = client.post(SILENCES, json=silence(matchers=[MODEL, wide]))
    assert narrow.status_code == 200

    client.headers = keyed(alerting, Scope.READ, Scope.OPERATE, model="other")
    for path in (ALERTS, f"{ALERTS}/groups", SILENCES):
        assert client.get(path).json() == []
    assert client.post(SILENCES, json=silence()).status_code == 403


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_status_is_that_of_an_alertmanager_without_a_cluster(client: TestClient) -> None:
    status = client.get("/api/v2/status").json()
    assert status["cluster"]["status"] == "disabled"
    assert status.keys() == {"cluster", "versionInfo", "config", "uptime"}
