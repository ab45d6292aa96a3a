"""Retention: deletion of event days older than the policy keeps.

Summaries, findings and scores stay: they are counts, and small. So does what a
version was trained on, in its manifest and its weights. Event time counts, as
everywhere in a policy: a model that falls silent keeps its last days.
"""

import logging
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.lake_root import LakeRoot
from core.schema.rows import Kind, Stage
from db.queries import models
from db.queries.log import erasure as stored
from db.queries.log import unusable_answers
from db.session import read_only, unit_of_work
from db.tables import DirtyDay, Model, Rollout
from lake import erase as rows
from lake.tables import open_table
from retrain.rollout import Phase
from services.platform_faults.set_aside import work_through

log = logging.getLogger(__name__)

# Their trainer reads the log as it was when it began.
READING = (Phase.REQUESTED, Phase.TRAINING, Phase.GATING)


def first_kept(model: Model) -> date | None:
    """Return the first event day whose rows are kept; None keeps all."""
    keep = model.policy.keep_rows
    if keep is None or model.watermark is None:
        return None
    return model.watermark.date() - keep + DAY


def first_whole(model: Model, first: date) -> date:
    """Return the first day, of local time, none of whose rows are from before a day of UTC."""
    return first if models.zone_of(model).is_utc else first + timedelta(days=1)


def retain_all(sessions: sessionmaker[Session], lake_root: LakeRoot, now: datetime) -> int:
    """Drop what no policy keeps, of every model; how many rows of the lake.

    A model whose rows cannot be dropped is set aside; all others go on.
    """
    with read_only(sessions) as session:
        found = session.scalars(select(Model.id).order_by(Model.id)).all()

    def act(model_id: UUID, _: Kind) -> int:
        with read_only(sessions) as session:
            first = first_kept(session.get_one(Model, model_id))
        return 0 if first is None else retain(sessions, lake_root, model_id, first)

    streams = [(model_id, Kind.PREDICTIONS) for model_id in found]
    return work_through(sessions, Stage.RETENTION, streams, act, now)


def retain(
    sessions: sessionmaker[Session], lake_root: LakeRoot, model_id: UUID, first: date
) -> int:
    """Drop what a model logged about the days before one; how many rows of the lake.

    A model that is being retrained keeps its rows until that is over. Done
    again after a crash, it does what is left.
    """
    # load
    with unit_of_work(sessions) as session:
        if _is_read(session, model_id):
            return 0
        # Joins of these days would find nothing, and forget what was measured.
        whole = first_whole(session.get_one(Model, model_id), first)
        session.execute(
            delete(DirtyDay).where(DirtyDay.model_id == model_id, DirtyDay.day < whole)
        )
        midnight = datetime.combine(first, datetime.min.time(), UTC)
        n_bad = stored.forget_quarantined(session, model_id, midnight)
        unusable_answers.forget(session, model_id, first)

    # save
    n_rows = 0
    for kind in Kind:
        table = open_table(lake_root, model_id, kind)
        if table is not None:
            n_rows += rows.delete_days(table, first)
            rows.drop_files(table, first)
    if n_rows or n_bad:
        log.info("model %s: dropped %d rows before %s", model_id, n_rows, first)
    return n_rows


def _is_read(session: Session, model_id: UUID) -> bool:
    training = exists().where(Rollout.model_id == model_id, Rollout.phase.in_(READING))
    return bool(session.scalar(select(training)))
