"""No rollout stays open for ever: each phase ends by itself, with its reason."""

from datetime import datetime

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from db.session import read_only, unit_of_work
from db.tables import Delivery, Rollout, RolloutEvent
from retrain.gate import Rule, compare
from retrain.rollout import Event, Phase
from services.read_models.overview import rollouts as pages
from services.rollouts import deadlines, retraining
from services.rollouts.retraining import Cause
from tests.services.loop import TO_CANARY, Loop
from tests.streams import START

AT_THE_GATE = (Event.START, Event.TRAINED, Event.GATE_INCONCLUSIVE)


@pytest.fixture
def loop(sessions: sessionmaker[Session]) -> Loop:
    return Loop(sessions)


def ended(loop: Loop) -> tuple[Phase, str]:
    [rollout] = loop.all(Rollout)
    events = [
        row for row in loop.all(RolloutEvent) if row.event in ("expired", "canary_stalled")
    ]
    return rollout.phase, events[-1].cause if events else ""


@pytest.mark.parametrize(
    ("events", "days", "expected"),
    [
        pytest.param(
            (),
            7,
            (Phase.FAILED, "no trainer took it: labels stayed away, or no trainer runs"),
            id="no trainer",
        ),
        pytest.param(
            TO_CANARY[:1], 7, (Phase.FAILED, "training did not end"), id="training hangs"
        ),
        pytest.param(
            AT_THE_GATE, 30, (Phase.REJECTED, "inconclusive"), id="an inconclusive gate"
        ),
        pytest.param(
            TO_CANARY, 60, (Phase.PAUSED, "no verdict"), id="a canary without traffic"
        ),
        pytest.param(
            (*TO_CANARY, Event.PAUSE),
            30,
            (Phase.ROLLED_BACK, "no decision in time"),
            id="a pause",
        ),
    ],
)
def test_a_phase_ends_by_itself_though_nothing_is_logged(
    loop: Loop, events: tuple[Event, ...], days: int, expected: tuple[Phase, str]
) -> None:
    loop.move(loop.request(), *events)
    assert deadlines.expire(loop.sessions, START + days * DAY - DAY / 24) == 0
    assert deadlines.expire(loop.sessions, START + days * DAY) == 1
    assert ended(loop) == expected
    assert deadlines.expire(loop.sessions, START + days * DAY) == 0


def test_a_stream_that_is_replayed_reaches_its_deadline_by_its_own_clock(loop: Loop) -> None:
    loop.move(loop.request(), *AT_THE_GATE)
    loop.reach(START + 29 * DAY)
    assert deadlines.expire(loop.sessions, START) == 0
    loop.reach(START + 30 * DAY)
    assert deadlines.expire(loop.sessions, START) == 1
    assert ended(loop) == (Phase.REJECTED, "inconclusive")


def test_the_page_shows_the_deadline_and_the_policy_moves_it(loop: Loop) -> None:
    made = loop.request()
    loop.move(made, *AT_THE_GATE)
    loop.policy(max_gate=10 * DAY)

    def shown() -> tuple[datetime | None, datetime]:
        with read_only(loop.sessions) as session:
            until = pages.rollout(session, made, None).deadline
            assert until is not None
            return until.event_time, until.wall_time

    assert shown() == (START + 10 * DAY, START + 10 * DAY)


def test_after_an_inconclusive_gate_the_cool_down_starts_and_followers_are_notified(
    loop: Loop,
) -> None:
    loop.listen("ticket")
    made = loop.request()
    loop.move(made, *AT_THE_GATE)
    assert loop.all(Delivery) == []
    with unit_of_work(loop.sessions) as session:
        old = np.array([[1.0], [1.1], [0.9], [1.0], [1.2]])
        drawn = np.array([[0.9], [1.1], [0.8], [1.1], [1.1]])
        session.get_one(Rollout, made).gate = found = compare(old, drawn, Rule())
    loop.reach(START + 30 * DAY)
    deadlines.expire(loop.sessions, START, loop.model_id)
    assert ended(loop)[1] == f"inconclusive: {found.reason}"
    assert len(loop.all(Delivery)) == 1
    with unit_of_work(loop.sessions) as session:
        model = loop.model()
        situation = retraining._situation(session, model, Cause(reason="an alert"))
    assert situation.last_finished == START + 30 * DAY
