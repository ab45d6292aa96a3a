"""An eraser that dies, as if by `kill -9`, at one named point."""

from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import sessionmaker

from core.clock import utcnow
from db.session import connect
from services.retention.erasure import erase
from services.retention.retention import retain_all
from tests.archive.crashing import LATER, arm


def work(role: str, url: str, lake: Path, model_id: UUID, *point: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    arm(*point)
    if role == "erase":
        erase(sessions, lake, model_id, LATER)
    else:
        retain_all(sessions, lake, utcnow())
