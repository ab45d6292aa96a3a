"""Retention: rows of event days that a model's policy does not keep leave the lake.

Summaries, findings and scores stay: they are counts, and small. So does what a
version was trained on, in its manifest and its weights. Event time counts, as
everywhere in a policy: a model that falls silent keeps its last days.
"""

import logging
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session, sessionmaker

from core.lake_root import LakeRoot
from core.policy import Policy
from core.rows import Kind
from db.queries import erasure as stored
from db.session import read_only, unit_of_work
from db.tables import DirtyDay, Model, Rollout
from lake import erase as rows
from lake.tables import open_table
from retrain.rollout import Phase

log = logging.getLogger(__name__)

# Their trainer reads the log as it was when it began.
READING = (Phase.REQUESTED, Phase.TRAINING, Phase.GATING)


def first_kept(model: Model) -> date | None:
    """Return the first event day whose rows are kept; None keeps all."""
    keep = Policy.from_json(model.policy).keep_days
    if keep is None or model.watermark is None:
        return None
    return model.watermark.date() - timedelta(days=keep - 1)


def retain_all(sessions: sessionmaker[Session], lake_root: LakeRoot) -> int:
    """Drop what no policy keeps, of every model; how many rows of the lake.

    Raises
    ------
    ExceptionGroup
        With what went wrong with single models, after all others were done.
    """
    with read_only(sessions) as session:
        due = {model.id: first_kept(model) for model in session.scalars(select(Model))}
    n_rows, failed = 0, list[Exception]()
    for model_id, first in due.items():
        if first is None:
            continue
        try:
            n_rows += retain(sessions, lake_root, model_id, first)
        except Exception as error:  # noqa: BLE001 - the others must not wait for one
            failed.append(error)
    if failed:
        raise ExceptionGroup("rows of some models are kept for longer than they should", failed)
    return n_rows


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
        session.execute(
            delete(DirtyDay).where(DirtyDay.model_id == model_id, DirtyDay.day < first)
        )
        midnight = datetime.combine(first, datetime.min.time(), UTC)
        n_bad = stored.forget_quarantined(session, model_id, midnight)

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
