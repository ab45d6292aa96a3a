"""History of rollouts, with their events."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.stored import from_attributes
from db.tables import Model, Rollout, RolloutEvent, Version
from retrain.deadline import Deadline
from retrain.gate import Gate
from retrain.rollout import CANARY_STEPS, Phase
from retrain.verdict import Verdict
from services.read_models.overview.rollouts import Progress, RolloutLine, Step
from services.read_models.paging import Page, Paging
from services.rollouts import deadlines


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutNow(RolloutLine):
    """One rollout. `share_percent` is the share of new sessions that the challenger has.

    `deadline` is when its phase ends by itself, `reference` what its trainer knows it by.
    """

    share_percent: float
    template: str
    trainer: str
    reference: str | None
    onset: datetime | None
    not_before: datetime
    gate: Gate | None
    verdict: Verdict | None
    progress: Progress
    deadline: Deadline | None
    events: list[Step]


def rollouts(session: Session, model_id: UUID | None, paging: Paging) -> Page[RolloutNow]:
    """Return the rollouts of one model or of all, newest first."""
    query = select(Rollout)
    if model_id is not None:
        query = query.where(Rollout.model_id == model_id)
    order = ((Rollout.created_at, True), (Rollout.id, True))
    found = paging.rows(session, query, order, tuple[datetime, UUID])
    items = _histories(session, [row[0] for row in found.items])
    return Page(items=items, next_cursor=found.next_cursor)


def rollout(session: Session, rollout_id: UUID) -> RolloutNow:
    """Return one rollout, or raise NotFound."""
    return _histories(session, [find(session, rollout_id)])[0]


def find(session: Session, rollout_id: UUID) -> Rollout:
    """Return the row of a rollout, or raise NotFound."""
    row = session.get(Rollout, rollout_id)
    if row is None:
        raise NotFound(f"no rollout {rollout_id}")
    return row


def _histories(session: Session, rows: list[Rollout]) -> list[RolloutNow]:
    session.flush()
    names = {
        model.id: model.name
        for model in session.scalars(
            select(Model).where(Model.id.in_({row.model_id for row in rows}))
        )
    }
    wanted = {row.base_id for row in rows} | {row.challenger_id for row in rows}
    versions: dict[UUID | None, str] = {
        version.id: version.name
        for version in session.scalars(select(Version).where(Version.id.in_(wanted - {None})))
    }
    steps: dict[UUID, list[Step]] = defaultdict(list)
    for event in session.scalars(
        select(RolloutEvent)
        .where(RolloutEvent.rollout_id.in_([row.id for row in rows]))
        .order_by(RolloutEvent.recorded_at, RolloutEvent.at)
    ):
        steps[event.rollout_id].append(from_attributes(Step, event))
    return [
        from_attributes(
            RolloutNow,
            row,
            model=names[row.model_id],
            share_percent=_share(row),
            base=versions.get(row.base_id),
            challenger=versions.get(row.challenger_id),
            progress=msgspec.convert(row.progress, Progress),
            deadline=deadlines.of_rollout(session, row),
            events=steps[row.id],
        )
        for row in rows
    ]


def _share(row: Rollout) -> float:
    if row.phase is Phase.PROMOTED:
        return 100.0
    has_begun = row.phase in (Phase.CANARY, Phase.PAUSED) and row.step_since is not None
    return CANARY_STEPS[row.step] / 100 if has_begun else 0.0
