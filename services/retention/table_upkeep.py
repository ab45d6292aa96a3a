"""Upkeep of the table of a stream, with what the database knows of who reads it."""

import logging
from dataclasses import dataclass
from functools import partial

import msgspec
from deltalake import DeltaTable
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from db.queries.log import erasure
from db.session import read_only
from db.tables import Rollout
from lake import upkeep
from lake.reading import Snapshot
from services.platform_faults.set_aside import Stream

log = logging.getLogger(__name__)


def tidy(sessions: sessionmaker[Session], stream: Stream, table: DeltaTable) -> None:
    """Tidy a table after an append; a failure is logged only, because the rows are archived.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while files are written.
    stream
        Whose table.
    table
        Its newest state.
    """
    try:
        upkeep.tidy(table, partial(_pinned, sessions, stream), utcnow())
    except Exception:
        log.exception("%s of model %s: the table is not tidied", stream[1], stream[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """What is read of the state of a training."""

    snapshot: Snapshot | None = None


def _pinned(sessions: sessionmaker[Session], stream: Stream) -> set[int] | None:
    """Return the versions of a table that trainings have learnt from, or will.

    None during an erasure, which counts its rows by all of the log.
    """
    model_id, kind = stream
    with read_only(sessions) as session:
        if erasure.unfinished(session, model_id):
            return None
        states = session.scalars(select(Rollout.progress).where(Rollout.model_id == model_id))
        found = [msgspec.convert(state, _Training).snapshot for state in states]
    versions = (snapshot.of(kind) for snapshot in found if snapshot is not None)
    return {version for version in versions if version is not None}
