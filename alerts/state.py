"""State machine of an alert: pending, firing, resolved."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from monitors.finding import Outcome


class Phase(StrEnum):
    """State of an alert."""

    QUIET = "quiet"
    PENDING = "pending"
    FIRING = "firing"


class Flip(StrEnum):
    """A change of an alert that is notified."""

    FIRED = "fired"
    RESOLVED = "resolved"


class Verdict(StrEnum):
    """Verdict of a person on what an alert was."""

    REAL = "real"
    FALSE_ALARM = "false_alarm"
    EXPECTED_CHANGE = "expected_change"


class Reason(StrEnum):
    """Why an alert flipped."""

    BREACHED = "breached"
    RECOVERED = "recovered"
    VERSION_RETIRED = "version_retired"
    DELETED = "deleted"
    SEVERITY_CHANGED = "severity_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """Numbers of consecutive breaches to fire and oks to resolve."""

    breaches_to_fire: int = 2
    oks_to_resolve: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """State of one alert; the streak counts windows of the same outcome."""

    phase: Phase = Phase.QUIET
    streak: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A flip with its reason."""

    flip: Flip
    reason: Reason


def step(
    rule: AlertRule, state: AlertState, outcome: Outcome, at: datetime
) -> tuple[AlertState, Change | None]:
    """Advance the alert by one window that ended at `at` (event time).

    No data is not good news: `NO_DATA` and `ERROR` leave the alert where it
    is (a separate monitor watches for silence).
    """
    if outcome in (Outcome.NO_DATA, Outcome.ERROR):
        return state, None
    breached = outcome is Outcome.BREACH
    match state.phase:
        case Phase.QUIET | Phase.PENDING:
            if not breached:
                return AlertState(), None
            streak = state.streak + 1
            since = state.since or at
            if streak >= rule.breaches_to_fire:
                fired = Change(flip=Flip.FIRED, reason=Reason.BREACHED)
                return AlertState(phase=Phase.FIRING, since=since), fired
            return AlertState(phase=Phase.PENDING, streak=streak, since=since), None
        case Phase.FIRING:
            streak = 0 if breached else state.streak + 1
            if streak >= rule.oks_to_resolve:
                return AlertState(), Change(flip=Flip.RESOLVED, reason=Reason.RECOVERED)
            return replace(state, streak=streak), None
        case _:
            assert_never(state.phase)


def corrected(
    rule: AlertRule, state: AlertState, first: str, now: str, at: datetime
) -> AlertState:
    """Return where a quiet alert stands, after late rows have revised the finding before.

    Late rows flip no alert: the window is over. But the next one counts from what
    the one before it was found to be, not from what it was taken for.

    Parameters
    ----------
    rule, state
        Of the alert.
    first, now
        The outcome at first, and as it is now.
    at
        The end of the window that was revised.
    """
    was_breach, is_breach = first == Outcome.BREACH, now == Outcome.BREACH
    if state.phase is Phase.FIRING or was_breach == is_breach:
        return state
    if was_breach:
        return AlertState()
    after, change = step(rule, state, Outcome.BREACH, at)
    return after if change is None else state


def retire(
    state: AlertState, reason: Reason = Reason.VERSION_RETIRED
) -> tuple[AlertState, Change | None]:
    """Close the alert, because what it measured against no longer serves, or is deleted."""
    if state.phase is not Phase.FIRING:
        return AlertState(), None
    return AlertState(), Change(flip=Flip.RESOLVED, reason=reason)
