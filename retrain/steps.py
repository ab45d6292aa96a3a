"""Steps of the canary: the transition that follows from a verdict."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from core.policy import Policy
from retrain.rollout import CANARY_STEPS
from retrain.verdict import Outcome, Verdict

SOAK = timedelta(days=1)  # event time at each step: every hour of the day is seen once


class Move(StrEnum):
    """What happens to a canary."""

    STAY = "stay"  # not yet
    STEP_UP = "step up"  # the challenger gets its next share
    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    STALL = "stall"  # a person decides: silence promotes nobody, and condemns nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What happens to a canary, and why."""

    move: Move
    reason: str


def decide(
    policy: Policy, verdict: Verdict, step: int, step_since: datetime, now: datetime
) -> Next:
    """Decide what to do with a canary.

    Parameters
    ----------
    policy
        Of the model's owner.
    verdict
        Of all sessions so far.
    step, step_since
        Where the canary stands, and since when (event time).
    now
        Event time.
    """
    waited = now - step_since
    following = _follow(policy, verdict, step, waited)
    if following.move is Move.STAY and waited >= policy.max_canary:
        waited_for = f"{following.reason}; waited for {policy.max_canary.days} days"
        return Next(move=Move.STALL, reason=waited_for)
    return following


def _follow(policy: Policy, verdict: Verdict, step: int, waited: timedelta) -> Next:
    match verdict.outcome:
        case Outcome.FAIL:
            return Next(move=Move.ROLL_BACK, reason=verdict.reason)
        case Outcome.NO_DATA | Outcome.CONTINUE:
            return Next(move=Move.STAY, reason=verdict.reason)
        case Outcome.SUCCESS:
            return _after_success(policy, verdict, step, waited)
        case _:
            assert_never(verdict.outcome)


def _after_success(policy: Policy, verdict: Verdict, step: int, waited: timedelta) -> Next:
    if verdict.n_sessions < policy.min_canary_sessions:
        n = f"{verdict.n_sessions} of {policy.min_canary_sessions} sessions"
        return Next(move=Move.STAY, reason=f"{verdict.reason}; {n}")
    if waited < SOAK:
        return Next(move=Move.STAY, reason=f"{verdict.reason}; soaking for {SOAK.days} day")
    if step + 1 < len(CANARY_STEPS):
        return Next(move=Move.STEP_UP, reason=verdict.reason)
    return Next(move=Move.PROMOTE, reason=verdict.reason)
