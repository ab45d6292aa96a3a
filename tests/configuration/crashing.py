"""A server that dies, as by `kill -9`, while it saves a configuration."""

from itertools import count
from typing import Any

from sqlalchemy.orm import sessionmaker

from api.configuration.nouns import NOUNS
from core.clock import utcnow
from db.session import connect
from services.configuration import apply
from tests.archive.crashing import die


def save(url: str, document: dict[str, Any], n_whole: int, when: str) -> None:
    """Save one object per transaction; die before or after the one that follows so many."""
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    for noun in NOUNS:
        type(noun).batch = 1
    whole, calls = apply._save, count()

    def deadly(*given: Any) -> None:
        is_last = next(calls) == n_whole
        if not is_last or when == "after":
            whole(*given)
        if is_last:
            die()

    apply._save = deadly  # type: ignore[assignment]
    plan = apply.decide(sessions, NOUNS, document, prune=False)
    source = apply.Source(actor="admin", commit="", dirty=False)
    apply.save(sessions, plan, source, utcnow())
