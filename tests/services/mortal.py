"""A worker or a trainer that dies, as if by `kill -9`, at one named point.

Run: `python -m tests.services.mortal evaluate URL MODEL DAY_END MODULE FUNCTION before|after`
 or: `python -m tests.services.mortal train URL FOLDER MODULE FUNCTION before|after`
"""

import sys
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import sessionmaker

from core.settings import Settings
from db.session import connect
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from tests.archive.mortal import arm


def settings_of(url: str, folder: Path) -> Settings:
    """Return settings under which a dead trainer is replaced after two seconds."""
    return Settings(
        database_url=url,
        lake=folder / "lake",
        artifacts=folder / "artifacts",
        lease=timedelta(seconds=2),
        trainer_threads=1,
    )


def main(role: str, url: str, *given: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    arm(*given[-3:])
    if role == "evaluate":
        day_end = datetime.fromisoformat(given[1])
        evaluate_slot(sessions, Baselines(), UUID(given[0]), day_end, day_end)
    else:
        from tests.services.seasons import train_once

        train_once(settings_of(url, Path(given[0])), sessions)
    sys.exit("it was meant to die")


if __name__ == "__main__":
    main(*sys.argv[1:])
