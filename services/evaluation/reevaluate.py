"""Look again at event days that were judged before all of their rows were in.

A finding that says something else now is revised: it counts its revisions and
keeps what it said first. An alert is no finding: it told what was known, and
late rows neither fire nor withdraw it. What a corrected day means for the next
one is told in `services.alerting.alert_transitions`.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from core.errors import Unprocessable
from core.policy import Policy
from core.schema.contract import Contract
from core.window import Window
from db.queries import models
from db.queries.log import recompute_marks
from db.queries.log.recompute_marks import DAY, Mark, midnight
from db.session import read_only, unit_of_work
from db.tables import Finding as FindingRow
from db.tables import Model, Monitor, ServingSlice
from monitors import registry
from monitors.baselines.self_reference import LOOKS_BACK, OwnPastParams
from monitors.drift.mean_shift import LevelParams
from monitors.drift.mean_shift_evaluation import LOOK_BACK
from monitors.drift.prediction_drift import PredictionDriftParams, reference_of
from monitors.finding import Finding, Outcome
from monitors.performance.accuracy import AccuracyParams
from monitors.registry import Params
from monitors.slo.burn_rate import BurnParams
from monitors.temporal import window_profile
from monitors.temporal.window_profile import ShapeParams
from services.aggregation import window_profiles
from services.alerting import alert_transitions, inhibition
from services.alerting.alert_transitions import Seen
from services.evaluation import (
    dispatch,
    error_history,
    evaluation_context,
    failed_slots,
    load_inputs,
    output_history,
)
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluation_context import Past
from services.models.monitor_config import enabled

MAX_LOOKS = 40  # at one go: the other jobs of a worker wait meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which looks of a model to take again.

    Attributes
    ----------
    marks
        The changes that call for them.
    reaches
        For each change, the last look that sees it.
    looks
        The ends of event days, the oldest first; all of them.
    """

    marks: Sequence[Mark]
    reaches: Sequence[datetime]
    looks: Sequence[datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """What came of looking again.

    Attributes
    ----------
    n_looks
        Event days that were looked at.
    n_revised
        Findings that say something else now, or were made for the first time.
    is_whole
        Whether no look is left for the next run.
    """

    n_looks: int
    n_revised: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What one monitor says when it looks again."""

    monitor_id: UUID
    seen: Seen
    finding: Finding


def rejudge(
    sessions: sessionmaker[Session],
    baselines: Baselines,
    model_id: UUID,
    now: datetime,
    max_looks: int = MAX_LOOKS,
) -> Rejudged:
    """Look again at the days of a model that late rows have changed, the oldest first.

    Each day is saved by itself, and the marks go when all of their looks were
    taken: whoever dies in between leaves only looks that are taken once more,
    and those change nothing.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while a monitor looks.
    baselines
        What references teach.
    model_id
        Whose days.
    now
        Wall time.
    max_looks
        How many event days at one go; the rest stays marked.

    Returns
    -------
    Rejudged
        What came of it.
    """
    with read_only(sessions) as session:
        plan = _plan(session, session.get_one(Model, model_id))
    if plan is None:
        return Rejudged(n_looks=0, n_revised=0, is_whole=True)
    looks = plan.looks[:max_looks]
    n_revised = sum(_look_again(sessions, baselines, model_id, at, looks, now) for at in looks)
    with unit_of_work(sessions) as session:
        _settle(session, model_id, plan, looks)
    return Rejudged(
        n_looks=len(looks), n_revised=n_revised, is_whole=len(looks) == len(plan.looks)
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
    again by `rejudge`. Alerts stay where they are.

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
        if model.judged_until is None or slot > model.judged_until:
            return 0  # its turn comes
        if _past(session, model, slot) is None:
            failed_slots.fill(session, model, slot, now)
    return _look_again(sessions, baselines, model_id, slot, (), now)


def _plan(session: Session, model: Model) -> Plan | None:
    if model.judged_until is None:
        return None
    marks = [
        m
        for m in recompute_marks.marks(session, model.id)
        if midnight(m.day) < model.judged_until
    ]
    if not marks:
        return None
    references = [*evaluation_context.revisions(models.versions(session, model.id))]
    references += _said_before(session, model)
    references += _inside_before(session, model)
    back = _look_back(session, model)
    first = session.scalar(
        select(func.min(ServingSlice.start)).where(ServingSlice.model_id == model.id)
    )
    reaches, wanted = [], set[datetime]()
    for mark in marks:
        start = midnight(mark.day)
        is_reference = any(w.start < start + DAY and w.end > start for w in references)
        reach = model.judged_until if is_reference else min(model.judged_until, start + back)
        reaches.append(reach)
        at = max(start, mark.done_until or start)
        if first is not None:
            at = max(at, first.replace(hour=0, minute=0, second=0, microsecond=0))
        while at < reach:
            at += DAY
            wanted.add(at)
    return Plan(marks=marks, reaches=reaches, looks=sorted(wanted))


def _said_before(session: Session, model: Model) -> list[Window]:
    """Return the days that what versions said, and how they erred, is measured against."""
    found: list[Window] = []
    for params in _params(session, model):
        if isinstance(params, PredictionDriftParams):
            whole = 2 * timedelta(days=params.reference_days)
            firsts = output_history.began(session, model.id).values()
            found += [reference_of(params, first, first + whole) for first in firsts]
        elif isinstance(params, OwnPastParams):
            found += error_history.references(session, model.id, params)
    return found


def _inside_before(session: Session, model: Model) -> list[Window]:
    """Return the days that the inside of rows is measured against."""
    firsts = window_profiles.firsts(session, model.id)
    return [
        window_profile.reference_of(
            params, first, first + 2 * timedelta(days=params.reference_days)
        )
        for params in _params(session, model)
        if isinstance(params, ShapeParams)
        for first in firsts
    ]


def _params(session: Session, model: Model) -> Iterator[Params]:
    for monitor in enabled(session, model.id):
        # One that cannot be read says that it cannot look, whatever the rows are.
        with suppress(Unprocessable):
            yield registry.parse(monitor.kind, monitor.params)


def _look_back(session: Session, model: Model) -> timedelta:
    """Return how long after a day some look still sees it."""
    contract, policy = Contract.from_json(model.contract), Policy.from_json(model.policy)
    reach = contract.horizon * contract.step + policy.label_delay
    days = evaluation_context.RECENT_DAYS
    for params in _params(session, model):
        match params:
            case AccuracyParams():
                days = max(days, ceil(reach / DAY) + params.window_days + 1)
            case OwnPastParams():
                back = params.window_days + LOOKS_BACK
                days = max(days, ceil(reach / DAY) + back + 1)
            case BurnParams():
                days = max(days, params.period_days)
            case LevelParams():
                days = max(days, LOOK_BACK.days)
            case ShapeParams():
                days = max(days, window_profiles.days_back(params))
            case _:
                pass
    return days * DAY


def _look_again(
    sessions: sessionmaker[Session],
    baselines: Baselines,
    model_id: UUID,
    as_of: datetime,
    looks: Sequence[datetime],
    now: datetime,
) -> int:
    # load
    with read_only(sessions) as session:
        model = session.get_one(Model, model_id)
        monitors = enabled(session, model_id)
        past = _past(session, model, as_of)
        if past is None:
            return 0
        scenery = evaluation_context.load(session, model, as_of, past)
        tasks = [load_inputs.prepare(session, model, monitor, scenery) for monitor in monitors]
        is_history = model.history_until is not None and as_of <= model.history_until

    # decide
    seen = Seen(version=scenery.champion, as_of=as_of, is_history=is_history)
    again = [
        Again(
            monitor_id=task.monitor_id,
            seen=seen,
            finding=dispatch.look(task, scenery, baselines),
        )
        for task in tasks
    ]

    # save
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id, with_for_update={"key_share": True})
        n_revised = sum(_save(session, one, looks, now) for one in again)
        failed_slots.after(session, model, [one.finding for one in again], now)
    return n_revised


def _past(session: Session, model: Model, as_of: datetime) -> Past | None:
    """Return who served when a day was judged; None for a day that was not, and is not due."""
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


def _save(session: Session, one: Again, looks: Sequence[datetime], now: datetime) -> int:
    monitor = session.get_one(Monitor, one.monitor_id)
    as_of, finding = one.seen.as_of, one.finding
    row = session.scalar(
        select(FindingRow).where(FindingRow.monitor_id == monitor.id, FindingRow.as_of == as_of)
    )
    if row is None:
        if not one.seen.is_history:
            return 0  # the monitor was made, or switched on, after that day
        session.add(alert_transitions.row_of(monitor, one.seen, finding, now))
        before: Any = None
    else:
        before, after = _said(row), _told(finding)
        if before == after:
            return 0
        if row.first is None:
            row.first = before
        row.window_start, row.window_end = finding.window.start, finding.window.end
        row.outcome, row.value, row.threshold = (
            finding.outcome,
            finding.value,
            finding.threshold,
        )
        row.cause, row.detail = finding.cause, dict(finding.detail)
        row.rev += 1
        row.revised_at = now
    # A look for faults goes on from the faults of the look before.
    is_changed = _followed(session, monitor, as_of, before) != _followed(
        session, monitor, as_of, _told(finding)
    )
    if is_changed and as_of + DAY not in looks:
        recompute_marks.mark(session, monitor.model_id, [as_of.date()])
    return 1


def _said(row: FindingRow) -> dict[str, Any]:
    return {
        "outcome": row.outcome.value,
        "value": row.value,
        "threshold": row.threshold,
        "cause": row.cause,
        "detail": row.detail,
    }


def _told(finding: Finding) -> dict[str, Any]:
    """Return what a finding says, as it would be read back."""
    told = asdict(finding) | {"outcome": finding.outcome.value}
    del told["window"]
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def _followed(
    session: Session, monitor: Monitor, as_of: datetime, said: dict[str, Any] | None
) -> list[Any]:
    """Return the faults that the next look goes on from; one that failed forgets none."""
    if said is None or said["outcome"] == Outcome.ERROR:
        return [fault.to_json() for fault in inhibition.known(session, monitor.id, as_of)]
    followed: list[Any] = said["detail"].get("faults", [])
    return followed


def _settle(session: Session, model_id: UUID, plan: Plan, looks: Sequence[datetime]) -> None:
    """Take off the marks whose looks were all taken; note how far the others are."""
    is_whole = len(looks) == len(plan.looks)
    for mark, reach in zip(plan.marks, plan.reaches, strict=True):
        if is_whole or (looks and reach <= looks[-1]):
            recompute_marks.clear(session, model_id, mark.day, mark.rev)
        elif looks and looks[-1] > midnight(mark.day):
            recompute_marks.progress(session, model_id, mark, looks[-1])
