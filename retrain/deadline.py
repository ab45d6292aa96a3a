"""Deadlines of the phases of a rollout."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.policy import Policy
from retrain.rollout import Event, Phase

BY_EVENT_TIME = (Phase.GATING, Phase.CANARY)  # they wait for labels and sessions
NOT_TAKEN = "no trainer took it: labels stayed away, or no trainer runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """When a phase began, by the model's clock and by the machines'.

    `not_before` is the event time before which a retraining may not begin.
    """

    phase: Phase
    at: datetime
    recorded_at: datetime
    not_before: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """When a phase ends by itself: as soon as either clock reaches its moment.

    Attributes
    ----------
    event_time
        By the model's own clock; None where only machines or people are waited for.
    wall_time
        By the wall clock: a model without traffic has an event clock that stands still.
    event
        What happens to the rollout then.
    reason
        Why.
    """

    event_time: datetime | None
    wall_time: datetime
    event: Event
    reason: str

    def has_passed(self, watermark: datetime | None, now: datetime) -> bool:
        """Return whether one of the clocks has reached it."""
        if now >= self.wall_time:
            return True
        if self.event_time is None or watermark is None:
            return False
        return watermark >= self.event_time


def deadline(policy: Policy, entered: Entered) -> Deadline | None:
    """Return when the phase ends by itself; None of one that nothing leaves.

    Labels and sessions come in event time, so that gate and canary have a deadline in
    both times; training and a person's decision take wall time, however fast a stream is
    replayed.

    Examples
    --------
    >>> from datetime import UTC
    >>> start = datetime(2026, 1, 5, tzinfo=UTC)
    >>> entered = Entered(phase=Phase.GATING, at=start, recorded_at=start, not_before=start)
    >>> str(deadline(Policy(), entered).event_time)
    '2026-02-04 00:00:00+00:00'
    """
    waits = max(entered.not_before - entered.at, timedelta())
    limits = {
        Phase.REQUESTED: (waits + policy.max_training, NOT_TAKEN),
        Phase.TRAINING: (policy.max_training, "training did not end"),
        Phase.GATING: (policy.max_gate, "inconclusive"),
        Phase.CANARY: (policy.max_canary, "no verdict"),
        Phase.PAUSED: (policy.max_paused, "no decision in time"),
    }
    if entered.phase not in limits:
        return None
    longest, reason = limits[entered.phase]
    is_canary = entered.phase is Phase.CANARY
    return Deadline(
        event_time=entered.at + longest if entered.phase in BY_EVENT_TIME else None,
        wall_time=entered.recorded_at + longest,
        event=Event.CANARY_STALLED if is_canary else Event.EXPIRED,
        reason=reason,
    )
