"""What would monitors have found?

They look at each closed day of what is kept, and nothing is written. Every day
is looked at as it is known now, late rows and labels included, and measured
against what the champion was trained on, or against any other stretch.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from alerts.inhibition import is_inhibited
from alerts.state import AlertState, Flip, Phase, step
from core.errors import Unprocessable
from core.window import Window
from db.queries import models
from db.queries.log import positions, recompute_marks
from db.queries.summaries import SLICE, serving_slices
from db.session import read_only
from db.tables import Finding as FindingRow
from db.tables import Model, Monitor, ServingSlice
from monitors import registry
from monitors.drift.mean_shift import LevelParams
from monitors.drift.mean_shift_evaluation import LOOK_BACK
from monitors.drift.prediction_drift import PredictionDriftParams
from monitors.finding import Finding, Outcome
from monitors.input_fault.input_fault import Fault, InputFaultParams
from monitors.slo.burn_rate import BurnParams, Counts, Indicator, Slices
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import chunk_at
from monitors.temporal.window_profile import ShapeParams
from services.aggregation import window_profiles
from services.aggregation.window_profiles import Shapes
from services.alerting import alert_transitions
from services.evaluation import dispatch, evaluation_context, load_inputs, output_history
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluation_context import RECENT_DAYS, Scene
from services.evaluation.load_inputs import Task
from services.evaluation.output_history import Said
from services.models.monitor_config import FIRST, MonitorPlan, enabled

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HOURS_BACK = RECENT_DAYS * 24
MAX_DAYS = 3_660


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to replay.

    Attributes
    ----------
    since, until
        Bounds of event time; by default from the first day that was served to
        the last that has closed.
    reference
        Measured against this instead of against the champion's reference; its
        days are not looked at.
    reference_days
        The first so many days of the stretch are that reference.
    plans
        Monitors to try; by default those that the model has.
    """

    since: datetime | None = None
    until: datetime | None = None
    reference: Window | None = None
    reference_days: int | None = None
    plans: tuple[MonitorPlan, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One alert that would have been: from the first breach of it to its end.

    Attributes
    ----------
    since, until
        Event time; `until` is None while it still fired at the end.
    n_days
        Days with a breach.
    worst
        The highest value of them.
    inhibited
        A broken input explained it as long as it fired: nobody would have been notified.
    """

    monitor: str
    kind: str
    severity: str
    since: datetime
    until: datetime | None
    n_days: int
    worst: float | None
    cause: str
    inhibited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How often one monitor looked, and what came of it.

    Attributes
    ----------
    n_judged, n_without
        Days with a verdict, and days without one.
    why_without
        What it said on the last day without a verdict.
    promised_days, achieved_days
        Between two false alarms: as asked for, and as measured on the reference.
    days_between_episodes
        As replayed: all of them, the true ones too.
    """

    monitor: str
    kind: str
    severity: str
    n_judged: int
    n_without: int
    n_breaches: int
    n_episodes: int
    why_without: str
    promised_days: float | None
    achieved_days: float | None
    days_between_episodes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What monitors would have found, the oldest episode first.

    Attributes
    ----------
    waiting_rows, waiting_days
        Rows that are not yet folded and archived, and event days that are not yet
        joined with labels: what they hold is not in what was found.
    """

    model: str
    version: str | None
    since: datetime | None
    until: datetime | None
    n_days: int
    waiting_rows: int = 0
    waiting_days: int = 0
    records: tuple[Record, ...] = ()
    episodes: tuple[Episode, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Tracker:
    """One monitor on its way through the days."""

    plan: MonitorPlan
    monitor: Monitor
    state: AlertState = field(default_factory=AlertState)
    faults: tuple[Fault, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    breach: Finding | None = None
    episodes: list[Episode] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    seen: Scene
    tasks: tuple[Task, ...]


def replay(sessions: sessionmaker[Session], model_id: UUID, asked: Asked) -> Replay:
    """Let monitors look at each closed day of a stretch of what is kept.

    Parameters
    ----------
    sessions
        Opens transactions, to read.
    model_id
        Whose days.
    asked
        What to replay.

    Raises
    ------
    Unprocessable
        If a monitor's parameters mean nothing, or the stretch is too long.
    """
    # load
    with read_only(sessions) as session:
        model = session.get_one(Model, model_id)
        trackers = [_tracker(plan) for plan in _plans(session, model_id, asked)]
        asked = _with_reference(session, model_id, asked)
        name, stretch = model.name, _stretch(session, model, asked)
        version = evaluation_context.champion_name(session, model_id)
        waiting_rows, waiting_days = waiting(session, model_id)
        days = [] if stretch is None else [*_days(session, model, trackers, asked, stretch)]

    # decide
    baselines = Baselines(sessions)
    for day in days:
        _look(trackers, day, baselines)
    episodes = [episode for tracker in trackers for episode in tracker.episodes]
    return Replay(
        model=name,
        version=version,
        since=stretch.start if stretch else None,
        until=stretch.end if stretch else None,
        n_days=len(days),
        waiting_rows=waiting_rows,
        waiting_days=waiting_days,
        records=tuple(_record(tracker) for tracker in trackers),
        episodes=tuple(sorted(episodes, key=lambda one: (one.since, one.monitor))),
    )


def waiting(session: Session, model_id: UUID) -> tuple[int, int]:
    """Return how many rows wait for fold and archive, and how many days for a join."""
    n_rows, _ = models.backlog(session, model_id)
    return n_rows, len(positions.dirty_days(session, model_id))


def _plans(session: Session, model_id: UUID, asked: Asked) -> list[MonitorPlan]:
    plans = asked.plans
    if plans is None:
        plans = tuple(
            MonitorPlan(
                name=monitor.name,
                kind=monitor.kind,
                params=monitor.params,
                severity=monitor.severity,
            )
            for monitor in enabled(session, model_id)
        )
    return sorted(plans, key=lambda plan: plan.kind != FIRST)


def _tracker(plan: MonitorPlan) -> _Tracker:
    registry.parse(plan.kind, plan.params)  # refuses what means nothing
    # Never stored: it only carries kind and parameters to those who read for a monitor.
    monitor = Monitor(id=uuid4(), name=plan.name, kind=plan.kind, params=dict(plan.params))
    return _Tracker(plan=plan, monitor=monitor)


def _with_reference(session: Session, model_id: UUID, asked: Asked) -> Asked:
    """Turn the first days of the stretch into the reference, if so asked."""
    first = _first_served(session, model_id)
    if asked.reference_days is None or first is None:
        return asked
    start = max(first, asked.since or first)
    start = start.replace(hour=0, minute=0, second=0, microsecond=0)
    return replace(asked, reference=Window(start, start + asked.reference_days * DAY))


def _first_served(session: Session, model_id: UUID) -> datetime | None:
    """Return when a model first served; None before it has."""
    return session.scalar(
        select(func.min(ServingSlice.start)).where(ServingSlice.model_id == model_id)
    )


def _stretch(session: Session, model: Model, asked: Asked) -> Window | None:
    first = _first_served(session, model.id)
    closed = recompute_marks.settled(model)
    if first is None or closed is None:
        return None
    start = max(first, asked.since or first)
    if asked.reference is not None:
        start = max(start, asked.reference.end)
    start = start.replace(hour=0, minute=0, second=0, microsecond=0)
    end = min(closed, asked.until or closed)
    if end - start > MAX_DAYS * DAY:
        raise Unprocessable(f"at most {MAX_DAYS} days at once")
    return Window(start, end) if end - start >= DAY else None


def _days(
    session: Session,
    model: Model,
    trackers: Sequence[_Tracker],
    asked: Asked,
    stretch: Window,
) -> Iterator[_Day]:
    """Read everything once, and cut each day's view out of it."""
    base = evaluation_context.load(session, model, stretch.start)
    if asked.reference is not None:
        base = replace(base, reference=asked.reference, widest_reference=asked.reference)
    before = stretch.start - RECENT_DAYS * DAY
    whole = Window(before, stretch.end)
    counted = evaluation_context.counted_of(session, model, whole)
    hours = evaluation_context.on_hours(counted, whole)
    read = _read(session, model, trackers, stretch, base.champion)
    served_by = _served_by(session, model.id)
    at = stretch.start
    while at + DAY <= stretch.end:
        at += DAY
        recent = hours.until(chunk_at(at), HOURS_BACK)
        seen = replace(
            base,
            as_of=at,
            recent=recent,
            counted=counted.within(Window(at - RECENT_DAYS * DAY, at)),
            watermark=max(base.watermark, at),
        )
        # Accuracy is the champion's of that day, which need not be today's.
        champion = served_by.get(at, base.champion)
        tasks = [
            _task(
                session,
                model,
                tracker.monitor,
                replace(seen, champion=champion) if tracker.plan.kind == "accuracy" else seen,
                read,
            )
            for tracker in trackers
        ]
        yield _Day(seen=seen, tasks=tuple(tasks))


def _served_by(session: Session, model_id: UUID) -> dict[datetime, str | None]:
    """Return the champion of each day that was evaluated."""
    rows = session.execute(
        select(FindingRow.as_of, FindingRow.version)
        .where(FindingRow.model_id == model_id)
        .distinct()
    )
    return dict(rows.all())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Served:
    """All slices from a moment on."""

    start: datetime
    versions: Mapping[str, Counts]


def _read(
    session: Session,
    model: Model,
    trackers: Sequence[_Tracker],
    stretch: Window,
    champion: str | None,
) -> Mapping[UUID, _Served | Said | Shapes | Hourly]:
    """Read once what single monitors need of all days."""
    found: dict[UUID, _Served | Said | Shapes | Hourly] = {}
    for tracker in trackers:
        params = registry.parse(tracker.monitor.kind, tracker.monitor.params)
        if isinstance(params, BurnParams):
            start = stretch.start - params.period
            is_latency = params.indicator is Indicator.LATENCY
            served = serving_slices(
                session,
                model.id,
                Window(start, stretch.end),
                slower_than=params.slower_than_seconds if is_latency else None,
            )
            found[tracker.monitor.id] = _Served(start=start, versions=served)
        elif isinstance(params, PredictionDriftParams) and champion is not None:
            lately = Window(stretch.start - RECENT_DAYS * DAY, stretch.end)
            told = output_history.load(session, model.id, champion, params, lately)
            if told is not None:
                found[tracker.monitor.id] = told
        elif isinstance(params, ShapeParams) and champion is not None:
            start = window_profiles.lately(stretch.start, params).start
            inside = window_profiles.load(
                session, model.id, champion, params, Window(start, stretch.end)
            )
            if inside is not None:
                found[tracker.monitor.id] = inside
        elif isinstance(params, LevelParams) and not params.by_segment:
            lately = Window(stretch.start - LOOK_BACK, stretch.end)
            found[tracker.monitor.id] = evaluation_context.input_of(session, model, lately)
    return found


def _task(
    session: Session,
    model: Model,
    monitor: Monitor,
    seen: Scene,
    read: Mapping[UUID, _Served | Said | Shapes | Hourly],
) -> Task:
    params = registry.parse(monitor.kind, monitor.params)
    whole = read.get(monitor.id)
    if isinstance(params, BurnParams):
        assert isinstance(whole, _Served)
        end = (seen.as_of - whole.start) // SLICE
        part = np.s_[end - params.period // SLICE : end]
        versions = {name: counts.cut(part) for name, counts in whole.versions.items()}
        slices = Slices(width=SLICE, versions=versions)
        return Task(monitor_id=monitor.id, params=params, slices=slices)
    if isinstance(params, LevelParams) and not params.by_segment:
        assert isinstance(whole, Hourly)
        history = whole.until(chunk_at(seen.as_of), LOOK_BACK // HOUR)
        return Task(monitor_id=monitor.id, params=params, history=history)
    if isinstance(params, PredictionDriftParams):
        told = whole if isinstance(whole, Said) else None
        return Task(monitor_id=monitor.id, params=params, said=told)
    if isinstance(params, ShapeParams):
        inside = whole if isinstance(whole, Shapes) else None
        return Task(monitor_id=monitor.id, params=params, shapes=inside)
    if isinstance(params, InputFaultParams) and not params.by_segment:
        return Task(monitor_id=monitor.id, params=params)
    return load_inputs.prepare(session, model, monitor, seen)


def _look(trackers: Sequence[_Tracker], day: _Day, baselines: Baselines) -> None:
    for tracker, task in zip(trackers, day.tasks, strict=True):
        finding = dispatch.look(replace(task, faults=tracker.faults), day.seen, baselines)
        tracker.findings.append(finding)
        if tracker.plan.kind == FIRST and finding.outcome is not Outcome.ERROR:
            known = finding.detail.get("faults")
            found = known if isinstance(known, list) else []
            tracker.faults = tuple(Fault.from_json(fault) for fault in found)
        broken = {fault.feature for other in trackers for fault in other.faults}
        _step(tracker, finding, day.seen.as_of, broken)


def _step(tracker: _Tracker, finding: Finding, as_of: datetime, broken: Set[str]) -> None:
    kind, rule = tracker.plan.kind, alert_transitions.rule_of(tracker.plan.kind)
    tracker.state, change = step(rule, tracker.state, finding.outcome, as_of)
    if finding.outcome is Outcome.BREACH:
        tracker.breach = finding
    episodes = tracker.episodes
    if change is not None and change.flip is Flip.FIRED:
        assert tracker.state.since is not None
        episodes.append(
            Episode(
                monitor=tracker.plan.name,
                kind=kind,
                severity=tracker.plan.severity or registry.find(kind).severity,
                since=tracker.state.since,
                until=None,
                n_days=rule.breaches_to_fire - 1,
                worst=None,
                cause=finding.cause,
                inhibited=True,
            )
        )
    if change is not None and change.flip is Flip.RESOLVED:
        episodes[-1] = replace(episodes[-1], until=as_of)
    elif tracker.state.phase is Phase.FIRING:
        assert tracker.breach is not None
        still = is_inhibited(kind, tracker.breach.detail, broken)
        episodes[-1] = replace(episodes[-1], inhibited=episodes[-1].inhibited and still)
        if finding.outcome is Outcome.BREACH:
            episodes[-1] = _worse(episodes[-1], finding)


def _worse(episode: Episode, finding: Finding) -> Episode:
    values = [value for value in (episode.worst, finding.value) if value is not None]
    return replace(episode, n_days=episode.n_days + 1, worst=max(values, default=None))


def _record(tracker: _Tracker) -> Record:
    judged = [f for f in tracker.findings if f.outcome in (Outcome.OK, Outcome.BREACH)]
    without = [f for f in tracker.findings if f.outcome not in (Outcome.OK, Outcome.BREACH)]
    achieved = judged[-1].detail.get("achieved_days") if judged else None
    promised = judged[-1].detail.get("promised_days") if judged else None
    n = len(tracker.episodes)
    return Record(
        monitor=tracker.plan.name,
        kind=tracker.plan.kind,
        severity=tracker.plan.severity or registry.find(tracker.plan.kind).severity,
        n_judged=len(judged),
        n_without=len(without),
        n_breaches=sum(f.outcome is Outcome.BREACH for f in judged),
        n_episodes=n,
        why_without=without[-1].cause if without else "",
        promised_days=promised if isinstance(promised, int | float) else None,
        achieved_days=achieved if isinstance(achieved, int | float) else None,
        days_between_episodes=len(judged) / n if n else None,
    )
