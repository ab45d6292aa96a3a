from datetime import datetime
from threading import Barrier, Thread
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import save
from sqlalchemy import delete, update
from sqlalchemy.orm import Session, sessionmaker

from core.schema.rows import Kind
from db.queries import models
from db.session import unit_of_work
from db.tables import Model, Rollout, Stream, Version
from retrain.rollout import Phase
from retrain.templates.segment_lstm import FORMAT
from tests.api.conftest import CONTRACT, Clients
from tests.problems import error_of

WEIGHTS = save({"weight": np.zeros(3)})
OURS = {"manifest": {"format": FORMAT}}


@pytest.fixture
def champion(operator: TestClient, model: str, sessions: sessionmaker[Session]) -> str:
    """A model with a champion and a challenger, and with something logged."""
    base = f"/v1/models/{model}"
    for version in ("v1", "v2"):
        assert operator.put(f"{base}/versions/{version}", json=OURS).status_code == 201
        operator.put(f"{base}/versions/{version}/artifact", content=WEIGHTS)
    body = {"version": "v1", "expected_rev": 0}
    assert operator.put(f"{base}/champion", json=body).json() == {"rev": 1}
    with unit_of_work(sessions) as session:
        session.execute(update(Model).values(watermark=models.find(session, model).created_at))
        session.add(Stream(model_id=models.find(session, model).id, kind=Kind.LABELS))
    return base


def test_the_champion_moves_only_from_the_revision_that_was_seen(
    operator: TestClient, champion: str
) -> None:
    stale = operator.put(f"{champion}/champion", json={"version": "v2", "expected_rev": 0})
    assert (stale.status_code, error_of(stale)) == (409, "StaleChampion")
    moved = operator.put(f"{champion}/champion", json={"version": "v2", "expected_rev": 1})
    assert moved.json() == {"rev": 2}
    assert operator.get(champion).json()["champion"]["version"] == "v2"
    absent = operator.put(f"{champion}/champion", json={"version": "v9", "expected_rev": 2})
    assert absent.status_code == 404


def test_of_many_who_move_the_champion_at_once_one_wins(
    operator: TestClient, champion: str
) -> None:
    barrier = Barrier(4)
    statuses: list[int] = []

    def move() -> None:
        barrier.wait()
        body = {"version": "v2", "expected_rev": 1}
        statuses.append(operator.put(f"{champion}/champion", json=body).status_code)

    threads = [Thread(target=move) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409, 409, 409]


def test_the_routing_document_changes_with_the_champion(
    operator: TestClient, as_key: Clients, champion: str
) -> None:
    serving = as_key("ingest")
    first = serving.get(f"{champion}/routing")
    assert first.json()["champion"]["version"] == "v1"
    assert first.json()["champion"]["sha256"] != ""
    known = {"If-None-Match": first.headers["etag"]}
    assert serving.get(f"{champion}/routing", headers=known).status_code == 304
    operator.put(f"{champion}/champion", json={"version": "v2", "expected_rev": 1})
    second = serving.get(f"{champion}/routing", headers=known)
    assert (second.status_code, second.json()["champion"]["version"]) == (200, "v2")


def test_weights_that_arrive_late_change_the_routing_document(
    operator: TestClient, model: str
) -> None:
    base = f"/v1/models/{model}"
    operator.put(f"{base}/versions/v1", json={})
    operator.put(f"{base}/champion", json={"version": "v1", "expected_rev": 0})
    before = operator.get(f"{base}/routing")
    operator.put(f"{base}/versions/v1/artifact", content=WEIGHTS)
    after = operator.get(f"{base}/routing", headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.json()["champion"]["sha256"] != before.json()["champion"]["sha256"]


def test_asking_twice_with_one_key_opens_one_rollout(
    operator: TestClient, champion: str
) -> None:
    headers = {"Idempotency-Key": "monday"}
    first = operator.post(f"{champion}/retrain", json={"reason": "try"}, headers=headers)
    again = operator.post(f"{champion}/retrain", json={"reason": "try"}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["phase"] == "requested"
    assert [one["event"] for one in first.json()["events"]] == ["requested"]
    other = operator.post(f"{champion}/retrain", json={"reason": "try"})
    assert (other.status_code, error_of(other)) == (409, "RetrainRefused")


@pytest.mark.parametrize(
    ("manifest", "has_labels", "reason"),
    [
        pytest.param({}, True, "v1 was not trained here", id="weights of another make"),
        pytest.param(OURS["manifest"], False, "no label was ever received", id="no labels"),
    ],
)
def test_what_can_never_work_is_refused_at_once_with_every_reason(
    operator: TestClient,
    champion: str,
    sessions: sessionmaker[Session],
    manifest: dict[str, str],
    has_labels: bool,
    reason: str,
) -> None:
    with unit_of_work(sessions) as session:
        session.execute(update(Version).where(Version.name == "v1").values(manifest=manifest))
        if not has_labels:
            session.execute(delete(Stream))
    answer = operator.post(f"{champion}/retrain", json={"reason": "try"})
    assert (answer.status_code, error_of(answer)) == (409, "RetrainRefused")
    assert reason in answer.json()["detail"]
    assert operator.get("/v1/rollouts").json()["items"] == []


def test_an_open_rollout_holds_the_champion(operator: TestClient, champion: str) -> None:
    operator.post(f"{champion}/retrain", json={"reason": "try"})
    moved = operator.put(f"{champion}/champion", json={"version": "v2", "expected_rev": 1})
    assert moved.status_code == 409
    assert "rollout is open" in moved.json()["detail"]


@pytest.fixture
def canary(
    operator: TestClient, champion: str, sessions: sessionmaker[Session], now: datetime
) -> str:
    """A rollout whose challenger serves its first share of sessions."""
    made = operator.post(f"{champion}/retrain", json={"reason": "try"}).json()
    with unit_of_work(sessions) as session:
        [rollout] = session.query(Rollout)
        rollout.phase, rollout.step_since = Phase.CANARY, now
        rollout.challenger_id = models.find_version(session, rollout.model_id, "v2").id
    return f"/v1/rollouts/{made['id']}"


def test_a_person_may_stop_and_go_on_and_decide(
    operator: TestClient, champion: str, canary: str
) -> None:
    assert operator.get(canary).json()["share_percent"] == 5.0
    for order, phase in (("pause", "paused"), ("resume", "canary"), ("promote", "promoted")):
        answer = operator.post(f"{canary}/{order}", json={"reason": "error is low"})
        assert (answer.status_code, answer.json()["phase"]) == (200, phase), answer.text
    last = operator.get(canary).json()["events"][-1]
    assert (last["event"], last["cause"]) == ("promote", "operate-read-all: error is low")
    read = operator.get(champion).json()
    assert (read["champion"]["version"], read["open_rollout"]) == ("v2", None)
    late = operator.post(f"{canary}/rollback", json={})
    assert late.status_code == 409


def test_a_rolled_back_challenger_serves_no_one(
    operator: TestClient, champion: str, canary: str
) -> None:
    routing = operator.get(f"{champion}/routing").json()
    assert (routing["challenger"]["version"], routing["share_bp"]) == ("v2", 500)
    assert operator.post(f"{canary}/rollback", json={}).json()["phase"] == "rolled_back"
    routing = operator.get(f"{champion}/routing").json()
    assert (routing["champion"]["version"], routing["challenger"]) == ("v1", None)
    assert operator.get(f"{canary}/verdict").json() == {"phase": "rolled_back", "verdict": None}


def test_an_unknown_order_lists_the_known_ones(operator: TestClient, canary: str) -> None:
    answer = operator.post(f"{canary}/explode", json={})
    assert answer.status_code == 422
    assert "pause, resume, promote, rollback" in answer.json()["detail"]
    assert operator.post(f"/v1/rollouts/{uuid4()}/pause", json={}).status_code == 404


def test_a_key_for_another_model_reaches_no_rollout(
    operator: TestClient, canary: str, as_key: Clients, sessions: sessionmaker[Session]
) -> None:
    operator.put("/v1/models/other", json={"contract": CONTRACT})
    with unit_of_work(sessions) as session:
        other_id = models.find(session, "other").id
    narrow = as_key("operate", "read", model_id=other_id)
    assert narrow.get("/v1/rollouts").json()["items"] == []
    assert narrow.get(canary).status_code == 403
    assert narrow.get(f"{canary}/verdict").status_code == 403
    assert narrow.post(f"{canary}/promote", json={}).status_code == 403
