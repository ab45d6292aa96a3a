from copy import deepcopy
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.statements import statements
from db.session import read_only
from db.tables import AuditEvent, Model
from tests.api.conftest import CONTRACT, Clients
from tests.problems import error_of


def with_change(**change: Any) -> dict[str, Any]:
    return {**deepcopy(CONTRACT), **change}


def test_a_registered_model_can_be_read(operator: TestClient) -> None:
    put = operator.put("/v1/models/grid", json={"contract": CONTRACT, "description": "Load."})
    read = operator.get("/v1/models/grid")
    assert put.status_code == 201
    assert read.json() == put.json()
    assert read.json()["description"] == "Load."
    assert read.json()["champion"] is None
    assert read.json()["backlog_rows"] == 0


def test_models_have_a_group_and_tags_by_which_they_are_listed(operator: TestClient) -> None:
    labels = {"group": "energy", "tags": ["hourly", "berlin", "berlin"]}
    first = operator.put("/v1/models/a", json={"contract": CONTRACT, **labels})
    operator.put("/v1/models/b", json={"contract": CONTRACT, "tags": ["hourly"]})
    assert (first.json()["group"], first.json()["tags"]) == ("energy", ["berlin", "hourly"])

    def names(**only: str) -> list[str]:
        found = operator.get("/v1/models", params=only).json()["items"]
        return [model["name"] for model in found]

    assert names(tag="hourly") == ["a", "b"]
    assert names(tag="hourly", group="energy") == ["a"]
    assert names(tag="hour") == []
    gone = operator.put("/v1/models/a", json={"contract": CONTRACT})
    assert gone.json()["tags"] == []
    assert gone.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("labels", "why"),
    [
        pytest.param({"tags": ["a b"]}, "tag name 'a b'", id="a space"),
        pytest.param({"tags": [""]}, "tag name ''", id="an empty tag"),
        pytest.param({"group": "/"}, "group name '/'", id="a slash"),
        pytest.param({"tags": [f"t{i}" for i in range(21)]}, "at most 20", id="too many"),
    ],
)
def test_a_tag_or_group_that_is_no_name_is_refused(
    operator: TestClient, labels: dict[str, Any], why: str
) -> None:
    answer = operator.put("/v1/models/a", json={"contract": CONTRACT, **labels})
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


def test_registering_the_same_again_changes_nothing(operator: TestClient, model: str) -> None:
    before = operator.get(f"/v1/models/{model}").json()
    again = operator.put(f"/v1/models/{model}", json={"contract": CONTRACT})
    assert again.status_code == 200
    assert again.json() == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"input_length": 168}, 409, id="another look-back is another version"),
        pytest.param(
            {"features": [*CONTRACT["features"], {"name": "wind", "optional": True}]},
            200,
            id="an optional feature more",
        ),
        pytest.param(
            {"features": [*CONTRACT["features"], {"name": "wind"}]},
            409,
            id="a required feature more",
        ),
        pytest.param(
            {"features": [{"name": "load", "unit": "MW"}, {"name": "temperature"}]},
            200,
            id="units and longer lists are free",
        ),
        pytest.param(
            {"features": [{"name": "load", "max_length": 3}, CONTRACT["features"][1]]},
            409,
            id="stored rows may be longer than a new bound",
        ),
        pytest.param({"features": [{"name": "load"}]}, 409, id="a feature is gone"),
        pytest.param({"targets": ["load", "price"]}, 409, id="a target more"),
        pytest.param({"horizon": 48}, 409, id="another horizon"),
        pytest.param({"step": "PT15M"}, 409, id="another step"),
        pytest.param({"zone": "Asia/Tokyo"}, 409, id="another time zone"),
        pytest.param({"calendar": {"holidays": ["2026-12-25"]}}, 200, id="a holiday"),
    ],
)
def test_a_contract_may_not_break_stored_rows(
    operator: TestClient, model: str, change: dict[str, Any], status: int
) -> None:
    answer = operator.put(f"/v1/models/{model}", json={"contract": with_change(**change)})
    assert answer.status_code == status, answer.text
    if status == 409:
        assert next(iter(change)) in answer.json()["detail"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("name", "body", "hint"),
    [
        pytest.param("-grid", {"contract": CONTRACT}, "model name", id="name"),
        pytest.param("grid", {}, "contract", id="no contract"),
        pytest.param("grid", {"contract": {}}, "contract", id="empty contract"),
        pytest.param(
            "grid", {"contract": with_change(horizon="long")}, "horizon", id="wrong type"
        ),
        pytest.param("grid", {"contract": CONTRACT, "x": 1}, "unknown x", id="unknown field"),
        pytest.param(
            "grid", {"contract": with_change(zone="Berlin")}, "Europe/Berlin", id="time zone"
        ),
        pytest.param(
            "grid",
            {"contract": CONTRACT, "runbook_url": "javascript:0"},
            "runbook_url",
            id="url",
        ),
    ],
)
def test_a_bad_registration_is_refused_by_name(
    operator: TestClient, name: str, body: dict[str, Any], hint: str
) -> None:
    answer = operator.put(f"/v1/models/{name}", json=body)
    assert answer.status_code == 422
    assert error_of(answer) == "Unprocessable"
    assert hint in answer.json()["detail"]


def test_every_change_names_the_key_that_made_it(
    operator: TestClient, model: str, sessions: sessionmaker[Session]
) -> None:
    operator.put(f"/v1/models/{model}", json={"contract": CONTRACT, "description": "x"})
    with read_only(sessions) as session:
        rows = session.execute(select(AuditEvent.actor, AuditEvent.action, AuditEvent.subject))
        assert {*rows} == {
            ("operate-read-all", "model.register", model),
            ("operate-read-all", "model.update", model),
        }


def test_a_key_for_one_model_sees_that_one_only(
    operator: TestClient, model: str, as_key: Clients, sessions: sessionmaker[Session]
) -> None:
    operator.put("/v1/models/other", json={"contract": CONTRACT})
    with read_only(sessions) as session:
        model_id = session.scalars(select(Model.id).where(Model.name == model)).one()
    assert isinstance(model_id, UUID)
    narrow = as_key("operate", "read", model_id=model_id)
    assert [one["name"] for one in narrow.get("/v1/models").json()["items"]] == [model]
    assert narrow.get(f"/v1/models/{model}").status_code == 200
    put = {"contract": CONTRACT}
    assert narrow.put(f"/v1/models/{model}", json=put).status_code == 200
    foreign = narrow.get("/v1/models/other")
    absent = narrow.get("/v1/models/absent")
    answers = [{**one.json(), "instance": None} for one in (foreign, absent)]
    assert answers[0] == answers[1]
    assert error_of(foreign) == "Forbidden"
    assert narrow.put("/v1/models/new", json=put).status_code == 403


def test_absent_models_are_not_found(operator: TestClient) -> None:
    answer = operator.get("/v1/models/absent")
    assert answer.status_code == 404
    assert (error_of(answer), answer.json()["detail"]) == ("NotFound", "no model 'absent'")


def test_more_models_are_listed_in_as_many_statements(
    operator: TestClient, sessions: sessionmaker[Session]
) -> None:
    numbers = []
    for n_models in (1, 4):
        for i in range(n_models):
            answer = operator.put(f"/v1/models/model-{i}", json={"contract": CONTRACT})
            assert answer.status_code in (200, 201)
        with statements(sessions.kw["bind"]) as seen:
            assert len(operator.get("/v1/models").json()["items"]) == n_models
            numbers.append(len(seen))
    assert numbers[0] == numbers[1] <= 15
