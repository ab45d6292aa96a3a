"""State machine of a rollout, as a table."""

from enum import StrEnum

from core.errors import Conflict

# Share of new sessions that each step of the canary gives to the challenger, in basis points.
CANARY_STEPS = (500, 2500, 5000, 10_000)


class Phase(StrEnum):
    """Where a rollout stands."""

    REQUESTED = "requested"
    TRAINING = "training"
    GATING = "gating"
    CANARY = "canary"
    PAUSED = "paused"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


class Event(StrEnum):
    """What may happen to it."""

    START = "start"
    TRAINED = "trained"
    GATE_PASSED = "gate_passed"
    FIRST_PASSED = "first_passed"
    GATE_FAILED = "gate_failed"
    GATE_INCONCLUSIVE = "gate_inconclusive"
    CANARY_PASSED = "canary_passed"
    CANARY_FAILED = "canary_failed"
    CANARY_STALLED = "canary_stalled"
    EXPIRED = "expired"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    CRASH = "crash"


TRANSITIONS: dict[tuple[Phase, Event], Phase] = {
    (Phase.REQUESTED, Event.START): Phase.TRAINING,
    (Phase.REQUESTED, Event.ABORT): Phase.FAILED,
    (Phase.REQUESTED, Event.EXPIRED): Phase.FAILED,
    (Phase.REQUESTED, Event.CRASH): Phase.FAILED,  # its trainer refused it
    (Phase.TRAINING, Event.TRAINED): Phase.GATING,
    (Phase.TRAINING, Event.CRASH): Phase.FAILED,
    (Phase.TRAINING, Event.ABORT): Phase.FAILED,
    (Phase.TRAINING, Event.EXPIRED): Phase.FAILED,
    (Phase.GATING, Event.GATE_PASSED): Phase.CANARY,
    (Phase.GATING, Event.FIRST_PASSED): Phase.PROMOTED,  # there is no champion to lose against
    (Phase.GATING, Event.GATE_FAILED): Phase.REJECTED,
    # It is tested again as labels come in, until its deadline.
    (Phase.GATING, Event.GATE_INCONCLUSIVE): Phase.GATING,
    (Phase.GATING, Event.EXPIRED): Phase.REJECTED,
    (Phase.GATING, Event.RESUME): Phase.CANARY,
    (Phase.GATING, Event.PROMOTE): Phase.PROMOTED,
    (Phase.GATING, Event.CRASH): Phase.FAILED,
    (Phase.GATING, Event.ABORT): Phase.REJECTED,
    (Phase.CANARY, Event.CANARY_PASSED): Phase.PROMOTED,
    (Phase.CANARY, Event.CANARY_FAILED): Phase.ROLLED_BACK,
    (Phase.CANARY, Event.CANARY_STALLED): Phase.PAUSED,
    (Phase.CANARY, Event.PAUSE): Phase.PAUSED,
    (Phase.CANARY, Event.PROMOTE): Phase.PROMOTED,
    (Phase.CANARY, Event.ABORT): Phase.ROLLED_BACK,
    (Phase.PAUSED, Event.RESUME): Phase.CANARY,
    (Phase.PAUSED, Event.PROMOTE): Phase.PROMOTED,
    (Phase.PAUSED, Event.ABORT): Phase.ROLLED_BACK,
    (Phase.PAUSED, Event.EXPIRED): Phase.ROLLED_BACK,
}

# Nothing leaves the others.
OPEN = frozenset({phase for phase, _ in TRANSITIONS})


def advance(phase: Phase, event: Event) -> Phase:
    """Return the next phase.

    Raises
    ------
    Conflict
        If `event` cannot happen in `phase`.

    Examples
    --------
    >>> str(advance(Phase.CANARY, Event.CANARY_PASSED))
    'promoted'
    """
    try:
        return TRANSITIONS[phase, event]
    except KeyError:
        raise Conflict(f"{event} cannot happen while {phase}") from None
