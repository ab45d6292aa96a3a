"""A source from another distribution is pulled, from a file to the inbox, exactly once."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.plugins import SECRET, Configured
from core.schema.contract import Contract
from core.schema.rows import Kind
from db.queries.queue.runs import MAX_ATTEMPTS
from db.session import read_only, unit_of_work
from db.tables import Model, Quarantine, Run
from jobs.ticker import Ticker, pulls
from jobs.wiring import jobs
from jobs.worker import Queue, Worker
from monitors.finding import Outcome
from services.sources import pull
from services.sources.pull import Puller
from sources import kind as extension
from sources.kind import Page
from tests.api.conftest import CONTRACT, app, as_key, model, operator, stranger
from tests.killed import assert_killed
from tests.plugins import crashing
from tests.plugins.source_world import MINUTE, NOW, TIED, World, append, label, values, world
from tests.services.loop import at_once
from tests.streams import waiting_rows

__all__ = ["app", "as_key", "model", "operator", "stranger", "world"]  # fixtures


def test_rows_are_pulled_once_by_a_worker_on_a_schedule(
    world: World, sessions: sessionmaker[Session]
) -> None:
    append(world.path, TIED)
    made = world.put()
    assert (made["rows"], made["watermark"], made["unavailable"]) == (0, None, None)
    ticker = Ticker(world.settings, sessions)
    worker = Worker(world.settings, sessions, jobs(world.settings, sessions), Queue.PULL)
    ticker.ask(pulls)
    ticker.ask(pulls)
    assert worker.once()
    assert not worker.once()
    assert world.stored() == values(TIED)
    assert world.client.post(f"{world.url}/bills/pull").status_code == 202
    assert worker.once()
    late = [label(50, 6), label(51, 8)]  # one ties with what was read
    append(world.path, late)
    assert world.client.post(f"{world.url}/bills/pull").status_code == 202
    assert worker.once()
    assert world.stored() == values([*TIED, *late])
    now = world.read()
    assert (now["rows"], now["quarantined"], now["failures"]) == (16, 0, 0)
    assert now["columns"]["mw"] == "number"
    assert now["watermark"] == '{"ids": ["r051"], "value": 8}'
    ticker.ask(pulls)  # it is not due
    assert not worker.once()


def test_columns_become_fields_in_the_zone_and_for_the_version_that_are_stated(
    world: World, sessions: sessionmaker[Session]
) -> None:
    row = {"id": "a", "at": 1, "made": "2026-01-02 12:00:00", "load": 1, "t": [2, None]}
    append(world.path, [row | {"h1": 3, "h2": "4.5", "other": 9, "site": 17}])
    mapping = {
        "at": "made",
        "prediction_id": "id",
        "entity": "site",
        "features.load": "load",
        "features.temperature": "t",
        "output.load": ["h1", "h2", *["h2"] * 22],
    }
    options = {"version": "v1", "timezone": "Europe/Berlin", "stream": "predictions"}
    made = world.put("served", mapping=mapping, **options)
    assert (made["mapping"]["at"], made["timezone"]) == (["made"], "Europe/Berlin")
    assert world.pull("served") == 1
    [kept] = waiting_rows(sessions, Kind.PREDICTIONS)
    assert kept["at"] == datetime(2026, 1, 2, 11, tzinfo=UTC)
    assert kept["features"] == {"load": [1.0], "temperature": [2.0, None]}
    assert kept["output"]["load"] == [3.0, *[4.5] * 23]
    assert (kept["prediction_id"], kept["version"], kept["entity"]) == ("a", "v1", "17")


def test_rows_that_break_the_contract_or_cannot_be_read_are_in_quarantine(
    world: World,
) -> None:
    rows = [
        label(1),
        label(2, mw="broken"),
        label(3, day="yesterday"),
        label(4, site=None),
        label(5, day="2026-01-03T00:00:00"),
        label(6, mw=None),  # not yet known: no label
        label(7),
    ]
    append(world.path, rows)
    world.put()
    assert world.pull() == 2
    assert world.stored() == [1.5, 7.5]
    reasons = dict(world.quarantined())
    assert reasons["actual.load"] == "expected double"
    assert reasons["target_at"] in ("not an ISO 8601 time", "no zone, and other times have one")
    now = world.read()
    assert (now["rows"], now["quarantined"], now["error"]) == (2, 4, None)
    assert world.check().outcome is Outcome.OK


POINTS = [
    pytest.param("services.sources.pull", "pull", "before", id="before a page is read"),
    pytest.param("services.sources.pull", "pull", "after", id="before it is checked"),
    pytest.param("db.queries.sources", "write", "after", id="before its rows are stored"),
    pytest.param("services.sources.pull", "store", "after", id="before its commit"),
    pytest.param("db.queries.sources", "count", "after", id="before its commit, counted"),
]


@pytest.mark.parametrize(("module", "function", "when"), POINTS)
def test_every_row_counts_once_wherever_a_worker_was_killed(
    world: World,
    database_url: str,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    function: str,
    when: str,
) -> None:
    append(world.path, TIED)
    world.put()
    with monkeypatch.context() as patch:
        patch.setattr(pull, "MAX_PAGES", 1)
        assert world.pull() == 3
    assert_killed(crashing.pull, database_url, world.id(), module, function, when)
    assert world.pull() == len(TIED) - 3
    assert world.stored() == values(TIED)
    assert world.read()["rows"] == len(TIED)


def test_of_two_workers_with_the_same_page_one_stores_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(world.path, TIED)
    world.put()
    plain = extension.pull

    def while_another_pulls(*given: Any) -> Page:
        page = plain(*given)
        monkeypatch.setattr(pull, "pull", plain)
        assert world.pull() == len(TIED)
        return page

    monkeypatch.setattr(pull, "pull", while_another_pulls)
    assert world.pull() == 0
    assert world.stored() == values(TIED)


def test_two_workers_at_once_store_each_row_once(world: World) -> None:
    rows = [label(n, n // 3) for n in range(40)]
    append(world.path, rows)
    world.put()
    pulled = at_once(*[world.pull] * 3)
    assert sum(pulled) == len(rows), pulled
    assert world.stored() == values(rows)
    assert world.read()["rows"] == len(rows)


def test_a_change_in_the_middle_of_a_scheduled_pull_lets_it_be_made_again(
    world: World, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(world.path, TIED)
    world.put()
    ticker = Ticker(world.settings, sessions)
    worker = Worker(world.settings, sessions, jobs(world.settings, sessions), Queue.PULL)
    plain = extension.pull

    def while_columns_are_accepted(*given: Any) -> Page:
        monkeypatch.setattr(pull, "pull", plain)
        world.client.post(f"{world.url}/bills/pull", params={"accept_columns": True})
        return plain(*given)

    monkeypatch.setattr(pull, "pull", while_columns_are_accepted)
    ticker.ask(pulls)
    assert worker.once()
    assert world.stored() == []
    ticker.ask(pulls)
    assert worker.once()
    assert world.stored() == values(TIED)


def test_a_source_that_is_defined_anew_repeats_no_batch(world: World) -> None:
    append(world.path, TIED)
    world.put()
    assert world.pull() == len(TIED)
    assert world.client.delete(f"{world.url}/bills").status_code == 204
    world.put()
    assert world.pull() == 0
    assert world.stored() == values(TIED)
    rows = [json.loads(line) for line in world.path.read_text("utf-8").splitlines()]
    world.path.unlink()
    append(world.path, [row | {"mw": 1} for row in rows])  # corrected in place, too late
    world.client.delete(f"{world.url}/bills")
    world.put()
    assert world.pull() == 0
    assert world.stored() == values(TIED)


def test_a_change_while_a_page_is_read_lets_the_page_be_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(world.path, TIED)
    world.put()
    plain = extension.pull

    def while_it_changes(*given: Any) -> Page:
        monkeypatch.setattr(pull, "pull", plain)
        world.put(entity="everywhere")
        return plain(*given)

    monkeypatch.setattr(pull, "pull", while_it_changes)
    assert world.pull() == 0
    assert world.pull() == len(TIED)
    assert {row["entity"] for row in waiting_rows(world.sessions)} == {"everywhere"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_source_waits_while_the_inbox_is_full(world: World) -> None:
    append(world.path, TIED)
    world.put()
    full = world.settings.model_copy(update={"max_backlog_bytes": -1})
    assert Puller(full, world.sessions, lambda: world.wall).run(world.id()) == 0
    now = world.read()
    assert (now["failures"], now["error"]) == (0, None)
    assert datetime.fromisoformat(now["next_due_at"]) == NOW + pull.WAIT_FOR_ROOM
    assert world.pull() == len(TIED)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_source_whose_worker_dies_again_and_again_waits(
    world: World, sessions: sessionmaker[Session]
) -> None:
    append(world.path, TIED)
    world.put()
    world.client.post(f"{world.url}/bills/pull")
    with unit_of_work(sessions) as session:
        session.execute(update(Run).values(attempts=MAX_ATTEMPTS))
    worker = Worker(world.settings, sessions, jobs(world.settings, sessions), Queue.PULL)
    before = utcnow()
    assert worker.once()
    now = world.read()
    assert now["error"] == "WorkerDied: attempt 5 ended with its process"
    assert now["failures"] == 1
    assert datetime.fromisoformat(now["next_due_at"]) >= before + MINUTE


def test_an_error_of_a_source_quotes_nothing_of_a_model_with_sensitive_values(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Page:
        raise ValueError("Ann has 7")

    contract = {**CONTRACT, "sensitive_fields": {"entity": "hash"}}
    world.put()
    monkeypatch.setattr(pull, "pull", fails)
    world.pull()
    assert world.read()["error"] == "ValueError: Ann has 7"
    with unit_of_work(world.sessions) as session:
        session.scalars(select(Model)).one().contract = Contract.from_json(contract)
    world.pull()
    assert world.read()["error"] == "ValueError"


def test_pulled_rows_are_masked_as_sent_ones_are(world: World) -> None:
    contract = {**CONTRACT, "sensitive_fields": {"entity": "hash"}}
    assert world.client.put("/v1/models/ward", json={"contract": contract}).status_code == 201
    world.url = "/v1/models/ward/sources"
    append(world.path, [label(1, site="Ann"), label(2, site="Ann", mw="Ann")])
    world.put()
    assert world.pull() == 1
    [kept] = waiting_rows(world.sessions)
    assert len(kept["entity"]) > 10
    with read_only(world.sessions) as session:
        [bad] = session.scalars(select(Quarantine)).all()
        assert (bad.field, bad.reason) == ("actual.load", "expected double")
        assert "Ann" not in json.dumps([kept, bad.content], default=str)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "mapping",
    [
        pytest.param({"session_id": "site", "step_index": "at"}, id="session and step"),
        pytest.param(
            {"entity": "site", "target_at": "day", "target_end": "end"}, id="an interval"
        ),
    ],
)
def test_labels_are_pulled_by_every_key_that_the_task_has(
    world: World, mapping: dict[str, str]
) -> None:
    contract = {**CONTRACT, "task": "regression", "horizon": 1}
    answer = world.client.put("/v1/models/plug", json={"contract": contract})
    assert answer.status_code == 201, answer.text
    append(world.path, [label(1, end="2026-01-02T02:00:00Z")])
    named = {**mapping, "actual.load": "mw"}
    other = {"kind": "jsonl", "config": {"path": "/x"}, "stream": "labels", "mapping": named}
    refused = world.client.put(f"{world.url}/bills", json=other)
    assert (refused.status_code, "no field" in refused.text) == (422, True)
    world.url = "/v1/models/plug/sources"
    world.put(mapping=named)
    assert world.pull() == 1, world.read()["error"]
    [kept] = waiting_rows(world.sessions)
    assert {name for name, value in kept.items() if value is not None} >= mapping.keys()


def test_a_secret_is_in_no_error() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        url: str
        password: str = field(metadata=SECRET, repr=False)

    kind = Configured(name="x", question="x", config=Config)
    config = kind.parsed({"url": "db", "password": "hunter2"})
    text = kind.redacted("cannot reach postgres://u:hunter2@db", config)
    assert text == "cannot reach postgres://u:(secret)@db"
