"""A worker that dies, as if by `kill -9`, while it folds or looks again.

Run: `python -m tests.late.mortal URL MODEL_ID MODULE FUNCTION before|after`
"""

import sys
from uuid import UUID

from sqlalchemy.orm import sessionmaker

from db.session import connect
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.reevaluate import reevaluate
from tests.archive.mortal import arm
from tests.late.world import NOW


def main(url: str, model_id: str, *point: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    arm(*point)
    fold_all(sessions, NOW)
    reevaluate(sessions, Baselines(), UUID(model_id), NOW)
    sys.exit("it was meant to die")


if __name__ == "__main__":
    main(*sys.argv[1:])
