"""Overview of all models."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from alerts.state import Phase
from core.stored import from_attributes
from db.queries.read import overview
from db.tables import Champion, Model, Rollout, Version
from retrain.rollout import Phase as RolloutPhase
from services.read_models.overview.monitor_status import (
    Health,
    MonitorStatus,
    health,
    health_of,
    status_of,
)

PRESSING = [*Health]  # in the order of the enumeration
PAGE = 50  # models
TREND_FINDINGS = 30  # accuracy is evaluated once per event day: a month


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRollout:
    """The rollout of a model that is not over."""

    id: UUID
    phase: RolloutPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHealth:
    """One model in the fleet.

    Attributes
    ----------
    error, objective
        Standardised error over the newest window that accuracy was evaluated on,
        and what it is held to.
    trend
        The same error at each of the last evaluations, oldest first; None where too
        few labels were in.
    budget
        Share of the error budget left, of the monitor that has least.
    watermark, last_received_at
        The newest event, in event time; and when anything last came, in wall time.
    """

    name: str
    description: str
    group: str
    tags: tuple[str, ...]
    champion: str | None
    health: Health
    firing: tuple[MonitorStatus, ...]
    error: float | None
    objective: float | None
    trend: tuple[float | None, ...]
    drift: MonitorStatus | None
    budget: float | None
    watermark: datetime | None
    last_received_at: datetime | None
    rollout: OpenRollout | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetQuery:
    """Which models: of one health, group and tag, whose name holds a text; and which page."""

    health: Health | None = None
    text: str = ""
    group: str = ""
    tag: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A page of the fleet.

    Attributes
    ----------
    models
        The most pressing first, then by name.
    n_models, n_found, n_rollouts
        All that the reader may see, those that match, and rollouts under way.
    counts, groups, tags
        Models by health, by group and by tag, of all.
    page, n_pages
        From 1.
    """

    models: tuple[ModelHealth, ...]
    n_models: int
    n_found: int
    n_rollouts: int
    counts: Mapping[Health, int]
    groups: Mapping[str, int]
    tags: Mapping[str, int]
    page: int
    n_pages: int


def fleet(session: Session, only: UUID | None, query: FleetQuery) -> Fleet:
    """Describe a page of the models that the reader may see: all, or the only one."""
    # load
    known = overview.states(session, only)
    states = {
        name: health(
            is_firing=firing > 0,
            is_broken=broken > 0,
            is_pending=pending > 0,
            is_ok=ok > 0,
            watermark=watermark,
        )
        for name, _, _, watermark, firing, broken, pending, ok in known
    }
    found = [
        name
        for name, group, tags, *_ in known
        if query.health in (None, states[name])
        and query.text.casefold() in name.casefold()
        and query.group in ("", group)
        and query.tag in ("", *tags)
    ]
    found.sort(key=lambda name: PRESSING.index(states[name]))
    n_pages = max(-(-len(found) // PAGE), 1)
    page = min(max(query.page, 1), n_pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    rows = overview.models(session, only, shown)
    ids = [model.id for model, _, _ in rows]
    monitor_statuses: dict[UUID, list[MonitorStatus]] = defaultdict(list)
    for monitor, alert, finding in overview.monitor_statuses(session, ids):
        monitor_statuses[monitor.model_id].append(status_of(monitor, alert, finding))
    trends: dict[UUID, list[float | None]] = defaultdict(list)
    for model_id, value in overview.trend(session, ids, "accuracy", TREND_FINDINGS):
        trends[model_id].append(value)
    opened = {row.model_id: row for row in overview.open_rollouts(session)}

    # decide
    models = {
        row[0].name: _health(
            row, tuple(monitor_statuses[row[0].id]), tuple(trends[row[0].id]), opened
        )
        for row in rows
    }
    return Fleet(
        models=tuple(models[name] for name in shown),
        n_models=len(states),
        n_found=len(found),
        n_rollouts=sum(only in (None, model_id) for model_id in opened),
        counts=Counter(states.values()),
        groups=Counter(group for _, group, *_ in known if group),
        tags=Counter(tag for _, _, tags, *_ in known for tag in tags),
        page=page,
        n_pages=n_pages,
    )


def _health(
    row: tuple[Model, Champion | None, Version | None],
    monitor_statuses: tuple[MonitorStatus, ...],
    trend: tuple[float | None, ...],
    opened: dict[UUID, Rollout],
) -> ModelHealth:
    model, _, version = row
    accuracy = _newest(monitor_statuses, "accuracy")
    objective = version.objective if version is not None else None
    if accuracy is not None and accuracy.threshold is not None:
        objective = accuracy.threshold
    rollout = opened.get(model.id)
    left = [s.detail.remaining for s in monitor_statuses if s.detail.remaining is not None]
    return from_attributes(
        ModelHealth,
        model,
        champion=version.name if version is not None else None,
        health=health_of(monitor_statuses, model.watermark),
        firing=tuple(s for s in monitor_statuses if s.is_enabled and s.phase is Phase.FIRING),
        error=accuracy.value if accuracy is not None else None,
        objective=objective,
        trend=trend,
        drift=_newest(monitor_statuses, "input_drift"),
        budget=min(left, default=None),
        rollout=from_attributes(OpenRollout, rollout) if rollout else None,
    )


def _newest(monitor_statuses: tuple[MonitorStatus, ...], kind: str) -> MonitorStatus | None:
    evaluated = [s for s in monitor_statuses if s.kind == kind and s.window_end is not None]
    return max(evaluated, key=lambda s: (s.window_end, s.name), default=None)
