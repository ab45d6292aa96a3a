from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from core.durations import CENTURY, DAY
from core.errors import Conflict
from core.policy import Policy
from db.tables import Rollout
from retrain.deadline import Entered, deadline
from retrain.rollout import CANARY_STEPS, OPEN, TRANSITIONS, Event, Phase, advance

FINAL = set(Phase) - OPEN
START = datetime(2026, 1, 5, tzinfo=UTC)


def _ways_into(phase: Phase) -> list[tuple[Phase, Event]]:
    return sorted(way for way, to in TRANSITIONS.items() if to is phase)


def _reachable(start: Phase, without: Iterable[Event]) -> set[Phase]:
    found, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for (phase, event), to in TRANSITIONS.items():
            if phase is here and event not in without and to not in found:
                found.add(to)
                todo.append(to)
    return found


def test_only_evidence_or_a_person_promotes() -> None:
    assert _ways_into(Phase.PROMOTED) == [
        (Phase.CANARY, Event.CANARY_PASSED),
        (Phase.CANARY, Event.PROMOTE),
        (Phase.GATING, Event.FIRST_PASSED),
        (Phase.GATING, Event.PROMOTE),
        (Phase.PAUSED, Event.PROMOTE),
    ]


def test_nothing_leaves_a_pause_without_a_person_but_its_deadline() -> None:
    ways_out = {event for phase, event in TRANSITIONS if phase is Phase.PAUSED}
    assert ways_out == {Event.RESUME, Event.PROMOTE, Event.ABORT, Event.EXPIRED}
    assert TRANSITIONS[Phase.PAUSED, Event.EXPIRED] is Phase.ROLLED_BACK


@pytest.mark.parametrize("phase", sorted(OPEN))
def test_every_open_phase_has_a_deadline_that_promotes_nobody(phase: Phase) -> None:
    entered = Entered(phase=phase, at=START, recorded_at=START, not_before=START)
    until = deadline(Policy(), entered)
    assert until is not None
    assert advance(phase, until.event) is not Phase.PROMOTED
    assert not until.has_passed(START, START)
    assert until.has_passed(START, START + CENTURY)


@pytest.mark.parametrize("phase", sorted(FINAL))
def test_what_is_over_has_no_deadline(phase: Phase) -> None:
    entered = Entered(phase=phase, at=START, recorded_at=START, not_before=START)
    assert deadline(Policy(), entered) is None


def test_a_request_that_waits_for_labels_is_given_the_time_that_they_take() -> None:
    later = START + timedelta(days=15)
    entered = Entered(phase=Phase.REQUESTED, at=START, recorded_at=START, not_before=later)
    until = deadline(Policy(max_training=DAY), entered)
    assert until is not None
    assert (until.event_time, until.wall_time) == (None, later + timedelta(days=1))


def test_nobody_is_promoted_without_having_passed_the_gate_or_a_person() -> None:
    ways = {Event.GATE_PASSED, Event.FIRST_PASSED, Event.RESUME, Event.PROMOTE}
    assert Phase.PROMOTED not in _reachable(Phase.REQUESTED, without=ways)


def test_the_final_phases_are_those_that_name_an_end() -> None:
    assert {Phase.PROMOTED, Phase.REJECTED, Phase.ROLLED_BACK, Phase.FAILED} == FINAL


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_database_lets_a_model_have_one_open_rollout(dialect: str) -> None:
    indexes = Rollout.metadata.tables["rollout"].indexes
    (index,) = (i for i in indexes if i.name == "uq_rollout_one_open_per_model")
    closed = ", ".join(f"'{phase}'" for phase in Phase if phase in FINAL)
    assert str(index.dialect_options[dialect]["where"]) == f"phase NOT IN ({closed})"


@pytest.mark.parametrize("phase", sorted(OPEN))
def test_a_person_may_abort_every_open_phase(phase: Phase) -> None:
    assert advance(phase, Event.ABORT) in FINAL - {Phase.PROMOTED}


@pytest.mark.parametrize("phase", sorted(Phase))
def test_every_phase_can_be_reached(phase: Phase) -> None:
    assert phase in _reachable(Phase.REQUESTED, without=())


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        pytest.param(Phase.CANARY, Phase.ROLLED_BACK, id="a canary has served sessions"),
        pytest.param(Phase.PAUSED, Phase.ROLLED_BACK, id="so may one that is paused"),
        pytest.param(Phase.GATING, Phase.REJECTED, id="a trained one has served none"),
        pytest.param(Phase.TRAINING, Phase.FAILED, id="an untrained one was never there"),
    ],
)
def test_an_abort_is_named_by_what_it_ends(phase: Phase, expected: Phase) -> None:
    assert advance(phase, Event.ABORT) is expected


def test_an_impossible_event_is_refused() -> None:
    with pytest.raises(Conflict, match="canary_passed cannot happen while training"):
        advance(Phase.TRAINING, Event.CANARY_PASSED)


def test_the_canary_grows_to_everybody() -> None:
    assert list(CANARY_STEPS) == sorted(set(CANARY_STEPS))
    assert CANARY_STEPS[-1] == 10_000
