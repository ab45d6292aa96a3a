"""Runs of the job that trains: one for each time that a trainer can work on a rollout."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.queries.queue import runs
from db.tables import Model, Rollout
from retrain.rollout import Phase

JOB = "train"  # its subject is the rollout


def due(session: Session) -> Sequence[Rollout]:
    """Return the rollouts that a trainer can work on: their labels have come."""
    can_begin = Rollout.phase.in_((Phase.REQUESTED, Phase.GATING))
    return session.scalars(
        select(Rollout)
        .join(Model, Model.id == Rollout.model_id)
        .where(
            or_(
                can_begin & (Model.watermark >= Rollout.not_before),
                Rollout.phase == Phase.TRAINING,
            )
        )
    ).all()


def missing(session: Session) -> list[tuple[str, datetime]]:
    """Return subject and slot of the runs to ask for: of what is due without a run."""
    runs_of = [(str(rollout.id), rollout.not_before) for rollout in due(session)]
    return [run for run in runs_of if not runs.is_open(session, JOB, run[0])]
