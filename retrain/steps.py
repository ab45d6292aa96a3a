"""Steps of the canary: the transition that follows from a verdict."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from core.policy import Policy
from retrain.rollout import CANARY_STEPS
from retrain.verdict import Outcome, Verdict

SOAK = timedelta(days=1)  # event time at each step: every hour of the day is seen once


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Not yet, and why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """Give the challenger its next share."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """Make the challenger the champion."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """Take the challenger out of service."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Wait for a person: silence promotes nobody, and condemns nobody."""

    reason: str


Next: TypeAlias = Stay | StepUp | Promote | RollBack | Stall


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
    if isinstance(following, Stay) and waited >= policy.max_canary:
        return Stall(reason=f"{following.reason}; waited for {policy.max_canary.days} days")
    return following


def _follow(policy: Policy, verdict: Verdict, step: int, waited: timedelta) -> Next:
    match verdict.outcome:
        case Outcome.FAIL:
            return RollBack(reason=verdict.reason)
        case Outcome.NO_DATA | Outcome.CONTINUE:
            return Stay(reason=verdict.reason)
        case Outcome.SUCCESS:
            return _after_success(policy, verdict, step, waited)
        case _:
            assert_never(verdict.outcome)


def _after_success(policy: Policy, verdict: Verdict, step: int, waited: timedelta) -> Next:
    if verdict.n_sessions < policy.min_canary_sessions:
        n = f"{verdict.n_sessions} of {policy.min_canary_sessions} sessions"
        return Stay(reason=f"{verdict.reason}; {n}")
    if waited < SOAK:
        return Stay(reason=f"{verdict.reason}; soaking for {SOAK.days} day")
    if step + 1 < len(CANARY_STEPS):
        return StepUp(reason=verdict.reason)
    return Promote(reason=verdict.reason)
