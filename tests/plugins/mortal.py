"""A worker that pulls one source, in pages of three rows, and dies at one named point.

Run: `python -m tests.plugins.mortal URL SOURCE MODULE FUNCTION before|after`
"""

import sys
from uuid import UUID

from sqlalchemy.orm import sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.session import connect
from services.sources.pull import Puller
from tests.archive.mortal import arm


def main(url: str, source: str, module: str, function: str, when: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    settings = Settings(database_url=url, max_rows=3)
    arm(module, function, when)
    Puller(settings, sessions, utcnow).run(UUID(source))


if __name__ == "__main__":
    main(*sys.argv[1:])
