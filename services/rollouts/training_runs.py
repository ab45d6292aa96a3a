"""Runs of the jobs that start, do and cancel a training, and that test at the gate."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from db.queries.queue import runs
from db.tables import Model, Rollout
from retrain.rollout import Phase

# Their subject is the rollout.
START_JOB = "start_training"
JOB = "train"
CANCEL_JOB = "cancel_training"

_ITS_LABELS_HAVE_COME = Model.watermark >= Rollout.not_before


def to_start(session: Session) -> Sequence[Rollout]:
    """Return the rollouts whose training can be started: their labels have come."""
    return _rollouts(session, (Rollout.phase == Phase.REQUESTED) & _ITS_LABELS_HAVE_COME)


def to_train(session: Session) -> Sequence[Rollout]:
    """Return the rollouts that `seqwatch trainer` can work on: to train, or to test."""
    to_test_again = (Rollout.phase == Phase.GATING) & _ITS_LABELS_HAVE_COME
    is_here = (Rollout.phase == Phase.TRAINING) & Rollout.is_queued
    return _rollouts(session, is_here | to_test_again)


def _rollouts(session: Session, which: ColumnElement[bool]) -> Sequence[Rollout]:
    with_model = select(Rollout).join(Model, Model.id == Rollout.model_id)
    return session.scalars(with_model.where(which)).all()


def missing(session: Session) -> list[tuple[str, str, datetime]]:
    """Return job, subject and slot of the runs to ask for: of what is due without a run."""
    due = ((START_JOB, to_start(session)), (JOB, to_train(session)))
    runs_of = [
        (job, str(rollout.id), rollout.not_before) for job, found in due for rollout in found
    ]
    return [run for run in runs_of if not runs.is_open(session, *run[:2])]


def enqueue(session: Session, rollout: Rollout, now: datetime) -> str:
    """Let `seqwatch trainer` train, or test the candidate; return the reference of that."""
    rollout.is_queued = True
    runs.ask(session, JOB, rollout.not_before, now, str(rollout.id), again=True)
    return f"job {JOB}"
