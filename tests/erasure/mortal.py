"""An eraser that dies, as if by `kill -9`, at one named point.

Run: `python -m tests.erasure.mortal erase URL LAKE MODEL_ID MODULE FUNCTION before|after`
 or: `python -m tests.erasure.mortal retain URL LAKE MODEL_ID MODULE FUNCTION before|after`
"""

import sys
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import sessionmaker

from core.clock import utcnow
from db.session import connect
from services.retention.erasure import erase
from services.retention.retention import retain_all
from tests.archive.mortal import LATER, arm


def main(role: str, url: str, lake: str, model_id: str, *point: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    arm(*point)
    if role == "erase":
        erase(sessions, Path(lake), UUID(model_id), LATER)
    else:
        retain_all(sessions, Path(lake), utcnow())
    sys.exit("it was meant to die")


if __name__ == "__main__":
    main(*sys.argv[1:])
