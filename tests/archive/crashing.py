"""A worker that dies as if by `kill -9`: at one named point, or whenever it is killed.

Run: `python -m tests.archive.crashing URL LAKE [MODULE FUNCTION before|after]`
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import sessionmaker

from db.session import connect
from services.aggregation.fold import fold_all
from services.labels.label_join import join_all
from services.retention.archive import archive_all

LATER = datetime(2026, 3, 1, tzinfo=UTC)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(module: str, function: str, when: str) -> None:
    """Make the process die just before, or just after, its first call of a function."""
    place = importlib.import_module(module)
    whole: Callable[..., Any] = getattr(place, function)

    def deadly(*args: Any, **kwargs: Any) -> None:
        if when == "after":
            whole(*args, **kwargs)
        die()

    setattr(place, function, deadly)


def main(url: str, lake: str, *point: str) -> None:
    sessions = sessionmaker(connect(url))
    if point:
        arm(*point)
    sys.stdout.write("working\n")
    sys.stdout.flush()
    while True:
        fold_all(sessions, LATER)
        archive_all(sessions, Path(lake), LATER)
        join_all(sessions, Path(lake), LATER)


if __name__ == "__main__":
    main(*sys.argv[1:])
