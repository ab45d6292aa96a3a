"""OpenSLO documents over HTTP: saved all or none, and written as they were read."""

import json
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only
from db.tables import AuditEvent, Model
from tests.api.conftest import CONTRACT, Clients, app, as_key, model, operator, stranger

__all__ = ["app", "as_key", "model", "operator", "stranger"]  # fixtures

PATH = "/v1/openslo"


def document(name: str, service: str, target: float = 0.999) -> dict[str, Any]:
    source = {"type": "seqwatch", "spec": {"sli": "availability"}}
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name},
        "spec": {
            "service": service,
            "indicator": {
                "metadata": {"name": name},
                "spec": {"ratioMetric": {"raw": {"metricSource": source}}},
            },
            "timeWindow": [{"duration": "28d", "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"target": target}],
        },
    }


def names(api: TestClient, model: str = "grid") -> list[str]:
    return [one["name"] for one in api.get(f"/v1/models/{model}/slos").json()["items"]]


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_a_document_becomes_an_slo_of_the_model_of_its_service(
    operator: TestClient, model: str, write: Any, sessions: sessionmaker[Session]
) -> None:
    answer = operator.put(PATH, content=write(document("up", model)))
    assert answer.status_code == 200, answer.text
    [saved] = answer.json()["items"]
    assert (saved["model"], saved["name"], saved["is_new"]) == (model, "up", True)
    found = operator.get(f"/v1/models/{model}/monitors/up").json()
    assert (found["kind"], found["params"]["period"]) == ("burn_rate", "P28D")
    with read_only(sessions) as session:
        query = select(AuditEvent.subject).where(AuditEvent.action == "monitor.add")
        assert f"{model}/up" in session.scalars(query).all()


def test_what_was_written_is_read_back_as_the_slos_that_there_were(
    operator: TestClient, model: str
) -> None:
    params = {"sli": "latency", "objective": 0.95, "calendar": "month", "min_failures": 7}
    operator.put(f"/v1/models/{model}/slos/Tail_latency", json={"params": params})
    answer = operator.get(PATH)
    assert answer.headers["content-type"] == "application/yaml"
    assert len([*yaml.safe_load_all(answer.text)]) == 3
    again = operator.put(PATH, content=answer.content)
    assert again.status_code == 200, again.text
    assert {one["is_new"] for one in again.json()["items"]} == {False}
    assert names(operator) == ["Tail_latency", "availability", "latency"]
    kept = operator.get(f"/v1/models/{model}/monitors/Tail_latency").json()["params"]
    assert {**params, **kept} == kept
    assert operator.get(PATH).text == answer.text


def test_every_fault_is_named_and_nothing_is_saved(operator: TestClient, model: str) -> None:
    documents = [
        document("good", model),
        document("high", model, target=1.0),
        document("twice", model),
        document("twice", model),
        document("lost", "nowhere"),
    ]
    answer = operator.put(PATH, content=yaml.safe_dump_all(documents))
    assert answer.status_code == 422
    for name in ("high", "twice", "lost"):
        assert f"SLO '{name}'" in answer.json()["detail"]
    assert names(operator) == ["availability", "latency"]


def test_a_key_saves_and_reads_the_slos_of_its_model_alone(
    operator: TestClient, model: str, as_key: Clients, sessions: sessionmaker[Session]
) -> None:
    operator.put("/v1/models/other", json={"contract": CONTRACT})
    with read_only(sessions) as session:
        model_id = session.scalar(select(Model.id).where(Model.name == "other"))
    bound = as_key("operate", "read", model_id=model_id)
    both = [document("up", "other"), document("up", model)]
    answer = bound.put(PATH, content=yaml.safe_dump_all(both))
    assert answer.status_code == 422
    assert "SLO 'up' of 'grid'" in answer.json()["detail"]
    assert bound.put(PATH, content=yaml.safe_dump(both[0])).status_code == 200
    read = [one["spec"]["service"] for one in yaml.safe_load_all(bound.get(PATH).text)]
    assert read == ["other"] * 3
    only = as_key("read").put(PATH, content=yaml.safe_dump(both[0]))
    assert only.status_code == 403


@pytest.mark.parametrize(
    ("content", "status", "why"),
    [
        pytest.param("a: &a 1\nb: *a", 422, "body:2: alias *a: aliases are", id="alias"),
        pytest.param("kind: SLO\nkind: SLI", 422, "body:2: kind: is given twice", id="twice"),
        pytest.param("a: [", 422, "body:", id="no YAML"),
        pytest.param("", 422, "no document of kind SLO", id="empty"),
        pytest.param("a: !!python/name:os.system x", 422, "the tag", id="code"),
        pytest.param("# " + "x" * 2**20, 413, "", id="more than 1 MB"),
    ],
)
def test_a_body_that_cannot_be_read_is_an_error(
    operator: TestClient, content: str, status: int, why: str
) -> None:
    answer = operator.put(PATH, content=content)
    assert answer.status_code == status
    assert why in answer.json()["detail"]


def test_the_key_is_checked_before_the_body_is_read(stranger: TestClient) -> None:
    assert stranger.put(PATH, content="x" * 2**21).status_code == 401


def test_an_slo_that_no_document_can_state_is_named_in_a_comment(
    operator: TestClient, model: str
) -> None:
    params = {"method": "time_slices", "slice_width": "PT10S"}
    operator.put(f"/v1/models/{model}/slos/fine", json={"params": params})
    text = operator.get(PATH, params={"model": model}).text
    assert text.startswith("# SLO 'fine' of 'grid' is left out: ")
    assert len([*yaml.safe_load_all(text)]) == 2


def test_rules_of_all_slos_that_are_enabled(operator: TestClient, model: str) -> None:
    operator.put(f"/v1/models/{model}/slos/off", json={"enabled": False})
    answer = operator.get(f"/v1/models/{model}/slo-rules")
    groups = yaml.safe_load(answer.text)["groups"]
    assert {group["name"].rsplit("-", 1)[1] for group in groups} == {"availability", "latency"}
