"""What references teach, remembered from one look to the next."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.window import Window
from db.session import read_only
from db.tables import Model
from monitors.summaries.hourly import Hourly
from monitors.summaries.input_history import Counted
from services.evaluation import by_segment, evaluation_context
from services.evaluation.evaluation_context import Scene

Baseline = TypeVar("Baseline")


class Baselines:
    """What references teach, remembered until rows come into them late."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._known: dict[
            tuple[str, bool, Hashable], tuple[Window, int, tuple[str, ...], Any]
        ] = {}

    def of(
        self,
        seen: Scene,
        reference: Window,
        key: Hashable,
        calibrate: Callable[[Hourly], Baseline],
    ) -> Baseline:
        """Return the baseline of a reference; read and learnt once per process."""
        return self.of_counted(
            seen,
            reference,
            key,
            lambda counted: calibrate(evaluation_context.on_hours(counted, reference)),
        )

    def of_counted(
        self,
        seen: Scene,
        reference: Window,
        key: Hashable,
        calibrate: Callable[[Counted], Baseline],
    ) -> Baseline:
        """Return what is learnt from all that is kept of a reference, categories too."""
        is_apart = seen.n_total is not None
        known = self._known.get((seen.model_id, is_apart, key))
        state = (reference, seen.revisions.get(reference, 0), seen.counted.edges.names)
        if known is None or known[:3] != state:
            with read_only(self._sessions) as session:
                model = session.get_one(Model, UUID(seen.model_id))
                read = by_segment.counted_of if is_apart else evaluation_context.counted_of
                counted = read(session, model, reference)
            known = self._known[seen.model_id, is_apart, key] = (*state, calibrate(counted))
        baseline: Baseline = known[3]
        return baseline
