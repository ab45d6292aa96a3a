from datetime import datetime
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import Conflict, NotFound, RetrainRefused
from db.session import unit_of_work
from db.tables import AuditEvent, Delivery, FlipRow, Model, Rollout, RolloutEvent
from monitors.finding import Outcome
from retrain.rollout import Event, Phase
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.rollouts import retraining
from services.rollouts.retraining import Cause
from tests.services.loop import Loop, at_once
from tests.streams import START


@pytest.fixture
def loop(sessions: sessionmaker[Session]) -> Loop:
    return Loop(sessions, kinds=("accuracy", "input_fault"))


def day(number: float) -> datetime:
    return START + number * DAY


def consider(loop: Loop, at: datetime) -> list[Rollout]:
    """Let an event day end; the rollouts there are then."""
    loop.reach(at)
    with unit_of_work(loop.sessions) as session:
        retraining.consider(session, session.get_one(Model, loop.model_id), at, at)
    return loop.all(Rollout)


def fire(loop: Loop) -> None:
    """Let the accuracy alert fire, on the second day."""
    for number in (1, 2):
        loop.observe("accuracy", Outcome.BREACH, day(number))


def refusals(loop: Loop) -> list[str]:
    rows = sorted(loop.all(AuditEvent), key=lambda row: row.recorded_at)
    return [row.detail["reason"] for row in rows]


def test_an_alert_that_fires_requests_once_with_its_reason(loop: Loop) -> None:
    assert consider(loop, day(1)) == []
    fire(loop)
    [rollout] = consider(loop, day(2))
    assert (rollout.phase, rollout.reason) == (Phase.REQUESTED, "accuracy: accuracy is wrong")
    [flip] = loop.all(FlipRow)
    assert rollout.flip_id == flip.id
    assert (rollout.base_id, rollout.champion_rev) == (loop.versions["v1"], 1)
    # The window of the first breach began with the model's first day.
    assert rollout.onset == START
    assert rollout.not_before == day(14) + 36 * HOUR
    [event] = loop.all(RolloutEvent)
    assert (event.event, event.at) == ("requested", day(2))
    assert len(consider(loop, day(3))) == 1


def test_what_was_refused_today_is_asked_for_tomorrow(loop: Loop) -> None:
    loop.break_input(day(1))
    fire(loop)
    assert consider(loop, day(2)) == []
    loop.observe("input_fault", Outcome.OK, day(3))
    assert len(consider(loop, day(3))) == 1


def test_what_has_recovered_is_not_asked_for(loop: Loop) -> None:
    loop.break_input(day(1))
    fire(loop)
    consider(loop, day(2))
    for number in (3, 4):
        loop.observe("accuracy", Outcome.OK, day(number))
    loop.observe("input_fault", Outcome.OK, day(4))
    assert consider(loop, day(4)) == []


def test_drift_alone_asks_for_nothing(sessions: sessionmaker[Session]) -> None:
    loop = Loop(sessions, kinds=("input_drift",))
    loop.observe("input_drift", Outcome.BREACH, day(1))
    assert consider(loop, day(1)) == []
    assert refusals(loop) == []


def test_a_refusal_is_audited_once_for_each_flip_and_reason(loop: Loop) -> None:
    loop.break_input(day(1))
    fire(loop)
    for number in range(2, 6):
        consider(loop, day(number))
    loop.observe("input_fault", Outcome.OK, day(6))
    for number in range(6, 9):
        consider(loop, day(number))
    assert [reason.partition(" (")[0].partition(":")[0] for reason in refusals(loop)] == [
        "the input is broken",
        "a rollout is under way",
    ]


def test_two_alerts_that_are_refused_do_not_take_turns_in_the_audit(
    sessions: sessionmaker[Session],
) -> None:
    loop = Loop(sessions, kinds=("accuracy", "input_fault"))
    with unit_of_work(sessions) as session:
        plan = MonitorPlan(name="strict", kind="accuracy", params={"objective": 0.1})
        monitor_config.put(session, loop.model_id, plan)
    loop.break_input(day(1))
    fire(loop)
    for number in (1, 2):
        loop.observe("strict", Outcome.BREACH, day(number))
    for number in range(2, 5):
        consider(loop, day(number))
    assert len(refusals(loop)) == 2


def test_a_broken_input_is_not_learned_although_a_person_asks(loop: Loop) -> None:
    loop.break_input(day(1))
    with pytest.raises(RetrainRefused, match="the input is broken: load scaled"):
        loop.request()


def test_an_alert_rests_after_a_rollout_and_a_person_need_not(loop: Loop) -> None:
    fire(loop)
    [rollout] = consider(loop, day(2))
    loop.order(rollout.id, "rollback")
    assert len(consider(loop, day(3))) == 1
    assert refusals(loop) == ["cooling down until 2026-01-14T00:00Z"]
    assert loop.rollout(loop.request()).phase is Phase.REQUESTED
    [asked] = loop.all(Rollout, phase=Phase.REQUESTED)
    loop.order(asked.id, "rollback")
    assert len(consider(loop, day(10) - HOUR)) == 2
    assert len(consider(loop, day(10))) == 3


def test_the_owner_may_leave_retraining_to_people(loop: Loop) -> None:
    loop.policy(retrain_on_accuracy=False)
    fire(loop)
    assert consider(loop, day(2)) == []
    assert refusals(loop) == ["the policy leaves retraining to people"]
    loop.request()


def test_the_same_key_asks_once_even_after_the_rollout_is_over(loop: Loop) -> None:
    first = loop.request("monday")
    assert loop.request("monday") == first
    loop.order(first, "rollback")
    assert loop.request("monday") == first
    assert loop.request("tuesday") != first


def test_a_model_has_one_open_rollout_however_many_ask_at_once(loop: Loop) -> None:
    outcomes = at_once(*(partial(loop.request, f"key {n}") for n in range(4)))
    opened = [one for one in outcomes if isinstance(one, UUID)]
    refused = [one for one in outcomes if isinstance(one, Conflict)]
    assert (len(opened), len(refused)) == (1, 3), outcomes
    assert [row.id for row in loop.all(Rollout)] == opened


def test_one_key_sent_twice_at_once_opens_one_rollout_and_fails_nobody(loop: Loop) -> None:
    outcomes = at_once(*(partial(loop.request, "monday") for _ in range(4)))
    assert [row.id for row in loop.all(Rollout)] == [*set(outcomes)]


def test_a_model_that_logged_nothing_has_nothing_to_learn(loop: Loop) -> None:
    with unit_of_work(loop.sessions) as session:
        session.get_one(Model, loop.model_id).watermark = None
    with pytest.raises(RetrainRefused, match="nothing to learn"):
        loop.request()


def test_an_unknown_model_is_not_found(sessions: sessionmaker[Session]) -> None:
    ask = partial(retraining.request, cause=Cause(reason="try"), idempotency_key="k", now=START)
    with unit_of_work(sessions) as session, pytest.raises(NotFound, match="no model 'grid'"):
        ask(session, "grid")


def test_a_request_notifies_nobody_and_its_end_those_who_follow(loop: Loop) -> None:
    loop.listen("ticket")
    made = loop.request()
    assert loop.all(Delivery) == []
    loop.move(made, Event.START, Event.CRASH)
    [message] = loop.all(Delivery)
    assert message.subject == f"rollout:{made}"
