"""Transitions of a rollout, with routing and champion."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound, Unprocessable
from core.routing import Routing, Served
from db.queries import models
from db.queries.queue import deliveries, runs
from db.tables import Model, Rollout, RolloutEvent, Version
from retrain.rollout import CANARY_STEPS, OPEN, Event, Phase, advance
from services.alerting import alert_transitions
from services.models import champion_pointer
from services.rollouts import training_runs

# What a person may order, and the event that it is.
COMMANDS = {
    "pause": Event.PAUSE,
    "resume": Event.RESUME,
    "promote": Event.PROMOTE,
    "rollback": Event.ABORT,
}
# Who follows the rollout hears of these; the rest is on its page.
NOTIFIED = {
    Phase.CANARY,
    Phase.PAUSED,
    Phase.PROMOTED,
    Phase.REJECTED,
    Phase.ROLLED_BACK,
    Phase.FAILED,
}


def command(
    session: Session, rollout_id: UUID, order: str, who: str, reason: str, now: datetime
) -> Rollout:
    """Execute a command of a person.

    Raises
    ------
    NotFound
        If there is no such rollout.
    Unprocessable
        If there is no such command; the message lists those there are.
    Conflict
        If the rollout is in a phase that does not allow it.
    """
    rollout = session.get(Rollout, rollout_id)
    if rollout is None:
        raise NotFound(f"no rollout {rollout_id}")
    if order not in COMMANDS:
        raise Unprocessable(f"no command {order!r}; known: {', '.join(COMMANDS)}")
    move(session, rollout, COMMANDS[order], f"{who}: {reason}" if reason else who, now)
    return rollout


def move(
    session: Session,
    rollout: Rollout,
    event: Event,
    cause: str,
    now: datetime,
    detail: dict[str, Any] | None = None,
) -> None:
    """Advance a rollout by the table of `retrain.rollout`, with all that follows from it.

    Raises
    ------
    Conflict
        If `event` cannot happen in this phase, or another writer was first.
    """
    model = session.get_one(Model, rollout.model_id)
    before, after = rollout.phase, advance(rollout.phase, event)
    if after is Phase.CANARY and rollout.base_id is None:
        raise Conflict(
            "a first version has no champion to be compared with: promote or rollback"
        )
    rollout.phase = after
    if rollout.phase is Phase.CANARY:
        rollout.step_since = model.watermark
    if rollout.phase not in OPEN:
        rollout.finished_at = now
    if Phase.CANARY in (before, rollout.phase) or before is Phase.PAUSED:
        champion_pointer.touch_routing(session, model.id)
    if rollout.phase is Phase.PROMOTED:
        _set_champion(session, model, rollout, now)
    if before is Phase.TRAINING and event in (Event.ABORT, Event.EXPIRED):
        runs.ask(session, training_runs.CANCEL_JOB, now, now, str(rollout.id))
    note(session, rollout, event.value, cause, now, detail)


def note(
    session: Session,
    rollout: Rollout,
    event: str,
    cause: str,
    now: datetime,
    detail: dict[str, Any] | None = None,
) -> None:
    """Store an event, and queue its notifications."""
    model = session.get_one(Model, rollout.model_id)
    row = RolloutEvent(
        rollout_id=rollout.id,
        event=event,
        phase=rollout.phase,
        cause=cause,
        detail=detail or {},
        at=model.watermark or rollout.requested_at,
        recorded_at=now,
    )
    session.add(row)
    session.flush()
    if rollout.phase in NOTIFIED:
        deliveries.add_for_rollout_event(session, row, now)


def step_up(session: Session, rollout: Rollout, cause: str, now: datetime) -> None:
    """Give the challenger its next share of new sessions."""
    if rollout.step + 1 >= len(CANARY_STEPS):
        raise Conflict(f"rollout {rollout.id} is at its last step")
    model = session.get_one(Model, rollout.model_id)
    rollout.step += 1
    rollout.step_since = model.watermark
    champion_pointer.touch_routing(session, model.id)
    share = CANARY_STEPS[rollout.step] / 100
    note(session, rollout, "step_up", cause, now, {"share_percent": share})


def routing_of(session: Session, model_name: str) -> Routing:
    """Return the routing document of a model.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    model = models.find(session, model_name)
    found = models.champion(session, model.id)
    rollout = session.scalar(
        select(Rollout).where(
            Rollout.model_id == model.id, Rollout.phase.in_([Phase.CANARY, Phase.PAUSED])
        )
    )
    # A rollout that paused at the gate has not begun its canary: nobody serves it.
    if rollout is None or rollout.step_since is None or rollout.challenger_id is None:
        return Routing(
            model=model.name,
            epoch=model.routing_epoch,
            champion=None if found is None else _served(found[1]),
        )
    return Routing(
        model=model.name,
        epoch=model.routing_epoch,
        champion=_served(session.get_one(Version, rollout.base_id)),
        challenger=_served(session.get_one(Version, rollout.challenger_id)),
        share_bp=CANARY_STEPS[rollout.step],
        salt=str(rollout.id),
        is_shadowed=True,
    )


def _served(version: Version) -> Served:
    return Served(version=version.name, sha256=version.sha256 or "")


def _set_champion(session: Session, model: Model, rollout: Rollout, now: datetime) -> None:
    if rollout.challenger_id is None:
        raise Conflict(f"rollout {rollout.id} has no challenger to promote")
    champion_pointer.move(session, model.id, rollout.challenger_id, rollout.champion_rev, now)
    winner = session.get_one(Version, rollout.challenger_id)
    alert_transitions.retire_reference(session, model, f"{winner.name} promoted", now)
