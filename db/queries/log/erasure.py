"""Queries of erasure: rows of a subject in the database, outside the lake."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, delete, exists, func, select, union
from sqlalchemy.orm import Session

from db.tables import (
    Erasure,
    Inbox,
    PendingEvent,
    Quarantine,
    Rollout,
    SessionScore,
    UnusableAnswer,
)

AT_ONCE = 500  # rows read, and parameters of a statement


def of_model(session: Session, model_id: UUID) -> list[Erasure]:
    """Return the erasures of a model, newest first."""
    ordered = select(Erasure).order_by(Erasure.asked_at.desc(), Erasure.id)
    return [*session.scalars(ordered.where(Erasure.model_id == model_id))]


def unfinished(session: Session, model_id: UUID) -> list[Erasure]:
    """Return the erasures of a model that are to be done, oldest first."""
    return [
        *session.scalars(
            select(Erasure)
            .where(Erasure.model_id == model_id, Erasure.finished_at.is_(None))
            .order_by(Erasure.asked_at, Erasure.id)
        )
    ]


def waiting_models(session: Session) -> list[UUID]:
    """Return the models with erasures that are to be done."""
    todo = select(Erasure.model_id).where(Erasure.finished_at.is_(None)).distinct()
    return [*session.scalars(todo)]


def newest_entry(session: Session, model_id: UUID) -> int | None:
    """Return the newest entry of a model's inbox; None when it is empty."""
    return session.scalar(select(func.max(Inbox.id)).where(Inbox.model_id == model_id))


def has_entries(session: Session, model_id: UUID, up_to: int) -> bool:
    """Return whether entries of the inbox up to this one are still there."""
    waits = exists().where(Inbox.model_id == model_id, Inbox.id <= up_to)
    return bool(session.scalar(select(waits)))


def quarantined(session: Session, model_id: UUID) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows in quarantine, by id."""
    last = 0
    while True:
        rows = session.execute(
            select(Quarantine.id, Quarantine.content)
            .where(Quarantine.model_id == model_id, Quarantine.id > last)
            .order_by(Quarantine.id)
            .limit(AT_ONCE)
        ).all()
        for row in rows:
            yield row.id, row.content
        if len(rows) < AT_ONCE:
            return
        last = rows[-1].id


def release(session: Session, ids: Iterable[int]) -> int:
    """Delete rows of the quarantine; how many were still there."""
    n_rows, wanted = 0, [*ids]
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        gone = session.execute(delete(Quarantine).where(Quarantine.id.in_(some)))
        n_rows += cast(CursorResult[None], gone).rowcount
    return n_rows


def pending_events(session: Session, model_id: UUID) -> list[PendingEvent]:
    """Return the pending events."""
    return [*session.scalars(select(PendingEvent).where(PendingEvent.model_id == model_id))]


def scored_sessions(session: Session, model_id: UUID) -> list[str]:
    """Return the sessions that comparisons of versions hold."""
    scores = select(SessionScore.session_id).join(Rollout).where(Rollout.model_id == model_id)
    failed = select(UnusableAnswer.session_id).where(UnusableAnswer.model_id == model_id)
    return [*session.scalars(union(scores, failed))]


def forget_scores(session: Session, model_id: UUID, session_ids: Iterable[str]) -> None:
    """Delete what is stored of sessions in the comparisons of versions."""
    wanted = sorted(session_ids)
    rollouts = select(Rollout.id).where(Rollout.model_id == model_id)
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        session.execute(
            delete(SessionScore)
            .where(SessionScore.rollout_id.in_(rollouts), SessionScore.session_id.in_(some))
            .execution_options(synchronize_session=False)
        )
        session.execute(
            delete(UnusableAnswer).where(
                UnusableAnswer.model_id == model_id, UnusableAnswer.session_id.in_(some)
            )
        )


def forget_quarantined(session: Session, model_id: UUID, before: datetime) -> int:
    """Delete what came into quarantine before a moment; how many rows."""
    gone = session.execute(
        delete(Quarantine).where(
            Quarantine.model_id == model_id, Quarantine.received_at < before
        )
    )
    return cast(CursorResult[None], gone).rowcount
