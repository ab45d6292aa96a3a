"""Re-evaluate event days that were evaluated before all of their rows were in.

A finding that changes is revised: it counts its revisions and
keeps its first result. Alerts are not revised: they were right at the time, and
late rows neither fire nor withdraw it. What a corrected day means for the next
one is described in `services.alerting.alert_transitions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.window import Window
from db.queries import models, publication, summaries
from db.queries.log import recompute_marks
from db.queries.log.recompute_marks import Mark
from db.session import read_only, unit_of_work
from db.tables import Finding as FindingRow
from db.tables import Model, Monitor
from monitors import registry
from monitors.finding import Finding, Outcome
from monitors.kind import RECENT, Source
from monitors.slo.serving import SERVING
from monitors.sources import reads
from services.alerting import alert_transitions, inhibition
from services.alerting.alert_transitions import Seen
from services.evaluation import evaluation_context, failed_slots
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_monitor import evaluate
from services.evaluation.evaluation_context import Past
from services.evaluation.prepare import prepare
from services.evaluation.readers import reader
from services.models.monitor_config import by_day, enabled, sources_of

MAX_SLOTS = 40  # at one go: the other jobs of a worker wait meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which slots of a model to re-evaluate.

    Attributes
    ----------
    marks
        The changes that call for them.
    reaches
        For each change, the last evaluation that sees it.
    slots
        The ends of event days, the oldest first; all of them.
    """

    marks: Sequence[Mark]
    reaches: Sequence[datetime]
    slots: Sequence[datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reevaluated:
    """Result of a re-evaluation.

    Attributes
    ----------
    n_evaluations
        Event days that were evaluated.
    n_revised
        Findings that were revised, or were made for the first time.
    is_whole
        Whether no evaluation is left for the next run.
    """

    n_evaluations: int
    n_revised: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reevaluation:
    """Finding of one monitor in a re-evaluation."""

    monitor_id: UUID
    seen: Seen
    finding: Finding


def reevaluate(
    sessions: sessionmaker[Session],
    baselines: Baselines,
    model_id: UUID,
    now: datetime,
    max_slots: int = MAX_SLOTS,
) -> Reevaluated:
    """Re-evaluate the days of a model that late rows have changed, the oldest first.

    Each day is saved by itself, and the marks go when all of their evaluations were
    done: a worker that dies in between leaves only slots that are evaluated once more,
    and those change nothing.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while a monitor is evaluated.
    baselines
        What references teach.
    model_id
        Whose days.
    now
        Wall time.
    max_slots
        How many event days at one go; the rest stays marked.

    Returns
    -------
    Reevaluated
        What came of it.
    """
    with read_only(sessions) as session:
        plan = _plan(session, session.get_one(Model, model_id))
    if plan is None:
        return Reevaluated(n_evaluations=0, n_revised=0, is_whole=True)
    slots = plan.slots[:max_slots]
    n_revised = sum(
        _reevaluate_slot(sessions, baselines, model_id, at, slots, now) for at in slots
    )
    with unit_of_work(sessions) as session:
        _settle(session, model_id, plan, slots)
    return Reevaluated(
        n_evaluations=len(slots), n_revised=n_revised, is_whole=len(slots) == len(plan.slots)
    )


def evaluate_again(
    sessions: sessionmaker[Session],
    baselines: Baselines,
    model_id: UUID,
    slot: datetime,
    now: datetime,
) -> int:
    """Evaluate one slot again, as of its own time: one that failed, or was left out.

    Later findings that read what this slot finds are marked, and evaluated
    again by `reevaluate`. Alerts stay where they are.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while monitors compute.
    baselines
        What references teach.
    model_id, slot
        The model, and the end of an event day up to which it was evaluated.
    now
        Wall time.

    Returns
    -------
    int
        Findings that were revised or made.
    """
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id)
        if model.evaluated_until is None or slot > model.evaluated_until:
            return 0  # its turn comes
        if _past(session, model, slot) is None:
            failed_slots.fill(session, model, slot, now)
    return _reevaluate_slot(sessions, baselines, model_id, slot, (), now)


def _plan(session: Session, model: Model) -> Plan | None:
    if model.evaluated_until is None:
        return None
    zone = models.zone_of(model)
    marks = [
        m
        for m in recompute_marks.marks(session, model.id)
        if zone.start(m.day) < model.evaluated_until
    ]
    if not marks:
        return None
    compared, back = references(session, model), _look_back(session, model)
    first = summaries.first(session, SERVING, model.id)
    reaches, wanted = [], set[datetime]()
    for mark in marks:
        day = zone.bounds(mark.day)
        is_reference = any(part.overlaps(day) for part in compared)
        reach = model.evaluated_until
        if not is_reference:
            reach = min(reach, zone.later(day.start, back))
        reaches.append(reach)
        at = max(day.start, mark.done_until or day.start)
        if first is not None:
            at = max(at, zone.floor(first))
        for end in zone.ends(at, model.evaluated_until):
            if at >= reach:
                break
            wanted.add(at := end)
    return Plan(marks=marks, reaches=reaches, slots=sorted(wanted))


def references(session: Session, model: Model) -> list[Window]:
    """Return the days that any evaluation is measured against."""
    found = [part for one in models.versions(session, model.id) for part in one.reference]
    for source in _sources(session, model):
        found += reader(source).references(session, model, source)
    return found


def _look_back(session: Session, model: Model) -> timedelta:
    """Return how long after a day some evaluation still reads it."""
    contract, policy = model.contract, model.policy
    found = [reads(source, contract, policy) for source in _sources(session, model)]
    return max((read[1] for read in found if read is not None), default=RECENT)


def _sources(session: Session, model: Model) -> set[Source[Any]]:
    return {source for one in by_day(enabled(session, model.id)) for source in sources_of(one)}


def _reevaluate_slot(
    sessions: sessionmaker[Session],
    baselines: Baselines,
    model_id: UUID,
    as_of: datetime,
    slots: Sequence[datetime],
    now: datetime,
) -> int:
    # load
    with read_only(sessions) as session:
        model = session.get_one(Model, model_id)
        past = _past(session, model, as_of)
        if past is None:
            return 0
        of = evaluation_context.subject(session, model_id)
        context = evaluation_context.load(of, as_of, past)
        prepared = prepare(of, context, baselines)
        is_history = model.history_until is not None and as_of <= model.history_until

    # decide
    seen = Seen(version=context.champion, as_of=as_of, is_history=is_history)
    reevaluations = [
        Reevaluation(
            monitor_id=one.monitor_id,
            seen=seen,
            finding=evaluate(one, context, baselines),
        )
        for one in prepared
        if not one.rolled_up  # its finding stays as it was
    ]

    # save
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id, with_for_update={"key_share": True})
        n_revised = sum(_save(session, one, slots, now) for one in reevaluations)
        failed_slots.after(session, model, [one.finding for one in reevaluations], now)
    return n_revised


def _past(session: Session, model: Model, as_of: datetime) -> Past | None:
    """Return the champion of an evaluated day; None for a day that is not due."""
    row = session.scalar(
        select(FindingRow)
        .where(FindingRow.model_id == model.id, FindingRow.as_of == as_of)
        .order_by(FindingRow.recorded_at)
        .limit(1)
    )
    if row is not None:
        return Past(champion=row.version, known_at=row.recorded_at)
    if model.history_until is None or as_of > model.history_until:
        return None
    champion = models.champion(session, model.id)
    if champion is None:
        return Past(champion=None, known_at=model.created_at)
    return Past(champion=champion[1].name, known_at=champion[1].created_at)


def _save(session: Session, one: Reevaluation, slots: Sequence[datetime], now: datetime) -> int:
    monitor, as_of = session.get_one(Monitor, one.monitor_id), one.seen.as_of
    row = session.scalar(
        select(FindingRow).where(FindingRow.monitor_id == monitor.id, FindingRow.as_of == as_of)
    )
    found = alert_transitions.row_of(monitor, one.seen, one.finding, now)
    before: Any = None if row is None else _content(row)
    after = _content(found)
    if before == after or (row is None and not one.seen.is_history):
        return 0  # nothing changed, or the monitor was made, or switched on, after that day
    if row is None:
        session.add(found)
    else:
        row.first = row.first or before
        for name in ("window_start", "window_end", *after):
            setattr(row, name, getattr(found, name))
        row.rev += 1
        row.revised_at = now
        publication.wait(row)
    # What the next evaluation reads of this finding may have changed.
    is_changed = _left(session, monitor, as_of, before) != _left(session, monitor, as_of, after)
    zone = models.zone_of(session.get_one(Model, monitor.model_id))
    if is_changed and zone.later(as_of, DAY) not in slots:
        recompute_marks.mark(session, monitor.model_id, [zone.day_of(as_of)])
    return 1


def _content(row: FindingRow) -> dict[str, Any]:
    """Return what is stored of a finding before it is revised."""
    return {
        "outcome": row.outcome.value,
        "value": row.value,
        "threshold": row.threshold,
        "cause": row.cause,
        "detail": row.detail,
    }


def _left(
    session: Session, monitor: Monitor, as_of: datetime, content: dict[str, Any] | None
) -> object:
    """Return what a finding leaves for the next evaluation; one that failed changes nothing."""
    kind = registry.KINDS.get(monitor.kind)
    if kind is None or kind.state is None:
        return None
    if content is None or content["outcome"] == Outcome.ERROR:
        newest = inhibition.newest_detail(session, monitor, as_of)
        return None if newest is None else kind.state(newest)
    return kind.state(kind.detail_of(content["detail"]))


def _settle(session: Session, model_id: UUID, plan: Plan, slots: Sequence[datetime]) -> None:
    """Remove the marks whose slots were all re-evaluated; note how far the others are."""
    is_whole = len(slots) == len(plan.slots)
    zone = models.zone_of(session.get_one(Model, model_id))
    for mark, reach in zip(plan.marks, plan.reaches, strict=True):
        if is_whole or (slots and reach <= slots[-1]):
            recompute_marks.clear(session, model_id, mark.day, mark.rev)
        elif slots and slots[-1] > zone.start(mark.day):
            recompute_marks.progress(session, model_id, mark, slots[-1])
