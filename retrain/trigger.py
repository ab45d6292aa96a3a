"""Trigger of automatic retraining: a decision with its reason."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from core.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the decision rests on. All times are event time.

    Attributes
    ----------
    at
        The model's clock: its watermark.
    open_rollout
        The phase of the rollout that is under way, or None.
    last_finished
        When the last rollout ended, or None.
    input_fault
        What is wrong with the input right now, or None.
    onset
        Since when the model is wrong; None when nobody claims that it is.
    is_automatic
        Nobody asked: an alert did.
    """

    at: datetime
    open_rollout: str | None
    last_finished: datetime | None
    input_fault: str | None
    onset: datetime | None
    is_automatic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Retrain, no sooner than this (event time): until then the new labels are too few."""

    not_before: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Do not retrain now, and why."""

    reason: str


Decision: TypeAlias = Request | Refuse


def decide(policy: Policy, situation: Situation) -> Decision:
    """Decide on a request to retrain.

    A broken input is mended at the sensor: a model that was trained on it
    would be wrong again on the day of the repair. That, and one rollout at a
    time, holds for people too; the cool-down holds for alerts only.

    Returns
    -------
    Request | Refuse
        A request may have to wait: learning what is new takes labels from
        after the onset, and the gate keeps the last of them for itself.

    Examples
    --------
    >>> from core.durations import DAY
    >>> from datetime import UTC
    >>> day = datetime(2026, 3, 1, tzinfo=UTC)
    >>> calm = dict(open_rollout=None, last_finished=None, input_fault=None)
    >>> policy = Policy(new_labels=14 * DAY, label_delay=DAY)
    >>> decide(policy, Situation(at=day, onset=day, is_automatic=True, **calm))
    Request(not_before=datetime.datetime(2026, 3, 16, 0, 0, tzinfo=datetime.timezone.utc))
    """
    reason = _refusal(policy, situation)
    if reason is not None:
        return Refuse(reason=reason)
    if situation.onset is None:
        return Request(not_before=situation.at)
    enough = situation.onset + policy.new_labels + policy.label_delay
    return Request(not_before=max(situation.at, enough))


def _refusal(policy: Policy, situation: Situation) -> str | None:
    if situation.open_rollout is not None:
        return f"a rollout is under way ({situation.open_rollout})"
    if situation.input_fault is not None:
        return f"the input is broken: {situation.input_fault}"
    if situation.onset is not None and situation.onset > situation.at:
        return f"the onset is after the newest event, {situation.at:%Y-%m-%dT%H:%MZ}"
    if situation.is_automatic:
        if not policy.retrain_on_accuracy:
            return "the policy leaves retraining to people"
        rested = (situation.last_finished or situation.at - policy.cool_down) + policy.cool_down
        if situation.at < rested:
            return f"cooling down until {rested:%Y-%m-%dT%H:%MZ}"
    return None
