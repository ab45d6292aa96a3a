"""Process what was received for one model without waiting for the jobs of all models."""

import logging
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.lake_root import LakeRoot
from core.schema.rows import Kind
from db.queries.log import positions
from db.session import read_only
from services.aggregation.fold import fold
from services.labels.label_join import join
from services.platform_faults.outage import is_outage
from services.retention.archive import archive

log = logging.getLogger(__name__)

MAX_GROUPS = 64  # of one stream


def catch_up(
    sessions: sessionmaker[Session], lake_root: LakeRoot, model_id: UUID, now: datetime
) -> None:
    """Fold, archive and join what was received for one model, however busy the other jobs are.

    A stream that cannot be read is reported by those jobs, and holds no evaluation back.

    Raises
    ------
    Exception
        An outage: what is evaluated without these rows would be wrong.
    """
    try:
        with read_only(sessions) as session:
            if not session.scalar(select(positions.is_behind(model_id))):
                return
        for kind in Kind:
            for _ in range(MAX_GROUPS):
                if not fold(sessions, model_id, kind, now):
                    break
        for kind in Kind:
            for _ in range(MAX_GROUPS):
                if not archive(sessions, lake_root, model_id, kind):
                    break
        join(sessions, lake_root, model_id)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("model %s: what was received cannot be brought in", model_id)
