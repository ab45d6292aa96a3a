"""Evaluate one closed event day of one model with all its monitors."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import cast
from uuid import UUID

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session, sessionmaker

from core.errors import StaleChampion
from db.queries import models
from db.queries.log import recompute_marks
from db.session import read_only, unit_of_work
from db.tables import Champion, Model, Version
from monitors.finding import Outcome
from services.alerting import alert_transitions
from services.alerting.alert_transitions import Seen
from services.evaluation import evaluation_context, failed_slots
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_monitor import evaluate
from services.evaluation.prepare import prepare
from services.rollouts import retraining


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
        of = evaluation_context.subject(session, model_id)
        if of.model.evaluated_until is not None and day_end <= of.model.evaluated_until:
            return 0
        changes = _changes(session, of.model, day_end)  # before what they are about is read
        context = evaluation_context.load(of, day_end)
        prepared = prepare(of, context, baselines)

    # decide: outside any transaction, because it takes its time
    findings = {one.monitor_id: evaluate(one, context, baselines) for one in prepared}

    # save
    with unit_of_work(sessions) as session:
        # Written first, which locks the model: what is read next is not older.
        if not _take(session, model_id, day_end):
            return 0
        model, model_now = _model_now(session, model_id)
        if model_now.champion != context.champion:
            raise StaleChampion(
                "the champion changed during the evaluation of the day: evaluate it again"
            )
        is_history = model.history_until is not None and day_end <= model.history_until
        at_evaluation = Seen(version=context.champion, as_of=day_end, is_history=is_history)
        flips = alert_transitions.observe_all(session, model, at_evaluation, findings, now)
        for day, rev in changes:
            recompute_marks.clear(session, model_id, day, rev)
        if model_now.has_failed or any(
            one.outcome is Outcome.ERROR for one in findings.values()
        ):
            failed_slots.update_alert(session, model, now)
        if not is_history and (model_now.may_retrain or flips):
            retraining.consider(session, model, day_end, now)
    return len(findings)


@dataclass(frozen=True, slots=True)
class _ModelNow:
    """What a slot that is stored depends on, as it is now.

    Attributes
    ----------
    champion
        The version that serves.
    has_failed
        Whether the alert on failed evaluations is open.
    may_retrain
        Whether an alert fires that retraining can heal.
    """

    champion: str | None
    has_failed: bool
    may_retrain: bool


def _take(session: Session, model_id: UUID, day_end: datetime) -> bool:
    """Note that a slot is evaluated; False where it was before."""
    is_new = Model.evaluated_until.is_(None) | (Model.evaluated_until < day_end)
    taken = session.execute(
        update(Model)
        .where(Model.id == model_id, is_new)
        .values(evaluated_until=day_end)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[None], taken).rowcount == 1


def _model_now(session: Session, model_id: UUID) -> tuple[Model, _ModelNow]:
    found = session.execute(
        select(Model, Version.name, failed_slots.has_failed(), retraining.is_wanted())
        .outerjoin(Champion, Champion.model_id == Model.id)
        .outerjoin(Version, Version.id == Champion.version_id)
        .where(Model.id == model_id)
    )
    model, champion, has_failed, may_retrain = found.one()
    return model, _ModelNow(champion, has_failed, may_retrain)


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
