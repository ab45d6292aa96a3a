import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from db.session import read_only, unit_of_work
from db.tables import Model, RolloutEvent, SessionScore
from retrain.rollout import CANARY_STEPS, Phase
from retrain.verdict import Verdict
from services.rollouts import canary, rollout_transitions
from tests.services.loop import TO_CANARY, Loop
from tests.streams import START

# A session of a day, three hours ahead, labels a day and a half late: known on the third day.
REACH = 3


# Two databases for what they may do differently; arithmetic is the same on both.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Canary(Loop):
    """A challenger in canary since `START`, and sessions that both versions scored."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        super().__init__(sessions)
        self.id = self.request()
        self.move(self.id, *TO_CANARY)

    def score(self, first: int, n_days: int, new: float, n_failed: int = 0) -> None:
        """Store eight sessions a day: error 1 of the champion, `new` of the challenger."""
        with unit_of_work(self.sessions) as session:
            for number in range(first, first + n_days):
                for one in range(8):
                    is_canary = one % 2 == 0
                    session.add(
                        SessionScore(
                            rollout_id=self.id,
                            session_id=f"{number}-{one}",
                            day=(START + number * DAY).date(),
                            served_by="v2" if is_canary else "v1",
                            n_expected=24,
                            n_labelled=24,
                            n_failed=n_failed if is_canary else 0,
                            loss_champion=1.0,
                            loss_challenger=new,
                        )
                    )

    def evaluate(self, day: int) -> Verdict | None:
        """Evaluate the canary when the event day that ends then was evaluated."""
        at = START + day * DAY
        with unit_of_work(self.sessions) as session:
            model = session.get_one(Model, self.model_id)
            model.watermark = model.evaluated_until = at
        return canary.evaluate(self.sessions, self.model_id, at)

    @property
    def state(self) -> tuple[Phase, int]:
        rollout = self.rollout(self.id)
        return rollout.phase, rollout.step


@pytest.fixture
def world(sessions: sessionmaker[Session]) -> Canary:
    return Canary(sessions)


def test_only_days_whose_labels_are_all_due_count(world: Canary) -> None:
    world.score(0, 10, new=0.5)
    for day in range(REACH, REACH + 3):
        found = world.evaluate(day)
        assert found is not None
        assert (found.n_days, found.n_sessions) == (day - REACH + 1, 8 * (day - REACH + 1))


@on_sqlite
def test_a_block_of_evidence_is_the_same_whenever_it_is_evaluated(world: Canary) -> None:
    world.score(0, 1, new=0.5)
    early = world.evaluate(REACH)
    world.score(1, 20, new=0.9)
    assert world.evaluate(REACH) == early


@on_sqlite
def test_before_any_label_there_is_no_verdict_and_nothing_moves(world: Canary) -> None:
    world.score(0, 10, new=0.5)
    found = world.evaluate(1)
    assert found is not None
    assert found.outcome == "no_data"
    assert world.state == (Phase.CANARY, 0)


def test_a_better_challenger_steps_up_day_by_day_and_is_promoted(world: Canary) -> None:
    world.score(0, 60, new=0.5)
    states: list[tuple[Phase, int]] = []
    for day in range(REACH, 40):
        world.evaluate(day)
        if not states or states[-1] != world.state:
            states.append(world.state)
    promoted = (Phase.PROMOTED, len(CANARY_STEPS) - 1)
    assert states == [*((Phase.CANARY, step) for step in range(4)), promoted]
    with read_only(world.sessions) as session:
        champion = rollout_transitions.routing_of(session, world.name).champion
    assert champion is not None
    assert champion.version == "v2"
    events = [row.event for row in world.all(RolloutEvent)]
    assert (events.count("step_up"), events.count("canary_passed")) == (3, 1)
    assert world.evaluate(41) is None


@on_sqlite
def test_each_step_soaks_for_a_day(world: Canary) -> None:
    world.score(0, 60, new=0.5)
    world.evaluate(20)
    assert world.state == (Phase.CANARY, 1)
    world.evaluate(20)
    assert world.state == (Phase.CANARY, 1)
    world.evaluate(21)
    assert world.state == (Phase.CANARY, 2)


@on_sqlite
def test_a_step_needs_as_many_sessions_as_the_owner_asked_for(world: Canary) -> None:
    world.policy(min_canary_sessions=1000)
    world.score(0, 60, new=0.5)
    world.evaluate(30)
    assert world.state == (Phase.CANARY, 0)


def test_a_worse_challenger_is_rolled_back(world: Canary) -> None:
    world.score(0, 60, new=2.0)
    world.evaluate(30)
    assert world.state == (Phase.ROLLED_BACK, 0)
    rollout = world.rollout(world.id)
    assert rollout.verdict is not None
    assert rollout.verdict.outcome == "fail"
    with read_only(world.sessions) as session:
        routing = rollout_transitions.routing_of(session, world.name)
    assert routing.challenger is None
    [event] = [row for row in world.all(RolloutEvent) if row.event == "canary_failed"]
    assert event.cause.startswith("worse")
    assert event.detail["n_days"] == 30 - REACH + 1


@on_sqlite
def test_a_challenger_that_fails_its_requests_is_rolled_back_however_well_it_forecasts(
    world: Canary,
) -> None:
    world.score(0, 30, new=0.5, n_failed=1)
    world.evaluate(30)
    assert world.state[0] is Phase.ROLLED_BACK


@on_sqlite
@pytest.mark.parametrize(
    "new", [pytest.param(1.0, id="it is no better"), pytest.param(None, id="nobody came")]
)
def test_a_canary_without_a_verdict_waits_for_a_person(
    world: Canary, new: float | None
) -> None:
    world.policy(max_canary=20 * DAY)
    if new is not None:
        world.score(0, 60, new=new)
    world.evaluate(19)
    assert world.state == (Phase.CANARY, 0)
    world.evaluate(20)
    assert world.state == (Phase.PAUSED, 0)
    assert world.evaluate(21) is None
    world.order(world.id, "resume")
    assert world.state == (Phase.CANARY, 0)
    world.evaluate(22)
    assert world.state == (Phase.CANARY, 0)


def test_a_model_without_canary_or_without_an_evaluated_day_is_left_alone(
    sessions: sessionmaker[Session],
) -> None:
    loop = Loop(sessions)
    assert canary.evaluate(sessions, loop.model_id, START) is None
    loop.move(loop.request(), *TO_CANARY)
    assert canary.evaluate(sessions, loop.model_id, START) is None
