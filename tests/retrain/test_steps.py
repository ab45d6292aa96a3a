from datetime import UTC, datetime, timedelta

import pytest

from core.durations import DAY
from core.policy import Policy
from retrain.rollout import CANARY_STEPS
from retrain.steps import SOAK, Move, Next, decide
from retrain.verdict import Outcome, Verdict

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = Policy(min_canary_sessions=20, max_canary=30 * DAY)
LAST = len(CANARY_STEPS) - 1


def _verdict(outcome: Outcome, n_sessions: int = 20) -> Verdict:
    return Verdict(
        outcome=outcome,
        reason="because",
        e_success=1.0,
        e_harm=1.0,
        e_failures=1.0,
        mean=None,
        n_sessions=n_sessions,
        n_days=2,
        n_canary=1,
    )


@pytest.mark.parametrize(
    ("verdict", "step", "waited", "expected"),
    [
        pytest.param(
            _verdict(Outcome.SUCCESS), 0, DAY, Move.STEP_UP, id="better goes one step up"
        ),
        pytest.param(
            _verdict(Outcome.SUCCESS), LAST, DAY, Move.PROMOTE, id="the last is promotion"
        ),
        pytest.param(
            _verdict(Outcome.SUCCESS),
            LAST,
            SOAK - DAY / 24,
            Move.STAY,
            id="each step must soak",
        ),
        pytest.param(
            _verdict(Outcome.SUCCESS, 19),
            0,
            9 * DAY,
            Move.STAY,
            id="too few sessions prove nothing",
        ),
        pytest.param(
            _verdict(Outcome.FAIL, 1), 0, 0 * DAY, Move.ROLL_BACK, id="harm ends it at once"
        ),
        pytest.param(
            _verdict(Outcome.FAIL), LAST, DAY, Move.ROLL_BACK, id="at the last step too"
        ),
        pytest.param(_verdict(Outcome.CONTINUE), 0, 29 * DAY, Move.STAY, id="doubt waits"),
        pytest.param(_verdict(Outcome.NO_DATA, 0), 0, 29 * DAY, Move.STAY, id="silence waits"),
        pytest.param(
            _verdict(Outcome.CONTINUE), 0, 30 * DAY, Move.STALL, id="doubt asks a person"
        ),
        pytest.param(
            _verdict(Outcome.NO_DATA, 0), 0, 30 * DAY, Move.STALL, id="so does silence"
        ),
        pytest.param(
            _verdict(Outcome.SUCCESS, 19),
            0,
            30 * DAY,
            Move.STALL,
            id="nobody came to confirm it",
        ),
        pytest.param(
            _verdict(Outcome.SUCCESS), 0, 30 * DAY, Move.STEP_UP, id="late, but better"
        ),
    ],
)
def test_decide(verdict: Verdict, step: int, waited: timedelta, expected: Move) -> None:
    assert decide(POLICY, verdict, step, NOW - waited, NOW).move is expected


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.SUCCESS}))
@pytest.mark.parametrize("step", range(len(CANARY_STEPS)))
def test_only_success_moves_a_canary_up(outcome: Outcome, step: int) -> None:
    for waited in (0 * DAY, DAY, 365 * DAY):
        following = decide(POLICY, _verdict(outcome, 10_000), step, NOW - waited, NOW)
        assert following.move not in (Move.STEP_UP, Move.PROMOTE)


@pytest.mark.parametrize("outcome", sorted(Outcome))
@pytest.mark.parametrize("n_sessions", [0, 10_000])
def test_no_canary_waits_for_ever(outcome: Outcome, n_sessions: int) -> None:
    following = decide(POLICY, _verdict(outcome, n_sessions), 0, NOW - POLICY.max_canary, NOW)
    assert following.move is not Move.STAY


def test_a_canary_that_waited_too_long_states_for_what() -> None:
    following = decide(POLICY, _verdict(Outcome.SUCCESS, 19), 0, NOW - 31 * DAY, NOW)
    why = "because; 19 of 20 sessions; waited for 30 days"
    assert following == Next(move=Move.STALL, reason=why)
