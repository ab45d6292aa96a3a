"""Slots whose evaluation failed: findings with outcome `error`, and the alert on them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Exists, func, select
from sqlalchemy.orm import Session, sessionmaker

from alerts.platform import PlatformFault
from core.durations import DAY
from core.errors import Conflict
from core.window import Window
from db.queries import models
from db.queries.queue import runs
from db.session import unit_of_work
from db.tables import Finding as FindingRow
from db.tables import Model, Monitor
from monitors.finding import Finding, Outcome
from services.alerting import alert_transitions
from services.alerting.alert_transitions import Seen
from services.evaluation import evaluation_context
from services.models.monitor_config import by_day, enabled
from services.platform_faults import platform_alerts

RETRY_JOB = "retry"  # the job that evaluates a failed slot again


def record(
    sessions: sessionmaker[Session], model_id: UUID, slot: datetime, cause: str, now: datetime
) -> None:
    """Store that a whole slot could not be evaluated, so that later ones are not held back.

    Parameters
    ----------
    sessions
        Opens the one transaction.
    model_id, slot
        The model, and the end of the event day.
    cause
        Error class and message.
    now
        Wall time.
    """
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id, with_for_update={"key_share": True})
        if model.evaluated_until is not None and slot <= model.evaluated_until:
            return
        _store(
            session,
            model,
            slot,
            evaluation_context.champion_name(session, model_id),
            cause,
            now,
        )
        model.evaluated_until = slot
        update_alert(session, model, now)


def fill(session: Session, model: Model, slot: datetime, now: datetime) -> None:
    """Store a slot that was left out as failed, so that it can be evaluated again."""
    before = session.scalar(
        select(FindingRow)
        .where(FindingRow.model_id == model.id, FindingRow.as_of < slot)
        .order_by(FindingRow.as_of.desc())
        .limit(1)
    )
    version = (
        evaluation_context.champion_name(session, model.id)
        if before is None
        else before.version
    )
    _store(session, model, slot, version, "the slot was left out", now)


def _store(
    session: Session,
    model: Model,
    slot: datetime,
    version: str | None,
    cause: str,
    now: datetime,
) -> None:
    is_history = model.history_until is not None and slot <= model.history_until
    failed = Finding(
        outcome=Outcome.ERROR,
        value=None,
        threshold=None,
        window=Window(models.zone_of(model).later(slot, -DAY), slot),
        cause=cause,
    )
    seen = Seen(version=version, as_of=slot, is_history=is_history)
    for monitor in by_day(enabled(session, model.id)):
        session.add(alert_transitions.row_of(monitor, seen, failed, now))


def slots(session: Session, model_id: UUID) -> list[datetime]:
    """Return the slots in which a monitor that is enabled has failed, oldest first."""
    failed = (
        select(FindingRow.as_of)
        .join(Monitor, Monitor.id == FindingRow.monitor_id)
        .where(
            FindingRow.model_id == model_id,
            FindingRow.outcome == Outcome.ERROR,
            Monitor.enabled.is_(True),
        )
        .distinct()
        .order_by(FindingRow.as_of)
    )
    return [*session.scalars(failed)]


def has_failed() -> Exists:
    """Return the condition that the alert on failed evaluations of a model is open."""
    return platform_alerts.is_open(PlatformFault.EVALUATION_FAILED, Model.name)


def after(session: Session, model: Model, findings: Iterable[Finding], now: datetime) -> None:
    """Update the alert on failed evaluations, in the transaction that stores findings."""
    if any(finding.outcome is Outcome.ERROR for finding in findings) or session.scalar(
        select(has_failed()).select_from(Model).where(Model.id == model.id)
    ):
        update_alert(session, model, now)


def update_alert(session: Session, model: Model, now: datetime) -> None:
    """Fire the alert on failed evaluations of a model, or resolve it when none is left."""
    session.flush()
    failed = slots(session, model.id)
    if not failed:
        platform_alerts.resolve(session, PlatformFault.EVALUATION_FAILED, model.name, now)
        return
    monitor, cause = session.execute(
        select(Monitor.name, FindingRow.cause)
        .join(FindingRow, FindingRow.monitor_id == Monitor.id)
        .where(FindingRow.model_id == model.id, FindingRow.outcome == Outcome.ERROR)
        .where(FindingRow.as_of == failed[-1], Monitor.enabled.is_(True))
        .order_by(Monitor.name)
        .limit(1)
    ).one()
    days = f"{len(failed)} slots" if len(failed) > 1 else "1 slot"
    text = f"evaluation of {days} failed, last {failed[-1]:%Y-%m-%dT%H:%MZ}: {monitor}: {cause}"
    platform_alerts.fire(
        session, PlatformFault.EVALUATION_FAILED, model.name, text, now, model.id
    )


def ask_again(
    session: Session, model_name: str, slot: datetime | None, now: datetime
) -> list[datetime]:
    """Ask for the evaluation of failed slots again, each as of its own time.

    Parameters
    ----------
    session
        The open transaction.
    model_name
        Whose slots.
    slot
        The end of an event day that was evaluated; None for all that failed.
    now
        Wall time.

    Returns
    -------
    list of datetime
        The slots that a worker will evaluate again.

    Raises
    ------
    NotFound
        If there is no such model.
    Conflict
        If the slot is not the end of an event day, or was not evaluated yet.
    """
    model = models.find(session, model_name)
    chosen = slots(session, model.id) if slot is None else [_checked(session, model, slot)]
    for one in chosen:
        runs.ask(session, RETRY_JOB, one, now, str(model.id), again=True)
    return chosen


def _checked(session: Session, model: Model, slot: datetime) -> datetime:
    query = select(func.min(FindingRow.as_of)).where(FindingRow.model_id == model.id)
    first = session.scalar(query)
    if (
        first is None
        or model.evaluated_until is None
        or not first <= slot <= model.evaluated_until
    ):
        raise Conflict(f"slot {slot.isoformat()} was not evaluated yet")
    zone = models.zone_of(model)
    if slot != zone.floor(slot):
        raise Conflict(f"{slot.isoformat()} is not the end of an event day ({zone.name})")
    return slot.astimezone(UTC)
