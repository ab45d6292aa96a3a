"""A worker that dies, as if by `kill -9`, while it folds or evaluates again."""

from uuid import UUID

from sqlalchemy.orm import sessionmaker

from db.session import connect
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.reevaluate import reevaluate
from tests.archive.crashing import arm
from tests.late.world import NOW


def work(url: str, model_id: UUID, *point: str) -> None:
    sessions = sessionmaker(connect(url), expire_on_commit=False)
    arm(*point)
    fold_all(sessions, NOW)
    reevaluate(sessions, Baselines(), model_id, NOW)
