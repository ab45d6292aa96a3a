"""A worker that pulls one source, in pages of three rows, and dies at one named point."""

from uuid import UUID

from sqlalchemy.orm import sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.session import connect
from services.sources.pull import Puller
from tests.archive.crashing import arm


def pull(url: str, source: UUID, module: str, function: str, when: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    settings = Settings(database_url=url, max_rows=3)
    arm(module, function, when)
    Puller(settings, sessions, utcnow).run(source)
