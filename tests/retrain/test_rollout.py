from collections.abc import Iterable

import pytest

from core.errors import Conflict
from db.tables import Rollout
from retrain.rollout import CANARY_STEPS, OPEN, TRANSITIONS, Event, Phase, advance

FINAL = set(Phase) - OPEN


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
        (Phase.PAUSED, Event.PROMOTE),
    ]


def test_nothing_leaves_a_pause_without_a_person() -> None:
    ways_out = {event for phase, event in TRANSITIONS if phase is Phase.PAUSED}
    assert ways_out == {Event.RESUME, Event.PROMOTE, Event.ABORT}


def test_nobody_is_promoted_without_having_passed_the_gate_or_a_person() -> None:
    ways = {Event.GATE_PASSED, Event.FIRST_PASSED, Event.RESUME, Event.PROMOTE}
    assert Phase.PROMOTED not in _reachable(Phase.REQUESTED, without=ways)


def test_the_final_phases_are_those_that_say_how_it_ended() -> None:
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
