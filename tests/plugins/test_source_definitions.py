"""Sources are defined, listed, changed and deleted through the API."""

from typing import Any

import pytest
from sqlalchemy import select

from api.server.examples import BODIES
from db.session import read_only
from db.tables import Model, Run, SourceRow
from services.sources import definitions
from services.sources.pull import Puller
from tests.api.conftest import Clients, app, as_key, model, operator, stranger
from tests.plugins.source_world import MAPPING, NOW, TIED, World, append, values, world

__all__ = ["app", "as_key", "model", "operator", "stranger", "world"]  # fixtures


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param({"kind": "sql"}, "no kind of source 'sql'; known: jsonl", id="kind"),
        pytest.param({"config": {}}, "path", id="nothing"),
        pytest.param({"config": {"path": "x"}}, "path: must be absolute", id="value"),
        pytest.param({"config": {"path": "/x", "table": "y"}}, "no table; known", id="field"),
        pytest.param({"config": {"path": 1}}, "str", id="type"),
        pytest.param({"stream": "events"}, "stream", id="stream"),
        pytest.param({"mapping": {"value": "mw"}}, "no field 'value'; known: ", id="target"),
        pytest.param({"mapping": {"at": "mw"}}, "no field 'at'; known: ", id="other stream"),
        pytest.param({"mapping": {"actual.load": []}}, "actual.load", id="no column"),
        pytest.param(
            {"mapping": {"actual.load": ""}}, "mapped to no column", id="empty column"
        ),
        pytest.param({"mapping": {"entity": ["a", "b"]}}, "entity is one value", id="many"),
        pytest.param({"version": "v1"}, "version: labels have no", id="version"),
        pytest.param({"timezone": "Mars"}, "no time zone 'Mars'", id="zone"),
        pytest.param({"every": "PT1S"}, "every: expected PT5S to", id="often"),
        pytest.param({"every": "-PT1S"}, "every", id="never"),
        pytest.param({"expect_within": "PT30S"}, "expect_within", id="soon"),
        pytest.param({"watermark": 7}, "watermark", id="unknown"),
    ],
)
def test_a_definition_that_is_none_is_refused(
    world: World, body: dict[str, Any], why: str
) -> None:
    good = {"kind": "jsonl", "config": {"path": "/x"}, "stream": "labels", "mapping": MAPPING}
    answer = world.client.put(f"{world.url}/bills", json={**good, "every": "PT1M", **body})
    assert answer.status_code == 422
    assert why in answer.text
    assert world.client.get(world.url).json()["items"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_example_of_the_interface_is_accepted(world: World) -> None:
    answer = world.client.put(f"{world.url}/meters", json=BODIES["put_source"])
    assert answer.status_code == 201


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_definitions_are_listed_changed_under_a_precondition_and_deleted(
    world: World, as_key: Clients
) -> None:
    append(world.path, TIED)
    secret = {"path": str(world.path), "password": "hunter2"}
    world.put(config=secret)
    world.put("more", enabled=False)
    listed = world.client.get(world.url)
    assert [one["name"] for one in listed.json()["items"]] == ["bills", "more"]
    assert "hunter2" not in listed.text
    assert listed.json()["items"][1]["next_due_at"] is None
    answer = world.client.get(f"{world.url}/bills")
    assert "password" not in answer.json()["config"]
    tag = {"If-Match": answer.headers["ETag"]}
    world.pull()
    body: dict[str, Any] = {"kind": "jsonl", "config": {"path": str(world.path)}}
    body |= {"stream": "labels", "mapping": MAPPING, "every": "PT90S"}
    changed = world.client.put(f"{world.url}/bills", json=body, headers=tag)
    assert (changed.status_code, changed.json()["rows"]) == (200, len(TIED))
    with read_only(world.sessions) as session:
        assert session.get_one(SourceRow, world.id()).config["password"] == "hunter2"
    assert world.client.delete(f"{world.url}/bills", headers=tag).status_code == 412
    other = world.client.put(f"{world.url}/bills", json=body | {"stream": "predictions"})
    assert other.status_code == 422  # a label's field in it
    other = world.client.put(
        f"{world.url}/bills", json=body | {"stream": "predictions", "mapping": {}}
    )
    assert other.status_code == 409
    reader = as_key("read")
    assert reader.delete(f"{world.url}/bills").status_code == 403
    assert reader.get(world.url).status_code == 200
    assert as_key("ingest", "read").post(f"{world.url}/bills/pull").status_code == 403
    assert world.client.post(f"{world.url}/none/pull").status_code == 404
    assert world.client.delete(f"{world.url}/bills").status_code == 204
    assert world.client.get(f"{world.url}/bills").status_code == 404
    assert world.stored() == values(TIED)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_first_source_of_a_model_adds_its_monitor(world: World) -> None:
    def monitors() -> list[str]:
        listed = world.client.get("/v1/models/grid/monitors?limit=100").json()["items"]
        return [one["kind"] for one in listed if one["name"] == "source"]

    assert monitors() == []
    world.put()
    assert monitors() == ["source"]
    assert world.client.delete("/v1/models/grid/monitors/source").status_code == 204
    world.put("more")
    assert monitors() == []


def test_a_model_is_deleted_with_its_sources(world: World, as_key: Clients) -> None:
    append(world.path, TIED)
    world.put()
    world.client.post(f"{world.url}/bills/pull")
    source_id = world.id()
    assert as_key("admin").delete("/v1/models/grid").status_code == 204
    with read_only(world.sessions) as session:
        assert session.scalars(select(SourceRow)).all() == []
        assert session.scalars(select(Run.id).where(Run.job == definitions.JOB)).all() == []
        assert session.scalars(select(Model)).all() == []
    assert Puller(world.settings, world.sessions, lambda: NOW).run(source_id) == 0
