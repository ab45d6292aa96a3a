"""A source that stops, fails or changes its columns is a finding with an alert."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Phase
from db.session import read_only, unit_of_work
from db.tables import Delivery, SourceRow
from monitors.finding import Outcome
from services.access.api_keys import create_key
from services.alerting import dispatch
from tests.api.conftest import app, as_key, model, operator, stranger
from tests.notify.test_deliver import add_channel
from tests.plugins.conftest import uninstalled
from tests.plugins.source_world import (
    DAY,
    HOUR,
    MAPPING,
    NOW,
    TIED,
    Row,
    World,
    append,
    label,
    world,
)

__all__ = ["app", "as_key", "model", "operator", "stranger", "world"]  # fixtures


def test_a_source_that_stops_fires_an_alert_until_rows_come(
    world: World, sessions: sessionmaker[Session]
) -> None:
    add_channel(sessions, "team", "http://127.0.0.1:1/", NOW, "ticket")
    append(world.path, [label(1)])
    world.put(expect_within="PT2H")
    world.pull()
    assert world.check().outcome is Outcome.OK
    world.pull(passed=HOUR)
    assert world.check().outcome is Outcome.OK
    world.wall += 30 * DAY  # nobody pulls: the platform is down, and its source has not stopped
    assert world.check().outcome is Outcome.OK
    world.pull()
    found = world.check()
    assert found.cause == "bills: no row for 30 days; at most 2 h expected"
    assert found.detail["sources"] == [{"source": "bills", "fault": "stopped"}]
    assert world.phase() is Phase.FIRING
    dispatch.flush_all(sessions, world.wall + HOUR)
    with read_only(sessions) as session:
        assert any(b'"bills: no row' in body for body in session.scalars(select(Delivery.body)))
    append(world.path, [label(2)])
    world.pull()
    assert world.check().outcome is Outcome.OK
    assert world.phase() is Phase.QUIET


def test_without_a_stated_time_a_source_is_held_to_its_own_arrivals(world: World) -> None:
    world.put()
    for night in range(12):
        append(world.path, [label(night)])
        assert world.pull(passed=DAY) == 1
        world.pull()
        assert world.check().outcome is Outcome.OK
    world.pull(passed=DAY)
    assert world.check().outcome is Outcome.OK
    world.pull(passed=2 * DAY)
    assert "no row for" in world.check().cause


def test_a_source_that_fails_is_tried_again_and_found_after_three_times(world: World) -> None:
    world.put()
    for n in range(1, 4):
        world.pull()
        now = world.read()
        assert now["failures"] == n
        assert now["error"].startswith("FileNotFoundError: ")
        due = datetime.fromisoformat(now["next_due_at"]) - world.wall
        assert due == timedelta(seconds=2**n)
        assert world.check().outcome is (Outcome.BREACH if n == 3 else Outcome.OK)
    assert "bills: 3 pulls have failed: FileNotFoundError" in world.check().cause
    append(world.path, [label(1)])
    assert world.pull() == 1
    assert (world.read()["failures"], world.check().outcome) == (0, Outcome.OK)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        pytest.param(
            {**MAPPING, "actual.load": "mwh"},
            "no column 'mwh' for actual.load; known: id, at, day, site, mw",
            id="a column that is not there",
        ),
        pytest.param({"entity": "site", "target_at": "day"}, "map actual.load", id="no value"),
        pytest.param({"actual.load": "mw"}, "what is a label about?", id="about nothing"),
        pytest.param({**MAPPING, "target_at": "mw"}, "target_at: expected times", id="type"),
    ],
)
def test_a_mapping_that_does_not_fit_the_columns_is_the_error_of_the_pull(
    world: World, mapping: dict[str, str], why: str
) -> None:
    append(world.path, [label(1)])
    world.put(mapping=mapping)
    assert world.pull() == 0
    assert why in world.read()["error"]
    assert world.read()["watermark"] is None
    world.put()
    assert world.pull() == 1


def folder(world: World, name: str, rows: Sequence[Row]) -> None:
    world.path.mkdir(exist_ok=True)
    append(world.path / f"{name}.jsonl", rows)


def without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize(
    ("then", "what"),
    [
        pytest.param(without(label(5), "mw"), "column mw is missing", id="it is missing"),
        pytest.param(
            label(5, mw="much"), "column mw is text, it was number", id="of another type"
        ),
        pytest.param(
            label(5, mw=[{"x": 1}]), "column mw is list of struct", id="of no type of ours"
        ),
    ],
)
def test_a_mapped_column_that_changes_is_a_finding_and_no_row_is_lost(
    world: World, then: Row, what: str
) -> None:
    folder(world, "a", [label(n) for n in range(4)])
    world.put()
    assert world.pull() == 4
    before = world.read()["watermark"]
    folder(world, "b", [then])
    assert world.pull() == 0
    now = world.read()
    assert what in now["changed"]
    assert (now["watermark"], world.quarantined()) == (before, [])
    found = world.check()
    assert found.outcome is Outcome.BREACH
    assert what in found.cause
    assert found.detail["sources"] == [{"source": "bills", "fault": "columns"}]
    (world.path / "b.jsonl").unlink()
    assert world.pull() == 0
    assert (world.read()["changed"], world.check().outcome) == (None, Outcome.OK)
    folder(world, "b", [label(5)])
    assert world.pull() == 1
    assert (world.read()["changed"], world.check().outcome) == (None, Outcome.OK)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_type_that_can_be_read_goes_on_and_is_a_finding_until_it_is_accepted(
    world: World,
) -> None:
    folder(world, "a", [label(1)])
    world.put()
    world.pull()
    folder(world, "b", [label(2, mw="2.5", note="new", cost=1)])
    assert world.pull() == 1
    found = world.check()
    assert found.cause == "bills: column mw is text, it was number"
    assert found.detail["new_columns"] == {"bills": ["note", "cost"]}
    assert world.read()["new_columns"] == ["note", "cost"]
    answer = world.client.post(f"{world.url}/bills/pull", params={"accept_columns": True})
    assert (answer.status_code, answer.json()["changed"]) == (202, None)
    folder(world, "b", [label(3, mw="3.5", note="new", cost=1)])
    assert world.pull() == 1
    assert (world.read()["columns"]["mw"], world.read()["new_columns"]) == ("text", [])
    assert world.check().outcome is Outcome.OK
    assert world.stored() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_whose_plug_in_was_uninstalled_is_shown_as_unavailable_and_stops_no_other(
    world: World, site: Path
) -> None:
    append(world.path, TIED)
    world.put(config={"path": str(world.path), "password": "hunter2"})
    with unit_of_work(world.sessions) as session:
        gone = session.get_one(SourceRow, world.id())
        assert gone.config["password"] == "hunter2"
    with uninstalled(site):
        assert world.pull() == 0
        now = world.read()
        assert now["unavailable"] == "no such plug-in is installed"
        assert (now["config"], now["error"]) == (
            {},
            "no kind of source 'jsonl'; known: none is installed",
        )
        world.pull()
        world.pull()
        assert "bills: 3 pulls have failed: no kind of source" in world.check().cause
        assert world.client.get("/v1/models/grid/monitors").status_code == 200
    assert world.pull() == len(TIED)
    assert world.read()["unavailable"] is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_its_findings_have_a_page_and_are_on_that_of_the_model(
    world: World, app: FastAPI
) -> None:
    folder(world, "a", [label(1)])
    world.put()
    world.pull()
    folder(world, "b", [without(label(5), "mw")])
    world.pull()
    found = world.check()
    with unit_of_work(world.sessions) as session:
        key = create_key(session, "reader", ["read"], None, NOW)
    host = world.settings.public_url
    browser = TestClient(app, base_url=host, headers={"Origin": host}, follow_redirects=False)
    assert browser.post("/login", data={"key": key}).status_code == 303
    for page in (f"/findings/{found.id}", "/models/grid"):
        answer = browser.get(page)
        assert answer.status_code == 200
        assert "bills: column mw is missing" in answer.text
