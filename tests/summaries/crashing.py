"""A worker that dies, as if by `kill -9`, while it rolls up summaries."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import sessionmaker

from core.streams import SUMMARIES
from db.queries import summaries
from db.session import connect
from services.summaries.roll_up import roll_up
from tests.archive.crashing import die


def work(url: str, model_id: UUID, n_writes: int) -> None:
    """Die when the rows before are deleted, and those in their place are not yet written."""
    calls, name = iter(range(n_writes)), "upsert"
    write = getattr(summaries, name)

    def deadly(*given: Any) -> None:
        if next(calls, None) is None:
            die()
        write(*given)

    setattr(summaries, name, deadly)
    roll_up(sessionmaker(connect(url), expire_on_commit=False), SUMMARIES, model_id)
