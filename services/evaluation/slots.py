"""Evaluate the event days of a model that have closed, in order, each exactly once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.errors import StaleChampion
from db.queries.log import positions
from db.session import read_only
from db.tables import Model
from services.evaluation import failed_slots, schedule
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.platform_faults.outage import described, is_outage

log = logging.getLogger(__name__)

MAX_SLOTS = 16  # of one model at one go: the others get their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits to be evaluated of one model.

    Attributes
    ----------
    slots
        The next that have closed, in order.
    is_behind
        Whether rows wait for fold or archive, or days for a join.
    """

    slots: list[datetime]
    is_behind: bool


def waiting(sessions: sessionmaker[Session], model_id: UUID) -> Waiting:
    """Return the next closed slots of a model that are not evaluated."""
    found = select(Model, positions.is_behind(Model.id)).where(Model.id == model_id)
    with read_only(sessions) as session:
        model, is_behind = session.execute(found).one()
        slots = [*islice(schedule.due_of(session, model), MAX_SLOTS)]
    return Waiting(slots=slots, is_behind=is_behind)


def evaluate_until(
    sessions: sessionmaker[Session],
    baselines: Baselines,
    model_id: UUID,
    until: datetime,
    now: datetime,
    slots: Sequence[datetime] = (),
) -> int:
    """Evaluate every closed slot of a model up to one, the oldest first.

    The next slot always follows the last one that was stored: whatever runs
    were lost, none is skipped. A slot that fails by an error of its own is
    stored as failed and holds no later one back.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while monitors compute.
    baselines
        What references teach.
    model_id
        The model.
    until
        The last slot.
    now
        Wall time.
    slots
        The slots that wait, where they were just read.

    Returns
    -------
    int
        How many slots were evaluated, the failed ones included.

    Raises
    ------
    StaleChampion
        If another version was promoted meanwhile: evaluate the slot again.
    Exception
        An outage: nothing of the slot was stored.
    """
    n_slots, found = 0, slots or waiting(sessions, model_id).slots
    while due := [slot for slot in found if slot <= until]:
        for slot in due:
            _evaluate(sessions, baselines, model_id, slot, now)
        n_slots += len(due)
        if due[-1] == until:
            break
        found = waiting(sessions, model_id).slots
    return n_slots


def _evaluate(
    sessions: sessionmaker[Session],
    baselines: Baselines,
    model_id: UUID,
    slot: datetime,
    now: datetime,
) -> None:
    try:
        evaluate_slot(sessions, baselines, model_id, slot, now)
    except StaleChampion:
        raise
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("model %s, slot %s: the evaluation failed", model_id, slot)
        failed_slots.record(sessions, model_id, slot, described(error), now)
