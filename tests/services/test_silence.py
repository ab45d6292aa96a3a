"""Silence: found by the clock, and ended by a row."""

import pytest
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Phase
from core.durations import DAY, HOUR, MINUTE
from core.schema.rows import Kind
from db.session import unit_of_work
from db.tables import SourceRow
from monitors.finding import Outcome
from services.evaluation.by_clock.live import LiveMonitors
from tests.services.live_world import LEARNT, World
from tests.streams import START


@pytest.fixture
def world(sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> World:
    return World(sessions, monkeypatch)


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
        source.stream, source.enabled, source.every = Kind.PREDICTIONS, True, 15 * MINUTE
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
