"""Deploys, configuration and upstream changes of a model, for its charts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.errors import Busy
from core.lake_root import LakeRoot
from core.schema.events import CHANGES
from core.schema.rows import Kind
from db.queries.log import positions
from db.session import read_only
from services.read_models.lookup import events
from services.read_models.lookup.events import EventQuery
from services.read_models.lookup.snapshot import open_snapshot

MOST = 50  # that are shown
PATIENCE = timedelta(seconds=0.5)  # then the page is shown with what was found


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, in event time."""

    at: datetime
    type: str
    version: str | None
    description: str | None

    @property
    def label(self) -> str:
        """What is written beside its mark.

        Examples
        --------
        >>> Change(at=datetime.min, type="deploy", version="v2", description=None).label
        'deploy v2'
        """
        return " ".join(filter(None, (self.type.replace("_", " "), self.version)))


def changes(
    sessions: sessionmaker[Session], lake_root: LakeRoot, model_id: UUID, since: datetime
) -> tuple[Change, ...]:
    """Return the newest changes since a moment, newest first; none while rows are erased."""
    with read_only(sessions) as session:
        if not any(positions.position(session, model_id, Kind.EVENTS)):
            return ()  # most models: no table is opened
    end = monotonic() + PATIENCE.total_seconds()
    query = EventQuery(since=since, types=CHANGES)
    try:
        with open_snapshot(sessions, lake_root, model_id, events.KINDS) as state:
            found = events.page(state, query, None, MOST, lambda: monotonic() > end)
    except Busy:
        return ()
    return tuple(
        Change(**{name: row[name] for name in ("at", "type", "version", "description")})
        for row in found.rows
    )
