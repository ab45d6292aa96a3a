"""What is evaluated by grain and by the clock: found within minutes, and stored once."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase
from benchmarks.statements import statements
from core.durations import DAY, MINUTE
from db.session import unit_of_work
from db.tables import Model, Monitor
from monitors.finding import Outcome
from services.evaluation import input_history
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from tests.services.live_world import (
    CONTRACT,
    LEARNT,
    Break,
    Values,
    World,
    missing,
    rescaled,
    stuck,
)
from tests.streams import START


@pytest.fixture
def world(sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> World:
    return World(sessions, monkeypatch)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        pytest.param(stuck, ("load", "stuck"), id="stuck"),
        pytest.param(missing, ("wind", "missing"), id="missing"),
        pytest.param(rescaled, ("load", "out_of_range"), id="rescaled"),
    ],
)
@pytest.mark.sqlite_first
def test_a_broken_input_is_found_within_five_grains_and_its_repair_too(
    world: World, broken: Break, named: tuple[str, str]
) -> None:
    world.learn()
    assert world.breaches("input_health") == []
    for minute in range(LEARNT, LEARNT + 8):
        world.send(minute, 1, broken)
        world.check()
    [found] = world.breaches("input_health")
    assert found.as_of <= START + (LEARNT + 5) * MINUTE
    assert [(one["feature"], one["fact"]) for one in found.detail["input_faults"]] == [named]
    assert named[0] in found.cause
    assert world.phase("input_health") is Phase.FIRING

    for minute in range(LEARNT + 8, LEARNT + 14):
        world.send(minute, 1)
        world.check()
    assert world.phase("input_health") is Phase.QUIET
    assert len(world.findings("input_health")) < 12  # of 100 evaluations: changes, and a day's


@pytest.mark.sqlite_first
def test_a_fault_that_goes_on_for_days_does_not_become_the_baseline(world: World) -> None:
    world.learn()
    for first in range(LEARNT, LEARNT + 3 * 1440, 60):
        world.send(first, 60, rescaled)
        world.check()
    assert world.phase("input_health") is Phase.FIRING
    assert world.findings("input_health")[-1].outcome is Outcome.BREACH


def test_refused_rows_are_found_within_a_grain_and_fire_once_a_day(world: World) -> None:
    world.send(0, 120)
    world.check()
    assert world.flips("contract_violations") == []
    world.refuse(4)
    world.send(120, 1)
    world.check()
    [found] = world.breaches("contract_violations")
    assert found.cause == "4 rows did not fit the contract: 4 range"
    assert (found.window_start, found.window_end) == (START, START + 118 * MINUTE)
    for first in range(121, 1441 + 60, 60):  # event day and all
        world.send(first, 60)
        world.check()
    assert world.flips("contract_violations") == [Flip.FIRED]
    evaluate_slot(world.sessions, Baselines(), world.model_id, START + DAY, world.wall)
    world.check()
    assert world.flips("contract_violations") == [Flip.FIRED, Flip.RESOLVED]
    whole = [one for one in world.findings("contract_violations") if one.as_of == START + DAY]
    assert [(one.outcome, one.value) for one in whole] == [(Outcome.BREACH, 4.0)]


def test_where_all_rows_are_refused_and_event_time_stands_they_are_found_by_the_clock(
    world: World,
) -> None:
    world.refuse(4)
    world.check()
    assert world.phase("contract_violations") is Phase.FIRING


def test_a_refused_row_of_a_day_that_event_time_has_not_reached_fires_that_day_alone(
    world: World,
) -> None:
    world.send(0, 120)
    world.wall = START + 30 * DAY
    world.refuse(1, START + 30 * DAY)
    world.check()
    assert world.phase("contract_violations") is Phase.FIRING
    world.wall += DAY
    world.send(120, 60)
    world.check()
    assert world.phase("contract_violations") is Phase.QUIET


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        pytest.param(stuck, "load stuck in 2 of 20 entities", id="stuck"),
        pytest.param(missing, "wind missing in 2 of 20 entities", id="missing"),
    ],
)
def test_devices_of_many_whose_sensor_fails_are_one_finding_that_names_them(
    sessions: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
    broken: Break,
    message: str,
) -> None:
    world = World(sessions, monkeypatch, devices=20)
    for first in range(0, LEARNT, 240):
        world.send(first, 240, every=15)
        world.check()
    began = first + 240
    for minute in range(began, began + 90, 15):
        world.send(minute, 15, broken, of=(7, 13), every=15)
        world.check()
    [found] = world.breaches("entity_health")
    assert found.as_of <= START + (began + 60) * MINUTE
    assert found.cause.startswith(message)
    [fault] = found.detail["entity_faults"]
    assert fault["entities"] == ["device 7", "device 13"]
    assert world.breaches("input_health") == []
    world.send(began + 90, 30, every=15)
    world.check()
    assert world.flips("entity_health") == [Flip.FIRED, Flip.RESOLVED]


def test_a_monitor_that_fails_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> object:
        raise KeyError("load")

    monkeypatch.setattr(input_history, "grains", fails)
    world.send(0, 60)
    world.check()
    [found] = world.findings("input_health")
    assert (found.outcome, found.cause) == (Outcome.ERROR, "KeyError: 'load'")
    assert world.findings("silence") != []


def test_a_grain_costs_few_statements(world: World, sessions: sessionmaker[Session]) -> None:
    world.learn()
    world.send(LEARNT, 1)
    with statements(sessions.kw["bind"]) as seen:
        world.check()
        assert 0 < len(seen) <= 10, seen


@pytest.mark.sqlite_first
def test_short_term_drift_is_evaluated_by_whole_windows_after_a_day(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(sessions, monkeypatch)
    with unit_of_work(sessions) as session:
        plan = MonitorPlan(name="short_term_drift", kind="short_term_drift")
        monitor_config.put(session, world.model_id, plan)
        session.flush()
        of = Monitor.name == "short_term_drift"
        world.monitors["short_term_drift"] = session.scalars(select(Monitor.id).where(of)).one()
    world.learn()

    def scaled(_: int, values: Values) -> Values:
        return values | {"wind": 10 * (values["wind"] or 0.0)}

    for first in range(LEARNT, LEARNT + 90, 10):
        world.send(first, 10, scaled)
        world.check()
    found = world.findings("short_term_drift")
    assert found[0].cause == "warming up: less than a day of input"
    assert found[-1].outcome is Outcome.BREACH
    assert found[-1].cause.startswith("wind: mean ")
    assert {(one.as_of - START) % (30 * MINUTE) for one in found} == {timedelta()}

    with unit_of_work(sessions) as session:
        model = session.get_one(Model, world.model_id)
        features = tuple(replace(one, context=one.name == "wind") for one in CONTRACT.features)
        model.contract = replace(CONTRACT, features=features)
    for first in range(LEARNT + 90, LEARNT + 150, 10):
        world.send(first, 10, scaled)
        world.check()
    assert world.findings("short_term_drift")[-1].outcome is Outcome.OK
