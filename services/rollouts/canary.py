"""Evaluate the canary of one model, and move it according to the verdict."""

from datetime import date, datetime, timedelta
from math import ceil
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.policy import Policy
from core.schema import task
from core.schema.contract import Contract
from core.stored import from_attributes
from db.session import unit_of_work
from db.tables import Model, Rollout, SessionScore, Version
from retrain import steps, verdict
from retrain.rollout import CANARY_STEPS, Event, Phase
from retrain.steps import Move
from retrain.verdict import Rule, Scored, Verdict
from services.rollouts import rollout_transitions

EVENTS = {
    Move.PROMOTE: Event.CANARY_PASSED,
    Move.ROLL_BACK: Event.CANARY_FAILED,
    Move.STALL: Event.CANARY_STALLED,
}


def evaluate(sessions: sessionmaker[Session], model_id: UUID, now: datetime) -> Verdict | None:
    """Evaluate the open canary of a model; None when there is none.

    Losses count only on event days whose labels are all due, so that a block of
    evidence never changes after it was used. Failed answers need no label: they
    count as soon as their day is over.
    """
    with unit_of_work(sessions) as session:
        # load
        rollout = session.scalar(
            select(Rollout).where(Rollout.model_id == model_id, Rollout.phase == Phase.CANARY)
        )
        model = session.get_one(Model, model_id)
        if rollout is None or rollout.step_since is None or model.evaluated_until is None:
            return None
        policy = model.policy
        due = (model.evaluated_until - _reach(model, policy)).date()
        scored = _scored(session, rollout, model.evaluated_until.date(), due)

        # decide
        share = CANARY_STEPS[rollout.step] / 10_000
        found = verdict.evaluate(scored, share, rule_of(model.contract))
        following = steps.decide(
            policy, found, rollout.step, rollout.step_since, model.evaluated_until
        )

        # save
        rollout.verdict = found
        detail = found.to_json()
        if following.move is Move.STEP_UP:
            rollout_transitions.step_up(session, rollout, following.reason, now)
        elif following.move in EVENTS:
            event = EVENTS[following.move]
            rollout_transitions.move(session, rollout, event, following.reason, now, detail)
        return found


def rule_of(contract: Contract) -> Rule:
    """Return the rule of the verdict."""
    return Rule(is_bounded=task.of(contract).is_bounded)


def _reach(model: Model, policy: Policy) -> timedelta:
    """Return how long after its first forecast a session of a day has all its labels."""
    contract = model.contract
    reach = DAY + contract.horizon * contract.step + policy.label_delay
    return ceil(reach / DAY) * DAY


def _scored(session: Session, rollout: Rollout, end: date, due: date) -> list[Scored]:
    """Read the sessions that began before `end`, with the losses of those up to `due`."""
    challenger = session.get_one(Version, rollout.challenger_id).name
    rows = session.scalars(
        select(SessionScore)
        .where(SessionScore.rollout_id == rollout.id, SessionScore.day < end)
        .order_by(SessionScore.day, SessionScore.session_id)
    )
    return [
        from_attributes(
            Scored,
            row,
            is_canary=row.served_by == challenger,
            loss_champion=row.loss_champion if row.day <= due else None,
            loss_challenger=row.loss_challenger if row.day <= due else None,
        )
        for row in rows
    ]
