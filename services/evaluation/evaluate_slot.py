"""Evaluate one closed event day of one model with all its monitors."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.errors import StaleChampion
from db.queries import models
from db.queries.log import recompute_marks
from db.session import read_only, unit_of_work
from db.tables import Model, Monitor
from monitors.finding import Finding
from services.alerting import alert_transitions
from services.alerting.alert_transitions import Seen
from services.evaluation import evaluation_context, failed_slots
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_monitor import evaluate
from services.evaluation.prepare import prepare
from services.models.monitor_config import enabled
from services.rollouts import retraining


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Finding of one monitor."""

    monitor_id: UUID
    finding: Finding


def evaluate_slot(
    sessions: sessionmaker[Session],
    baselines: Baselines,
    model_id: UUID,
    day_end: datetime,
    now: datetime,
) -> int:
    """Evaluate every enabled monitor, store the findings, and act on them.

    Evaluating a day again, here or in another worker, changes nothing: what came
    in late is taken in by `services.evaluation.reevaluate`.

    Returns
    -------
    int
        How many findings were stored.

    Raises
    ------
    StaleChampion
        If another version serves than when the day was evaluated.
    """
    # load
    with read_only(sessions) as session:
        model = session.get_one(Model, model_id)
        if model.evaluated_until is not None and day_end <= model.evaluated_until:
            return 0
        changes = _changes(session, model, day_end)  # before what they are about is read
        context = evaluation_context.load(session, model, day_end)
        monitors = enabled(session, model_id)
        prepared = prepare(session, model, monitors, context, baselines)

    # decide: outside any transaction, because it takes its time
    evaluated = [
        Evaluated(monitor_id=one.monitor_id, finding=evaluate(one, context, baselines))
        for one in prepared
    ]

    # save
    with unit_of_work(sessions) as session:
        # Not the key: rows that refer to the model may be added meanwhile, or two would
        # wait for each other.
        model = session.get_one(Model, model_id, with_for_update={"key_share": True})
        if model.evaluated_until is not None and day_end <= model.evaluated_until:
            return 0
        if evaluation_context.champion_name(session, model_id) != context.champion:
            raise StaleChampion(
                "the champion changed during the evaluation of the day: evaluate it again"
            )
        is_history = model.history_until is not None and day_end <= model.history_until
        at_evaluation = Seen(version=context.champion, as_of=day_end, is_history=is_history)
        for one in evaluated:
            monitor = session.get_one(Monitor, one.monitor_id)
            alert_transitions.observe(session, monitor, at_evaluation, one.finding, now)
        model.evaluated_until = day_end
        for day, rev in changes:
            recompute_marks.clear(session, model_id, day, rev)
        failed_slots.after(session, model, [one.finding for one in evaluated], now)
        if not is_history:
            retraining.consider(session, model, day_end, now)
    return len(evaluated)


def _changes(session: Session, model: Model, day_end: datetime) -> list[tuple[date, int]]:
    """Return the marks of days that this evaluation is the first to read.

    Rows that came after the day had closed, and before its evaluation, are no
    reason to re-evaluate.
    """
    zone = models.zone_of(model)
    unseen = None if model.evaluated_until is None else zone.day_of(model.evaluated_until)
    return [
        (mark.day, mark.rev)
        for mark in recompute_marks.marks(session, model.id)
        if mark.day < zone.day_of(day_end) and (unseen is None or mark.day >= unseen)
    ]
