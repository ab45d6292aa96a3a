"""Rollouts: events, measurements and available commands."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.stored import from_attributes
from db.queries.read import overview
from db.tables import Model, Rollout
from retrain.deadline import Deadline
from retrain.gate import Gate
from retrain.rollout import CANARY_STEPS, OPEN, TRANSITIONS, Phase
from retrain.verdict import Rule, Verdict
from services.rollouts import deadlines
from services.rollouts.canary import rule_of
from services.rollouts.rollout_transitions import COMMANDS

LISTED = 100  # rows on a page


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutLine:
    """One rollout in a list. `requested_at` is event time, the others wall time."""

    id: UUID
    model: str
    base: str | None
    challenger: str | None
    phase: Phase
    step: int
    reason: str
    requested_at: datetime
    created_at: datetime
    finished_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether anything may still happen to it."""
        return self.phase in OPEN

    @property
    def share(self) -> float:
        """Share of new sessions at its step, 0 to 1."""
        return CANARY_STEPS[self.step] / CANARY_STEPS[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochNow:
    """How far training is. Errors are mean absolute, standardised; None if not reported."""

    number: int
    training_error: float | None = None
    validation_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What training began with, and where it is; None before that.

    Attributes
    ----------
    cut
        The newest event that it learns from, in event time.
    """

    cut: datetime | None = None
    seed: int | None = None
    epoch: EpochNow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of a rollout: `at` in event time, `recorded_at` in wall time."""

    event: str
    phase: Phase
    cause: str
    detail: dict[str, Any]
    at: datetime
    recorded_at: datetime

    @property
    def share(self) -> float | None:
        """New share of new sessions, 0 to 1, where it changed."""
        percent = self.detail.get("share_percent")
        return None if percent is None else percent / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryDay:
    """The sessions that began on one event day; losses are means over those both scored.

    `failed_champion` and `failed_challenger` are answers, of shadows too.
    """

    day: date
    n_champion: int
    n_challenger: int
    n_scored: int
    failed_champion: int
    failed_challenger: int
    loss_champion: float | None
    loss_challenger: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPage:
    """One rollout with all that is known about it.

    Attributes
    ----------
    gate, verdict
        What was measured last; None before that.
    bars
        How sure the verdict must be.
    template, trainer, reference
        What is trained, who trains it, and what the trainer knows it by.
    commands
        What a person may order in its phase.
    steps
        Shares of new sessions that the canary goes through, 0 to 1.
    deadline
        When its phase ends by itself; None when it is over.
    """

    line: RolloutLine
    gate: Gate | None
    verdict: Verdict | None
    bars: Rule
    template: str
    trainer: str
    reference: str | None
    progress: Progress
    events: tuple[Step, ...]
    days: tuple[CanaryDay, ...]
    commands: tuple[str, ...]
    steps: tuple[float, ...]
    deadline: Deadline | None


def rollouts(
    session: Session, only: UUID | None, limit: int = LISTED
) -> tuple[RolloutLine, ...]:
    """Return the newest rollouts of every model, or of one, newest first."""
    return tuple(_line(row) for row in overview.rollouts(session, only, limit))


def rollout(session: Session, rollout_id: UUID, only: UUID | None) -> RolloutPage:
    """Describe one rollout.

    Raises
    ------
    NotFound
        If there is none, or its model is not one that the reader may see.
    """
    row = overview.rollout(session, rollout_id)
    if row is None or only not in (None, row[0].model_id):
        raise NotFound(f"no rollout {rollout_id}")
    stored = row[0]
    return from_attributes(
        RolloutPage,
        stored,
        line=_line(row),
        bars=rule_of(session.get_one(Model, stored.model_id).contract),
        progress=msgspec.convert(stored.progress, Progress),
        events=tuple(
            from_attributes(Step, event) for event in overview.events(session, [stored.id])
        ),
        days=_days(session, stored),
        commands=commands_in(stored.phase),
        steps=tuple(share / CANARY_STEPS[-1] for share in CANARY_STEPS),
        deadline=deadlines.of_rollout(session, stored),
    )


def commands_in(phase: Phase) -> tuple[str, ...]:
    """Return what a person may order in a phase.

    Examples
    --------
    >>> commands_in(Phase.PROMOTED)
    ()
    """
    return tuple(order for order, event in COMMANDS.items() if (phase, event) in TRANSITIONS)


def _line(row: tuple[Rollout, str, str | None, str | None]) -> RolloutLine:
    stored, model, base, challenger = row
    return from_attributes(RolloutLine, stored, model=model, base=base, challenger=challenger)


def _days(session: Session, stored: Rollout) -> tuple[CanaryDay, ...]:
    return tuple(
        CanaryDay(
            day=day,
            n_champion=n - n_challenger,
            n_challenger=n_challenger,
            n_scored=n_scored,
            failed_champion=failed_champion,
            failed_challenger=failed_challenger,
            loss_champion=champion,
            loss_challenger=challenger,
        )
        for (
            day,
            n,
            n_challenger,
            n_scored,
            failed_champion,
            failed_challenger,
            champion,
            challenger,
        ) in overview.session_days(session, stored)
    )
