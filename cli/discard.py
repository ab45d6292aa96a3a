"""`seqwatch log discard`: let a stream go on that is set aside."""

import argparse

from sqlalchemy.orm import sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.queries import models
from db.session import connect, read_only
from services.ingest.batch import Feed
from services.retention.discard import discard


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Print how much was moved to quarantine."""
    engine = connect(settings.database_url)
    try:
        sessions = sessionmaker(engine, expire_on_commit=False)
        with read_only(sessions) as session:
            model_id = models.find(session, given.model).id
        kind = Feed(given.stream).kind
        moved = discard(sessions, settings.lake, model_id, kind, "the shell", utcnow())
    finally:
        engine.dispose()
    print(f"{moved.n_rows} rows of {moved.n_batches} batches moved to quarantine")
    return 0
