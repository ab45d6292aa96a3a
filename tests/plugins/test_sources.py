"""A source from another distribution works from its definition to its alert, exactly once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Phase
from api.server.examples import BODIES
from cli.main import main
from core.errors import Unprocessable
from core.plugins import Loaded
from core.schema.rows import Kind
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import Alert, Delivery, Finding, Model, Monitor, Quarantine, Run, SourceRow
from jobs.ticker import Ticker
from jobs.wiring import jobs
from jobs.worker import Queue, Worker
from monitors.finding import Outcome
from monitors.registry import NoParams
from services.evaluation.live import LiveMonitors
from services.sources import definitions, pull
from services.sources.pull import Puller
from sources import kind as extension
from sources.kind import SOURCES, Json, Page, SourceKind
from tests.api.conftest import Clients, app, as_key, model, operator, stranger
from tests.notify.test_deliver import add_channel
from tests.plugins.conftest import forget
from tests.streams import waiting_rows

__all__ = ["app", "as_key", "model", "operator", "stranger"]  # fixtures

NOW = datetime(2026, 1, 8, tzinfo=UTC)  # of fixture `now`
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

Row = Mapping[str, Any]


def label(number: int, at: int | None = None, **fields: Any) -> dict[str, Any]:
    """Return a row; those of equal `at` tie."""
    made = {"id": f"r{number:03}", "at": number if at is None else at}
    about = {"day": f"2026-01-02T{number % 24:02}:00:00Z", "site": "s1", "mw": number + 0.5}
    return made | about | fields


def append(path: Path, rows: Sequence[Row]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


# How each kind is given rows, and what its configuration then is.
def in_a_file(folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    append(folder / "rows.jsonl", rows)
    return {"path": str(folder / "rows.jsonl"), "password": "hunter2"}


CASES: dict[str, Callable[[Path, Sequence[Row]], dict[str, Any]]] = {"jsonl": in_a_file}
# Ties within a page, across pages, and of all that a page holds.
TIED = [label(n, at) for n, at in enumerate([1, 1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 6, 6, 6])]


def pages(name: str, config: Mapping[str, Any], after: Json, limit: int) -> list[Page]:
    found: list[Page] = []
    while not found or not found[-1].is_last:
        found.append(extension.pull(name, config, after, limit))
        after = json.loads(extension.written(found[-1].watermark))
    return found


def ids(found: Sequence[Page]) -> list[str]:
    return [row["id"] for page in found for row in page.table.to_pylist()]


@pytest.mark.usefixtures("plugins")
def test_every_kind_is_under_contract() -> None:
    assert set(SOURCES.names()) == set(CASES)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", CASES)
def test_every_configuration_is_checked_survives_json_and_keeps_its_secrets(
    name: str, tmp_path: Path
) -> None:
    kind, config = SOURCES.find(name), CASES[name](tmp_path, TIED)
    stored = kind.stored(config)
    assert kind.stored(json.loads(json.dumps(stored))) == stored
    with pytest.raises(Unprocessable, match="no nonsense; known: "):
        kind.stored({**config, "nonsense": 1})
    with pytest.raises(Unprocessable):
        kind.stored({})
    with pytest.raises(Unprocessable):
        kind.stored(dict.fromkeys(config, 1))
    assert kind.secrets.isdisjoint(kind.public(stored))
    assert "hunter2" not in repr(kind.parsed(stored))


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("name", CASES)
def test_every_kind_gives_each_row_once_whatever_the_size_of_a_page(
    name: str, limit: int, tmp_path: Path
) -> None:
    config = CASES[name](tmp_path, TIED)
    found = pages(name, config, None, limit)
    assert ids(found) == [row["id"] for row in TIED]
    assert all(page.table.num_rows <= limit for page in found)
    again = pages(name, config, None, limit)
    assert [one.watermark for one in again] == [one.watermark for one in found]
    end = json.loads(extension.written(found[-1].watermark))
    [nothing] = pages(name, config, end, limit)
    assert (nothing.table.num_rows, nothing.is_last) == (0, True)
    late = [label(-1, 6), label(99, 6), label(100, 7)]  # ties that come after they were read
    CASES[name](tmp_path, late)
    assert sorted(ids(pages(name, config, end, limit))) == sorted(row["id"] for row in late)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", CASES)
def test_every_kind_raises_where_its_source_is_away(name: str, tmp_path: Path) -> None:
    config = CASES[name](tmp_path, TIED)
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(OSError, match="No such file"):
        extension.pull(name, config, None, 10)


PAGE = Page(table=pa.table({"id": [1]}), watermark=1, is_last=True)


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        pytest.param(None, "no Page", id="nothing"),
        pytest.param(Page(table=[], watermark=1, is_last=True), "no Page", id="no table"),
        pytest.param(
            Page(table=pa.table({"id": [1, 2]}), watermark=1, is_last=True), "2 rows", id="many"
        ),
        pytest.param(
            Page(table=PAGE.table, watermark=NOW, is_last=True),  # type: ignore[arg-type]
            "no plain JSON",
            id="no JSON",
        ),
        pytest.param(
            Page(table=PAGE.table, watermark=float("nan"), is_last=True), "JSON", id="NaN"
        ),
        pytest.param(
            Page(table=PAGE.table, watermark=0, is_last=True), "not moved", id="it stands"
        ),
        pytest.param(
            Page(table=pa.table({}), watermark=0, is_last=False), "not moved", id="no end"
        ),
    ],
)
def test_what_is_no_page_is_refused(
    returned: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = SourceKind(name="bad", question="?", config=NoParams, pull=lambda *_: returned)
    monkeypatch.setitem(SOURCES.__dict__, "_loaded", Loaded(plugins={"bad": bad}))
    with pytest.raises(Unprocessable, match=f"kind of source 'bad': .*{why}"):
        extension.pull("bad", {}, 0, 1)


MAPPING = {"entity": "site", "target_at": "day", "actual.load": "mw"}


class World:
    """A model that pulls labels from a file, and a clock that is turned by hand."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        settings: Settings,
        client: TestClient,
        path: Path,
        model: str,
    ) -> None:
        self.sessions, self.client, self.path = sessions, client, path
        self.wall = NOW
        self.settings = settings.model_copy(update={"max_rows": 3})
        self.url = f"/v1/models/{model}/sources"

    def put(self, name: str = "bills", **more: Any) -> dict[str, Any]:
        body = {"kind": "jsonl", "stream": "labels", "mapping": MAPPING, "every_seconds": 60}
        body["config"] = {"path": str(self.path)}
        answer = self.client.put(f"{self.url}/{name}", json=body | more)
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def read(self, name: str = "bills") -> dict[str, Any]:
        return dict(self.client.get(f"{self.url}/{name}").json())

    def id(self, name: str = "bills") -> UUID:
        with read_only(self.sessions) as session:
            return session.scalars(select(SourceRow.id).where(SourceRow.name == name)).one()

    def pull(self, name: str = "bills", passed: timedelta = MINUTE) -> int:
        self.wall += passed
        return Puller(self.settings, self.sessions, lambda: self.wall).run(self.id(name))

    def stored(self) -> list[float]:
        rows = waiting_rows(self.sessions, Kind.LABELS)
        return sorted(row["actual"]["load"][0] for row in rows)

    def quarantined(self) -> list[tuple[str, str]]:
        with read_only(self.sessions) as session:
            rows = session.scalars(select(Quarantine).order_by(Quarantine.id)).all()
            return [(row.field, row.reason) for row in rows]

    def check(self) -> Finding:
        """Evaluate the monitor, and return its newest finding."""
        LiveMonitors(self.sessions).run(self.wall)
        with read_only(self.sessions) as session:
            own = select(Finding).join(Monitor, Monitor.id == Finding.monitor_id)
            own = own.where(Monitor.name == "source").order_by(Finding.as_of.desc())
            finding = session.scalars(own.limit(1)).one()
            session.expunge_all()
            return finding

    def phase(self) -> Phase:
        with read_only(self.sessions) as session:
            own = select(Alert.phase).join(Monitor, Monitor.id == Alert.monitor_id)
            return session.scalars(own.where(Monitor.name == "source")).one()


@pytest.fixture
def world(
    plugins: None,
    sessions: sessionmaker[Session],
    settings: Settings,
    operator: TestClient,
    model: str,
    tmp_path: Path,
) -> World:
    return World(sessions, settings, operator, tmp_path / "rows.jsonl", model)


def values(rows: Sequence[Row]) -> list[float]:
    return sorted(row["mw"] for row in rows)


def test_rows_are_pulled_once_by_a_worker_on_a_schedule(
    world: World, sessions: sessionmaker[Session]
) -> None:
    append(world.path, TIED)
    made = world.put()
    assert (made["rows"], made["watermark"], made["unavailable"]) == (0, None, None)
    ticker = Ticker(world.settings, sessions)
    worker = Worker(world.settings, sessions, jobs(world.settings, sessions), Queue.PULL)
    ticker.ask_for_pulls()
    ticker.ask_for_pulls()
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
    ticker.ask_for_pulls()  # it is not due
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
    paths = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(site)])
    died = subprocess.run(
        [
            *(sys.executable, "-m", "tests.plugins.mortal", database_url),
            *(str(world.id()), module, function, when),
        ],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
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


def test_a_source_that_stops_fires_an_alert_until_rows_come(
    world: World, sessions: sessionmaker[Session]
) -> None:
    add_channel(sessions, "team", "http://127.0.0.1:1/", NOW, "ticket")
    append(world.path, [label(1)])
    world.put(expect_within_seconds=7200)
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
        pytest.param({"timezone": "Mars"}, "no time zone 'Mars'", id="zone"),
        pytest.param({"every_seconds": 1}, "every_seconds: expected 5 to", id="often"),
        pytest.param({"every_seconds": -1}, "every_seconds", id="never"),
        pytest.param({"expect_within_seconds": 30}, "expect_within_seconds", id="soon"),
        pytest.param({"watermark": 7}, "watermark", id="unknown"),
    ],
)
def test_a_definition_that_is_none_is_refused(
    world: World, body: dict[str, Any], why: str
) -> None:
    good = {"kind": "jsonl", "config": {"path": "/x"}, "stream": "labels", "mapping": MAPPING}
    answer = world.client.put(f"{world.url}/bills", json={**good, "every_seconds": 60, **body})
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
    body |= {"stream": "labels", "mapping": MAPPING, "every_seconds": 90}
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
def test_one_whose_plug_in_was_uninstalled_is_shown_as_unavailable_and_stops_no_other(
    world: World, site: Path
) -> None:
    append(world.path, TIED)
    world.put(config={"path": str(world.path), "password": "hunter2"})
    with unit_of_work(world.sessions) as session:
        gone = session.get_one(SourceRow, world.id())
        assert gone.config["password"] == "hunter2"
    sys.path.remove(str(site))
    forget()
    try:
        assert world.pull() == 0
        now = world.read()
        assert now["unavailable"] == "no such plug-in is installed"
        assert (now["config"], now["error"]) == ({}, "no kind of source 'jsonl'; known: ")
        world.pull()
        world.pull()
        assert "bills: 3 pulls have failed: no kind of source" in world.check().cause
        assert world.client.get("/v1/models/grid/monitors").status_code == 200
    finally:
        sys.path.append(str(site))
        forget()
    assert world.pull() == len(TIED)
    assert world.read()["unavailable"] is None


@pytest.mark.usefixtures("plugins")
def test_broken_and_clashing_plug_ins_are_listed_and_stop_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "jsonl Reads files of JSON lines." in printed
    assert "warehouse UNAVAILABLE: broken-source: ModuleNotFoundError" in printed
    assert "jsonl (zz-another-jsonl) UNAVAILABLE: the name 'jsonl' is in use" in printed
    with pytest.raises(Unprocessable, match="'warehouse' is unavailable"):
        SOURCES.find("warehouse")
