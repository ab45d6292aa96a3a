"""Expiry of rollouts whose phase has reached its deadline."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only, unit_of_work
from db.tables import Model, Rollout, RolloutEvent
from retrain.deadline import Deadline, Entered, deadline
from retrain.rollout import Phase
from services.rollouts import rollout_transitions


def expire(sessions: sessionmaker[Session], now: datetime, model_id: UUID | None = None) -> int:
    """End what is open beyond its deadline, of one model or of all; how many rollouts."""
    ids = under_way(sessions, model_id)
    return sum(_expire(sessions, rollout_id, now) for rollout_id in ids)


def under_way(sessions: sessionmaker[Session], model_id: UUID | None = None) -> Sequence[UUID]:
    """Return the rollouts that are not over, of one model or of all."""
    with read_only(sessions) as session:
        found = select(Rollout.id).where(Rollout.finished_at.is_(None))
        if model_id is not None:
            found = found.where(Rollout.model_id == model_id)
        return session.scalars(found).all()


def _expire(sessions: sessionmaker[Session], rollout_id: UUID, now: datetime) -> bool:
    with unit_of_work(sessions) as session:
        rollout = session.get_one(Rollout, rollout_id, with_for_update=True)
        until = of_rollout(session, rollout)
        watermark = session.get_one(Model, rollout.model_id).watermark
        if until is None or not until.has_passed(watermark, now):
            return False
        cause = until.reason
        if rollout.phase is Phase.GATING and rollout.gate:
            cause = f"{cause}: {rollout.gate.reason}"
        rollout_transitions.move(session, rollout, until.event, cause, now)
        return True


def of_rollout(session: Session, rollout: Rollout) -> Deadline | None:
    """Return when the phase of a rollout ends by itself; None when it is over."""
    if rollout.finished_at is not None:
        return None
    events = session.scalars(
        select(RolloutEvent).where(RolloutEvent.rollout_id == rollout.id)
    ).all()
    model = session.get_one(Model, rollout.model_id)
    return deadline(model.policy, _entered(rollout, [*events]))


def _entered(rollout: Rollout, events: list[RolloutEvent]) -> Entered:
    """Find when the phase began: the first event of it after the last one of another."""
    left = [one.recorded_at for one in events if one.phase is not rollout.phase]
    own = [
        one
        for one in events
        if one.phase is rollout.phase and one.recorded_at >= max(left, default=one.recorded_at)
    ]
    steps = [one for one in own if one.event == "step_up"]  # each has time of its own
    began = max(steps, key=_recorded) if steps else min(own, key=_recorded, default=None)
    return Entered(
        phase=rollout.phase,
        at=began.at if began else rollout.requested_at,
        recorded_at=began.recorded_at if began else rollout.created_at,
        not_before=rollout.not_before,
    )


def _recorded(event: RolloutEvent) -> datetime:
    return event.recorded_at
