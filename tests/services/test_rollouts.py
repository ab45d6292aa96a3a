from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from alerts.state import Flip, Reason
from core.durations import DAY
from core.errors import AppError, Conflict, NotFound, StaleChampion, Unprocessable
from core.routing import Routing
from db.session import read_only, unit_of_work
from db.tables import Champion, Delivery, FlipRow, Rollout, RolloutEvent
from monitors.finding import Outcome
from monitors.summaries.streams import INPUT
from monitors.summaries.summary import empty
from retrain.rollout import Event, Phase
from services.models import champion_pointer
from services.rollouts import rollout_transitions, set_champion
from tests import stored
from tests.services.loop import TO_CANARY, Loop, at_once
from tests.streams import START


@pytest.fixture
def loop(sessions: sessionmaker[Session]) -> Loop:
    return Loop(sessions, kinds=("accuracy", "input_drift"))


def routing(loop: Loop) -> Routing:
    with read_only(loop.sessions) as session:
        return rollout_transitions.routing_of(session, loop.name)


def served(loop: Loop) -> tuple[str | None, str | None, int]:
    document = routing(loop)
    return (
        document.champion.version if document.champion else None,
        document.challenger.version if document.challenger else None,
        document.share_bp,
    )


# What the tables of the code decide is the same on every database.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ONLY_V1 = ("v1", None, 0)
CANARY = ("v1", "v2", 500)
ONLY_V2 = ("v2", None, 0)


@on_sqlite
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param((), ONLY_V1, id="requested"),
        pytest.param(TO_CANARY[:1], ONLY_V1, id="training"),
        pytest.param(TO_CANARY[:2], ONLY_V1, id="at the gate"),
        pytest.param(TO_CANARY, CANARY, id="in canary"),
        pytest.param((*TO_CANARY, Event.PAUSE), CANARY, id="paused in canary"),
        pytest.param((*TO_CANARY, Event.PAUSE, Event.RESUME), CANARY, id="resumed"),
        pytest.param((*TO_CANARY, Event.CANARY_STALLED), CANARY, id="stalled"),
        pytest.param((*TO_CANARY, Event.CANARY_PASSED), ONLY_V2, id="promoted"),
        pytest.param((*TO_CANARY, Event.CANARY_FAILED), ONLY_V1, id="rolled back"),
        pytest.param((*TO_CANARY[:2], Event.GATE_FAILED), ONLY_V1, id="rejected"),
        pytest.param(
            (*TO_CANARY[:2], Event.GATE_INCONCLUSIVE), ONLY_V1, id="paused at the gate"
        ),
        pytest.param(
            (*TO_CANARY[:2], Event.GATE_INCONCLUSIVE, Event.RESUME),
            CANARY,
            id="resumed at the gate",
        ),
        pytest.param(
            (*TO_CANARY[:2], Event.GATE_INCONCLUSIVE, Event.PROMOTE),
            ONLY_V2,
            id="promoted at the gate",
        ),
        pytest.param((Event.START, Event.CRASH), ONLY_V1, id="failed"),
    ],
)
def test_who_is_served_in_each_phase(
    loop: Loop, events: tuple[Event, ...], expected: tuple[str, str | None, int]
) -> None:
    loop.move(loop.request(), *events)
    assert served(loop) == expected


def test_the_epoch_rises_when_and_only_when_the_document_changes(loop: Loop) -> None:
    made = loop.request()
    before = routing(loop)
    steps = (*TO_CANARY, Event.PAUSE, Event.RESUME, Event.CANARY_PASSED)
    for event in steps:
        loop.move(made, event)
        after = routing(loop)
        if (after.champion, after.challenger) != (before.champion, before.challenger):
            assert after.epoch > before.epoch, event
        assert after.epoch >= before.epoch
        before = after


def test_the_epoch_rises_with_each_share(loop: Loop) -> None:
    made = loop.request()
    loop.move(made, *TO_CANARY)
    seen = [(routing(loop).epoch, routing(loop).share_bp)]
    for _ in range(3):
        with unit_of_work(loop.sessions) as session:
            rollout_transitions.step_up(
                session, session.get_one(Rollout, made), "better", START
            )
        seen.append((routing(loop).epoch, routing(loop).share_bp))
    assert [share for _, share in seen] == [500, 2500, 5000, 10_000]
    assert len({epoch for epoch, _ in seen}) == 4
    with unit_of_work(loop.sessions) as session, pytest.raises(Conflict, match="last step"):
        rollout_transitions.step_up(session, session.get_one(Rollout, made), "better", START)


def test_a_model_without_champion_is_served_by_nobody_yet(loop: Loop) -> None:
    with unit_of_work(loop.sessions) as session:
        session.delete(session.get_one(Champion, loop.model_id))
    assert served(loop) == (None, None, 0)
    with read_only(loop.sessions) as session, pytest.raises(NotFound, match="no model 'nope'"):
        rollout_transitions.routing_of(session, "nope")


def test_a_first_version_cannot_be_compared_and_is_promoted_by_a_person(loop: Loop) -> None:
    with unit_of_work(loop.sessions) as session:
        session.delete(session.get_one(Champion, loop.model_id))
        day = (START - 100 * DAY).date()
        stored.put(session, INPUT, loop.model_id, day, "v1", empty(2))
    made = loop.request()
    loop.move(made, Event.START, Event.TRAINED, Event.GATE_INCONCLUSIVE)
    with pytest.raises(Conflict, match="no champion to be compared with"):
        loop.order(made, "resume")
    assert served(loop) == (None, None, 0)
    loop.order(made, "promote")
    assert served(loop) == ONLY_V2
    [champion] = loop.all(Champion)
    assert champion.rev == 1


def test_each_order_is_written_down_with_who_gave_it_and_why(loop: Loop) -> None:
    made = loop.request()
    loop.move(made, *TO_CANARY)
    loop.order(made, "pause", "error is high")
    loop.order(made, "rollback")
    rows = sorted(loop.all(RolloutEvent), key=lambda row: row.phase in ("rolled_back",))
    moves = {row.event: (row.phase, row.cause) for row in rows}
    assert moves["pause"] == (Phase.PAUSED, "ann: error is high")
    assert moves["abort"] == (Phase.ROLLED_BACK, "ann")
    assert loop.rollout(made).finished_at == START


@on_sqlite
@pytest.mark.parametrize(
    ("events", "order"),
    [
        pytest.param((), "promote", id="nothing to promote yet"),
        pytest.param((), "pause", id="nothing to pause yet"),
        pytest.param(TO_CANARY, "resume", id="it is not paused"),
        pytest.param((*TO_CANARY, Event.ABORT), "promote", id="it is over"),
        pytest.param((Event.START,), "pause", id="training is not paused"),
    ],
)
def test_an_order_that_does_not_fit_changes_nothing(
    loop: Loop, events: tuple[Event, ...], order: str
) -> None:
    made = loop.request()
    loop.move(made, *events)
    before = (loop.rollout(made).phase, routing(loop))
    with pytest.raises(Conflict, match="cannot happen while"):
        loop.order(made, order)
    assert (loop.rollout(made).phase, routing(loop)) == before


def test_an_order_must_be_known_and_its_rollout_exist(loop: Loop) -> None:
    with pytest.raises(Unprocessable, match="known: pause, resume, promote, rollback"):
        loop.order(loop.request(), "explode")
    with pytest.raises(NotFound, match="no rollout"):
        loop.order(uuid4(), "pause")


def test_of_orders_at_once_one_is_carried_out_and_the_others_are_conflicts(loop: Loop) -> None:
    made = loop.request()
    loop.move(made, *TO_CANARY)
    orders = ("promote", "rollback", "promote", "rollback")
    outcomes = at_once(*(partial(loop.order, made, order) for order in orders))
    lost = [one for one in outcomes if one is not None]
    # The API answers both with 409.
    assert all(isinstance(one, Conflict | StaleDataError) for one in lost), outcomes
    assert len(lost) == 3
    [champion] = loop.all(Champion)
    promoted = loop.rollout(made).phase is Phase.PROMOTED
    assert champion.rev == (2 if promoted else 1)


def test_of_two_who_make_a_champion_from_the_same_revision_one_is_refused(loop: Loop) -> None:
    def promote() -> int:
        with unit_of_work(loop.sessions) as session:
            return set_champion.set_champion(session, loop.model_id, "v2", 1, START)

    outcomes = at_once(promote, promote, promote)
    assert sorted(map(str, outcomes)) == ["2"] + ["the champion is no longer at revision 1"] * 2
    assert all(isinstance(one, int | StaleChampion) for one in outcomes)


def test_a_champion_that_moved_since_the_request_stops_the_promotion(loop: Loop) -> None:
    made = loop.request()
    loop.move(made, *TO_CANARY)
    with unit_of_work(loop.sessions) as session:
        champion_pointer.move(session, loop.model_id, loop.versions["v1"], 1, START)
    with pytest.raises(StaleChampion):
        loop.order(made, "promote")
    assert loop.rollout(made).phase is Phase.CANARY


def test_a_promotion_retires_drift_and_lets_accuracy_go_on(loop: Loop) -> None:
    for number in (1, 2):
        for name in ("accuracy", "input_drift"):
            loop.observe(name, Outcome.BREACH, START + number * DAY)
    made = loop.request()
    loop.move(made, *TO_CANARY)
    loop.order(made, "promote")
    [retired] = [row for row in loop.all(FlipRow) if row.flip is Flip.RESOLVED]
    assert (retired.reason, retired.cause) == (Reason.VERSION_RETIRED, "v2 promoted")


def test_who_follows_hears_of_the_canary_and_of_its_end(loop: Loop) -> None:
    loop.listen("ticket")
    made = loop.request()
    loop.move(made, *TO_CANARY)
    loop.order(made, "promote")
    deliveries = sorted(loop.all(Delivery), key=lambda row: row.seq)
    events = {row.id: row.event for row in loop.all(RolloutEvent)}
    assert [events[row.cause_id] for row in deliveries] == ["gate_passed", "promote"]


def test_a_lost_move_leaves_no_event_and_no_message(loop: Loop) -> None:
    loop.listen("ticket")
    made = loop.request()
    before = len(loop.all(RolloutEvent))
    with pytest.raises(AppError):
        loop.order(made, "resume")
    assert len(loop.all(RolloutEvent)) == before
    assert loop.all(Delivery) == []
