from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Phase
from benchmarks.statements import statements
from core.durations import DAY, HOUR
from core.errors import StaleChampion
from core.window import Window
from db.session import read_only, unit_of_work
from db.tables import Alert, FlipRow, Incident, Model, Monitor, Rollout, Version
from db.tables import Finding as FindingRow
from monitors.finding import Outcome
from services.evaluation import schedule
from services.evaluation.baseline_cache import Baselines, Key
from services.evaluation.evaluate_slot import evaluate_slot
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.rollouts import set_champion
from tests.killed import assert_killed
from tests.services import crashing
from tests.services.loop import POLICY, Loop, at_once
from tests.streams import START

KINDS = ("accuracy", "data_quality", "input_drift", "input_fault")


@pytest.fixture
def loop(sessions: sessionmaker[Session]) -> Loop:
    loop = Loop(sessions, kinds=KINDS)
    loop.serve(12, error=0.9)
    loop.reach(START + 14 * DAY)
    return loop


def day(number: int) -> datetime:
    return START + number * DAY


def evaluate_day(loop: Loop, number: int) -> int:
    """Evaluate one event day."""
    return evaluate_slot(loop.sessions, Baselines(), loop.model_id, day(number), day(14))


def findings(loop: Loop) -> list[tuple[datetime, str, str, float | None]]:
    """Return all that was found, in order."""
    rows = loop.all(FindingRow, model_id=loop.model_id)
    return sorted((row.as_of, row.outcome, row.cause, row.value) for row in rows)


def test_the_statements_of_a_day_do_not_grow_with_its_monitors(
    loop: Loop, engine: Engine
) -> None:
    baselines, numbers = Baselines(), []
    for number in (3, 4, 5):
        with statements(engine) as seen:
            evaluate_slot(loop.sessions, baselines, loop.model_id, day(number), day(14))
        numbers.append(len(seen))
        with unit_of_work(loop.sessions) as session:
            for kind in ("data_quality", "input_fault"):
                plan = MonitorPlan(name=f"{kind} {number}", kind=kind)
                monitor_config.put(session, loop.model_id, plan)
    assert numbers[2] <= numbers[1]


def test_a_day_that_two_workers_evaluate_at_once_is_evaluated_once(loop: Loop) -> None:
    counts = at_once(*(partial(evaluate_day, loop, 3) for _ in range(3)))
    assert sorted(counts) == [0, 0, len(KINDS)]
    assert len(findings(loop)) == len(KINDS)
    assert loop.model().evaluated_until == day(3)


def test_a_day_that_was_evaluated_is_not_reevaluated(loop: Loop) -> None:
    assert evaluate_day(loop, 3) == len(KINDS)
    before = findings(loop)
    assert evaluate_day(loop, 3) == 0
    assert evaluate_day(loop, 2) == 0
    assert findings(loop) == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_dies_before_it_commits_leaves_nothing_and_another_finds_the_same(
    loop: Loop, database_url: str
) -> None:
    twin = Loop(loop.sessions, name="twin", kinds=KINDS)
    twin.serve(12, error=0.9)
    twin.reach(START + 14 * DAY)
    for number in (8, 9):
        evaluate_day(twin, number)
    evaluate_day(loop, 8)
    before = findings(loop)
    point = ["services.rollouts.retraining", "consider", "after"]
    assert_killed(crashing.evaluate, database_url, loop.model_id, day(9), *point)
    assert findings(loop) == before
    assert loop.all(FlipRow, model_id=loop.model_id) == []
    assert loop.all(Rollout, model_id=loop.model_id) == []
    assert evaluate_day(loop, 9) == len(KINDS)
    assert findings(loop) == findings(twin)
    assert len(loop.all(Rollout, model_id=loop.model_id)) == 1


def test_errors_above_the_objective_fire_and_ask_in_one_transaction(loop: Loop) -> None:
    loop.listen("page")
    # The second day's labels are all due on the fourth; one breach is not yet an alert.
    evaluate_day(loop, 9)
    [alert] = [row for row in loop.all(Alert) if row.streak]
    assert (alert.phase, loop.all(Rollout)) == (Phase.PENDING, [])
    evaluate_day(loop, 10)
    [flip] = loop.all(FlipRow)
    assert (flip.at, flip.inhibited) == (day(10), False)
    [rollout] = loop.all(Rollout)
    assert (rollout.flip_id, rollout.onset) == (flip.id, day(0))
    [incident] = loop.all(Incident)
    assert (incident.fired_id, incident.severity) == (flip.id, "page")


def test_only_days_whose_labels_are_due_are_evaluated_for_accuracy(loop: Loop) -> None:
    evaluate_day(loop, 10)
    [accuracy] = [row for row in loop.all(FindingRow) if row.outcome is Outcome.BREACH]
    assert accuracy.window_end == day(8)


def test_an_owner_who_gives_labels_more_time_stops_no_judgement(loop: Loop) -> None:
    """The same days are evaluated twice then, two event days in a row."""
    evaluate_day(loop, 9)
    loop.policy(label_delay=POLICY.label_delay + DAY)
    assert evaluate_day(loop, 10) == len(KINDS)


def test_a_monitor_that_cannot_be_evaluated_is_an_error_and_stops_no_other(loop: Loop) -> None:
    with unit_of_work(loop.sessions) as session:
        plan = MonitorPlan(name="forever", kind="accuracy")
        monitor_config.put(session, loop.model_id, plan)
        of_earlier_version = {"window": "P100000000D"}  # which is refused now
        named = update(Monitor).where(Monitor.name == "forever")
        session.execute(named.values(params=of_earlier_version))
    assert evaluate_day(loop, 10) == len(KINDS) + 1
    failed = [row for row in loop.all(FindingRow) if row.outcome is Outcome.ERROR]
    assert ["must not be more than" in row.cause for row in failed] == [True]


def test_a_monitor_that_is_switched_off_is_not_evaluated(loop: Loop) -> None:
    with unit_of_work(loop.sessions) as session:
        plan = MonitorPlan(name="accuracy", kind="accuracy", enabled=False)
        monitor_config.put(session, loop.model_id, plan)
    assert evaluate_day(loop, 10) == len(KINDS) - 1


class Overtaken(Baselines):
    """While it learns, a person chooses another champion."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop
        self._is_overtaken = False

    def of(self, key: Key, fit: Callable[[], Any]) -> Any:
        if not self._is_overtaken:
            self._is_overtaken = True
            with unit_of_work(self._loop.sessions) as session:
                set_champion.set_champion(session, self._loop.model_id, "v2", 1, day(3))
        return super().of(key, fit)


def test_a_day_is_reevaluated_when_the_champion_changed_meanwhile(
    sessions: sessionmaker[Session],
) -> None:
    loop = Loop(sessions, kinds=("input_drift",))
    loop.reach(day(3))
    with unit_of_work(sessions) as session:
        for version_id in loop.versions.values():
            version = session.get_one(Version, version_id)
            version.reference = (Window(day(-30), day(0)),)
    overtaken = partial(evaluate_slot, sessions, Overtaken(loop), loop.model_id, day(3), day(3))
    with pytest.raises(StaleChampion, match="evaluate it again"):
        overtaken()
    assert findings(loop) == []
    assert overtaken() == 1
    assert [row.version for row in loop.all(FindingRow)] == ["v2"]


def test_people_who_ask_while_days_are_evaluated_wait_for_nobody_for_ever(
    sessions: sessionmaker[Session],
) -> None:
    """Two transactions that hold what the other needs would be ended by the database."""
    for number in range(4):
        loop = Loop(sessions, name=f"model {number}", kinds=("accuracy",))
        loop.serve(12, error=0.9)
        loop.reach(day(14))
        evaluate_day(loop, 9)
        evaluated, asked = at_once(partial(evaluate_day, loop, 10), loop.request)
        assert evaluated == 1
        assert isinstance(asked, UUID) or "under way" in str(asked)
        assert len(loop.all(Rollout, model_id=loop.model_id)) == 1


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [
        pytest.param(day(1), [], id="a day is held open for what comes late"),
        pytest.param(day(1) + HOUR, [1], id="and no longer"),
        pytest.param(day(3) + 5 * HOUR, [1, 2, 3], id="all that closed, in order"),
    ],
)
def test_days_are_evaluated_when_they_have_closed(
    sessions: sessionmaker[Session], watermark: datetime, expected: list[int]
) -> None:
    loop = Loop(sessions)
    loop.serve(1, error=0.1)
    loop.reach(watermark)
    with read_only(sessions) as session:
        due = schedule.due(session)
    assert due == [(str(loop.model_id), day(number)) for number in expected]


def test_what_was_evaluated_is_not_due_again(sessions: sessionmaker[Session]) -> None:
    loop = Loop(sessions)
    loop.reach(day(3) + timedelta(hours=2))
    with unit_of_work(sessions) as session:
        session.get_one(Model, loop.model_id).evaluated_until = day(2)
    with read_only(sessions) as session:
        assert schedule.due(session) == [(str(loop.model_id), day(3))]
