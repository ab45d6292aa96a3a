"""An SLO at one moment: its budget, its tiers, and the events of each window."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.durations import DAY, HOUR, MINUTE, Duration
from core.window import Window
from db.queries import slo_corrections
from db.tables import Finding as FindingRow
from db.tables import Model, Monitor
from monitors.finding import Outcome
from monitors.kinds.burn_rate import slices
from monitors.slo import budget as budgets
from monitors.slo import burn_rate
from monitors.slo.cells import SLICE
from monitors.slo.history import EventCounts, slice_at, time_of
from monitors.slo.objective import BurnRateParams
from monitors.slo.reading import Counted, SliReading
from monitors.slo.tiers import LeftOut, tiers
from services.evaluation.by_clock import sli_rows
from services.models import monitor_config
from services.models.slo_corrections import SLO

WINDOWS = (5 * MINUTE, HOUR / 2, HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY)
N_POINTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SloSummary:
    """An SLO as its newest finding left it; without figures before the first."""

    name: str
    params: dict[str, Any]
    enabled: bool
    as_of: datetime | None
    outcome: Outcome | None
    detail: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """Events of a window that ends with the moment."""

    window: Duration
    counts: EventCounts
    burn: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPoint:
    """What was left of the budget of the whole period at a moment of it."""

    at: datetime
    remaining: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SloStatus:
    """An SLO at one moment, with all rows that have come by now.

    Attributes
    ----------
    as_of
        Event time: the end of all windows.
    period
        Rolling or of the calendar.
    left_out
        Tiers that the objective cannot have.
    budget
        From the start of the period on; it never rises.
    """

    name: str
    params: dict[str, Any]
    as_of: datetime
    outcome: Outcome
    cause: str
    period: Window
    detail: dict[str, Any]
    windows: tuple[WindowCounts, ...]
    left_out: tuple[LeftOut, ...]
    budget: tuple[BudgetPoint, ...]


def summaries(session: Session, model_id: UUID) -> Sequence[SloSummary]:
    """Return the SLOs of a model by name."""
    newest = (
        select(FindingRow.monitor_id, func.max(FindingRow.as_of).label("as_of"))
        .where(FindingRow.model_id == model_id)
        .group_by(FindingRow.monitor_id)
        .subquery()
    )
    at = (FindingRow.monitor_id == newest.c.monitor_id) & (FindingRow.as_of == newest.c.as_of)
    found = {
        row.monitor_id: row for row in session.scalars(select(FindingRow).join(newest, at))
    }
    slos = (Monitor.model_id == model_id) & (Monitor.kind == SLO)
    return [
        _summary(monitor, found.get(monitor.id))
        for monitor in session.scalars(select(Monitor).where(slos).order_by(Monitor.name))
    ]


def _summary(monitor: Monitor, found: FindingRow | None) -> SloSummary:
    return SloSummary(
        name=monitor.name,
        params=monitor.params,
        enabled=monitor.enabled,
        as_of=None if found is None else found.as_of,
        outcome=None if found is None else found.outcome,
        detail=None if found is None else found.detail,
    )


def status(
    session: Session, model_id: UUID, monitor: Monitor, as_of: datetime | None, now: datetime
) -> SloStatus:
    """Return an SLO at a moment of event time, by default that of the newest event.

    Raises
    ------
    Unprocessable
        If its parameters mean nothing, or its SLI is not available.
    """
    model = session.get_one(Model, model_id)
    params: BurnRateParams = monitor_config.params_of(monitor)
    newest = min(now, (model.watermark or now) + timedelta.resolution)
    at = newest if as_of is None else min(as_of, newest)
    total, versions = sli_rows.read(session, model, slices(params), at)
    corrected = slo_corrections.of_models(session, [model_id])[model_id]
    reading = SliReading(
        total=total,
        newest=at if total.ends.size > 1 else None,
        now=now if as_of is None else at,
        versions=versions,
        corrections=corrected.get(monitor.id, ()),
    )
    zone = model.contract.zone
    found = burn_rate.evaluate(reading, params, at, zone)
    counted = Counted.of(reading, at, params.method)
    budget = budgets.of(counted, params, zone)
    _, left_out = tiers(budget.period.end - budget.period.start, params.budget)
    return SloStatus(
        name=monitor.name,
        params=monitor.params,
        as_of=counted.end_at,
        outcome=found.outcome,
        cause=found.cause,
        period=budget.period,
        detail=found.detail.to_json(),
        windows=tuple(_window(counted, window, params) for window in WINDOWS),
        left_out=left_out,
        budget=_burn_down(counted, params, budget),
    )


def _window(counted: Counted, window: timedelta, params: BurnRateParams) -> WindowCounts:
    good, bad, unknown = counted.within(counted.end - window // SLICE, counted.end)
    total = good + bad + unknown
    return WindowCounts(
        window=window,
        counts=EventCounts(
            good=round(good / counted.scale),
            bad=round(bad / counted.scale),
            unknown=round(unknown / counted.scale),
        ),
        burn=bad / (float(params.budget) * total) if total else 0.0,
    )


def _burn_down(
    counted: Counted, params: BurnRateParams, budget: budgets.Budget
) -> tuple[BudgetPoint, ...]:
    start, allowed = slice_at(budget.period.start), float(params.budget)
    allowed *= budget.expected or budget.total
    step = max((counted.end - start) // N_POINTS, 1)
    ends = [*range(start, counted.end, step), counted.end]
    return tuple(
        BudgetPoint(
            at=time_of(end),
            remaining=1 - counted.within(start, end)[1] / allowed if allowed else 1.0,
        )
        for end in ends
    )
