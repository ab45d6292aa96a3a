"""What is evaluated by grain and by the clock: found within minutes, and stored once."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import Kind
from db.queries.log import contract_violations
from db.session import read_only, unit_of_work
from db.tables import Alert, Finding, FlipRow, Model, Monitor, SourceRow
from monitors.finding import Outcome
from services.aggregation.fold import fold_all
from services.evaluation import input_history
from services.evaluation.baseline_cache import Baselines
from services.evaluation.by_clock import live
from services.evaluation.by_clock.live import LiveMonitors
from services.evaluation.evaluate_slot import evaluate_slot
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from tests.streams import START, add_model, keep, prediction, table

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEARNT = 26 * 60  # minutes
SENSORS = ("load", "wind", "valve")
CONTRACT = Contract(
    features=tuple(Feature(name=name) for name in SENSORS),
    targets=("load",),
    step_seconds=60,
    input_length=1,
    horizon=3,
)

Values = dict[str, float | None]
Break = Callable[[int, Values], Values]


class World:
    """A model with a row a minute, and a clock that is turned by hand."""

    def __init__(
        self, sessions: sessionmaker[Session], patch: pytest.MonkeyPatch, devices: int = 0
    ) -> None:
        self.sessions, self.devices = sessions, devices
        self.model_id = add_model(sessions, CONTRACT)
        self.monitors: dict[str, UUID] = {}
        with unit_of_work(sessions) as session:
            session.get_one(Model, self.model_id).created_at = START
            for kind in ("input_health", "entity_health", "silence", "contract_violations"):
                monitor_config.put(session, self.model_id, MonitorPlan(name=kind, kind=kind))
            session.flush()
            self.monitors = {row.name: row.id for row in session.scalars(select(Monitor))}
        self.live = LiveMonitors(sessions)
        self.seconds, self.wall = 0.0, START
        patch.setattr(live, "monotonic", lambda: self.seconds)
        self.chance = np.random.default_rng(7)

    def send(
        self,
        first: int,
        n: int,
        broken: Break | None = None,
        *,
        without: int = -1,
        of: Collection[int] = range(20),
        every: int = 1,
    ) -> None:
        """Send the rows of some minutes: of one device none, of some devices broken ones."""
        rows = []
        for minute in range(first, first + n, every):
            day = 2 * np.pi * minute / 1440
            values: Values = {
                "load": 100 + 20 * np.sin(day) + self.chance.normal(),
                "wind": 5 + np.cos(day) + self.chance.normal(),
                "valve": float(self.chance.random() < 0.5),
            }
            at = START + minute * MINUTE
            for device in range(max(self.devices, 1)):
                if device == without:
                    continue
                own = values
                if broken is not None and device in of:
                    own = broken(minute, values)
                features = {name: [value] for name, value in own.items()}
                named = {"entity": f"device {device}"} if self.devices else {}
                fields: dict[str, Any] = {"features": features, "received_at": at, **named}
                fields["prediction_id"] = f"{minute} {device}"
                rows.append(prediction(at, **fields))
        keep(
            self.sessions,
            self.model_id,
            Kind.PREDICTIONS,
            table(Kind.PREDICTIONS, rows, CONTRACT),
        )
        with unit_of_work(self.sessions) as session:
            newest = START + (first + n - 1) * MINUTE
            session.get_one(Model, self.model_id).last_arrival_at = newest
        fold_all(self.sessions, START + 1000 * DAY)
        self.wall = max(self.wall, newest)

    def score(self, day: datetime, minutes: range, at: datetime) -> None:
        """Send rows about some minutes of a day, all at one moment."""
        features = {name: [1.0] for name in SENSORS}
        rows = [
            prediction(day + minute * MINUTE, features=features, received_at=at)
            for minute in minutes
        ]
        whole = table(Kind.PREDICTIONS, rows, CONTRACT)
        keep(self.sessions, self.model_id, Kind.PREDICTIONS, whole)
        with unit_of_work(self.sessions) as session:
            session.get_one(Model, self.model_id).last_arrival_at = at
        fold_all(self.sessions, at)
        self.wall = max(self.wall, at)
        self.check()

    def learn(self) -> None:
        for first in range(0, LEARNT, 60):
            self.send(first, 60)
            self.check()

    def check(self, *, passed: timedelta = timedelta(seconds=10)) -> int:
        """Let time pass, and evaluate."""
        self.seconds += passed.total_seconds()
        self.wall += passed
        return self.live.run(self.wall)

    def refuse(self, n: int, day: datetime = START) -> None:
        """Refuse rows of an event day."""
        with unit_of_work(self.sessions) as session:
            contract_violations.add(session, {(self.model_id, day.date(), "range"): n})

    def flips(self, monitor: str) -> list[Flip]:
        with read_only(self.sessions) as session:
            of = Alert.monitor_id == self.monitors[monitor]
            rows = select(FlipRow.flip).join(Alert, Alert.id == FlipRow.alert_id).where(of)
            return [*session.scalars(rows.order_by(FlipRow.at))]

    def findings(self, monitor: str) -> list[Finding]:
        with read_only(self.sessions) as session:
            own = Finding.monitor_id == self.monitors[monitor]
            found = [*session.scalars(select(Finding).where(own).order_by(Finding.as_of))]
            session.expunge_all()
            return found

    def breaches(self, monitor: str) -> list[Finding]:
        return [one for one in self.findings(monitor) if one.outcome is Outcome.BREACH]

    def phase(self, monitor: str) -> Phase:
        with read_only(self.sessions) as session:
            own = Alert.monitor_id == self.monitors[monitor]
            return session.scalars(select(Alert.phase).where(own)).one()


@pytest.fixture
def world(sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> World:
    return World(sessions, monkeypatch)


def stuck(_: int, values: Values) -> Values:
    return values | {"load": 101.25}


def missing(_: int, values: Values) -> Values:
    return values | {"wind": None}


def rescaled(_: int, values: Values) -> Values:
    assert values["load"] is not None
    return values | {"load": 10 * values["load"]}


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
def test_a_fault_that_goes_on_for_days_does_not_become_usual(world: World) -> None:
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


def test_arrivals_while_the_clock_was_ahead_are_left_out(world: World) -> None:
    world.learn()
    world.score(START + 400 * DAY, minutes=range(1), at=START + 400 * DAY)
    world.wall = START + LEARNT * MINUTE
    world.live = LiveMonitors(world.sessions)
    for first in range(LEARNT, LEARNT + 180, 60):
        world.send(first, 60)
        world.wall = START + (first + 60) * MINUTE
        world.check()
    for _ in range(6):
        world.check(passed=MINUTE)
    assert world.phase("silence") is Phase.FIRING


def test_the_silence_of_a_model_is_found_by_the_clock_and_ends_with_a_row(world: World) -> None:
    world.learn()
    assert world.breaches("silence") == []
    n = 0
    while not world.breaches("silence"):
        world.check(passed=MINUTE)
        n += 1
    assert 2 < n <= 5
    assert world.phase("silence") is Phase.FIRING
    for _ in range(30):
        assert world.check(passed=MINUTE) == 0  # it is stored once
    world.send(LEARNT + 40, 1)
    world.check()
    assert world.phase("silence") is Phase.QUIET


def test_predictions_that_are_pulled_are_silent_between_two_pulls(world: World) -> None:
    world.learn()
    with unit_of_work(world.sessions) as session:
        source = SourceRow(model_id=world.model_id, name="s", kind="k", config={}, mapping={})
        source.stream, source.enabled, source.every_seconds = Kind.PREDICTIONS, True, 900.0
        source.created_at = source.next_due_at = START
        session.add(source)
    for _ in range(16):
        world.check(passed=MINUTE)
    assert world.breaches("silence") == []
    for _ in range(5):
        world.check(passed=MINUTE)
    assert world.phase("silence") is Phase.FIRING


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rows_that_come_once_a_night_are_silent_by_day_and_missed_after_two(
    world: World,
) -> None:
    for night in range(8):
        end = START + (night + 1) * DAY
        for part in range(5):  # a job of some minutes scores the whole day before
            world.score(end - DAY, minutes=range(part, 1440, 60), at=end + part * MINUTE)
        for _ in range(23):
            world.check(passed=HOUR)
    assert {one.outcome for one in world.findings("silence")[-2:]} == {Outcome.OK}
    assert world.breaches("silence") == []
    for _ in range(26):
        world.check(passed=HOUR)
    assert world.phase("silence") is Phase.FIRING


def test_a_clock_set_forward_and_a_platform_that_was_down_are_no_silence(
    world: World, sessions: sessionmaker[Session]
) -> None:
    world.learn()
    world.wall += 40 * DAY
    world.check()
    world.live = LiveMonitors(sessions)  # another process
    world.check()
    assert world.breaches("silence") == []


def test_a_restart_ends_no_silence(world: World, sessions: sessionmaker[Session]) -> None:
    world.learn()
    for _ in range(6):
        world.check(passed=MINUTE)
    assert world.phase("silence") is Phase.FIRING
    world.live = LiveMonitors(sessions)
    world.check()
    assert world.phase("silence") is Phase.FIRING
    for _ in range(6):
        world.check(passed=MINUTE)
    assert world.phase("silence") is Phase.FIRING
    world.send(LEARNT + 20, 1)
    world.check()
    assert world.phase("silence") is Phase.QUIET


def test_silence_is_found_and_ends_after_the_clock_was_set_back(world: World) -> None:
    world.learn()
    world.wall -= HOUR
    for _ in range(6):
        world.check(passed=MINUTE)
    assert world.phase("silence") is Phase.FIRING
    world.wall -= 2 * HOUR
    world.send(LEARNT + 10, 1)
    world.wall -= 3 * HOUR
    world.check()
    assert world.phase("silence") is Phase.QUIET


def test_one_silent_device_of_many_is_named(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(sessions, monkeypatch, devices=20)
    for first in range(0, 180, 60):
        world.send(first, 60)
        world.check()
    for minute in range(180, 186):
        world.send(minute, 1, without=13)
        world.check()
    [found] = world.breaches("silence")
    assert "1 of 20 entities silent: device 13" in found.cause
    assert [one["entity"] for one in found.detail["silent_entities"]] == ["device 13"]
    world.send(186, 1)
    world.check()
    assert world.findings("silence")[-1].outcome is Outcome.OK


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        pytest.param(stuck, "load stuck in 2 of 20 entities", id="stuck"),
        pytest.param(missing, "wind missing in 2 of 20 entities", id="missing"),
    ],
)
def test_devices_of_many_whose_sensor_fails_are_one_finding_that_names_them(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch, broken: Break, said: str
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
    assert found.cause.startswith(said)
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
    seen: list[str] = []

    def note(*given: Any) -> None:
        seen.append(given[2])

    event.listen(sessions.kw["bind"], "before_cursor_execute", note)
    world.check()
    event.remove(sessions.kw["bind"], "before_cursor_execute", note)
    assert len(seen) <= 10, seen


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
