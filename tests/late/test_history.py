"""Imported past days: evaluated without notifications, and replayed at will."""

from pathlib import Path

import msgspec
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.durations import DAY
from core.settings import Settings
from core.window import Window
from db.session import unit_of_work
from db.tables import Alert, Champion, Channel, FlipRow, Model, Rollout, Scope
from jobs.wiring import jobs
from jobs.worker import Worker
from monitors.finding import Outcome
from notify.signing import new_secret
from services.access.api_keys import create_key
from services.evaluation.backtest import Backtest, BacktestRequest, run_backtest
from services.models.monitor_config import MonitorPlan
from tests.late.world import KINDS, World, hours
from tests.streams import START

pytestmark = pytest.mark.sqlite_first

N_REFERENCE, N_SERVED = 24, 9
END = START + (N_REFERENCE + N_SERVED) * DAY


def past(sessions: sessionmaker[Session], folder: Path) -> World:
    world = World(sessions, folder, "grid", N_REFERENCE)
    with unit_of_work(sessions) as session:
        session.add(
            Channel(
                name="on call",
                config={"url": "http://127.0.0.1/", "secret": new_secret()},
                severities=["page", "ticket"],
                created_at=START,
            )
        )
    world.send(row for rows in hours(N_REFERENCE, N_SERVED) for row in rows)
    return world


def test_history_is_evaluated_without_notifications(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    live = past(sessions, tmp_path / "lake")
    live.evaluate_slot()
    assert live.rows(FlipRow) != []

    world = World(sessions, tmp_path / "lake", "history", N_REFERENCE)
    with unit_of_work(sessions) as session:
        session.get_one(Model, world.model_id).history_until = END
    world.send(row for rows in hours(N_REFERENCE, N_SERVED) for row in rows)
    world.evaluate_slot()

    assert world.findings() == live.findings()
    for table in (Alert, FlipRow, Rollout):
        assert world.rows(table) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_live_after_history_fires(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = past(sessions, tmp_path)
    with unit_of_work(sessions) as session:
        session.get_one(Model, world.model_id).history_until = START + 30 * DAY
    world.evaluate_slot()
    fired = [flip.at for flip in world.rows(FlipRow)]
    assert fired != []
    assert min(fired) > START + 30 * DAY


def test_a_replay_finds_what_was_found_and_writes_nothing(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = past(sessions, tmp_path)
    world.evaluate_slot()
    before = world.findings()
    found = run_backtest(sessions, world.model_id, BacktestRequest())

    assert (found.since, found.until) == (START + N_REFERENCE * DAY, END - DAY)
    assert {record.monitor for record in found.records} == {*KINDS}
    for record in found.records:
        rows = [s for (name, _), s in before.items() if name == record.monitor]
        assert record.n_breaches == sum(s[0] == Outcome.BREACH for s in rows)
        assert record.n_without == sum(s[0] == Outcome.NO_DATA for s in rows)
    fired = {flip.at for flip in world.rows(FlipRow) if flip.flip == "fired"}
    assert {one.since for one in found.episodes} <= {
        at - back * DAY for at in fired for back in (0, 1)
    }
    assert len(found.episodes) == len([f for f in world.rows(FlipRow) if f.flip == "fired"])
    assert world.findings() == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_other_monitors_and_another_reference_may_be_tried(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = past(sessions, tmp_path)
    world.work()
    plan = MonitorPlan(name="strict", kind="accuracy", params={"objective": 0.01})
    asked = BacktestRequest(
        since=START,
        until=END - 2 * DAY,
        reference=(Window(START, START + 26 * DAY),),
        plans=(plan,),
    )
    found = run_backtest(sessions, world.model_id, asked)
    [record] = found.records
    assert (found.since, found.n_days) == (START + 26 * DAY, 5)
    assert record.n_breaches == record.n_evaluated > 0
    first_days = BacktestRequest(until=END, reference_length=2 * DAY, plans=(plan,))
    assert run_backtest(sessions, world.model_id, first_days).n_days == N_SERVED - 3
    [episode] = found.episodes
    assert (episode.monitor, episode.until) == ("strict", None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_reference_a_replay_reports_what_is_missing(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = past(sessions, tmp_path)
    world.work()
    with unit_of_work(sessions) as session:
        session.execute(delete(Champion).where(Champion.model_id == world.model_id))
    found = {
        one.monitor: one
        for one in run_backtest(sessions, world.model_id, BacktestRequest()).records
    }
    assert found["input_drift"].why_without == "the champion has no reference"
    assert found["input_fault"].n_evaluated == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_history_and_backtest_over_http(
    settings: Settings, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = past(sessions, tmp_path)
    world.work()
    with unit_of_work(sessions) as session:
        key = create_key(session, "k", {Scope.OPERATE, Scope.READ}, None, START)
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(create_app(settings, sessions), headers=headers) as client:
        until = {"until": END.isoformat().replace("+00:00", "Z")}
        nothing_waits = {"waiting_rows": 0, "waiting_days": 0}
        answer = client.get("/v1/models/grid/history").json()
        assert answer == {"until": None} | nothing_waits
        assert client.put("/v1/models/grid/history", json=until).json() == until | nothing_waits
        assert world.model().history_until == END
        future = {"until": (utcnow() + DAY).isoformat()}
        assert client.put("/v1/models/grid/history", json=future).status_code == 422
        naive = client.put("/v1/models/grid/history", json={"until": "2026-01-01T00:00:00"})
        assert naive.status_code == 422
        asked = client.post("/v1/models/grid/backtests", json={})
        assert asked.status_code == 202, asked.text
        assert Worker(settings, sessions, jobs(settings, sessions)).once()
        read = client.get(asked.headers["Location"]).json()
        assert read["state"] == "done", read
        assert {record["kind"] for record in read["result"]["records"]} == {*KINDS}
        found = run_backtest(sessions, world.model_id, BacktestRequest())
        assert msgspec.convert(read["result"], Backtest) == found
        shown = client.get("/v1/models/grid/findings").json()["items"]
        assert shown == []
