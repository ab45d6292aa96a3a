"""Lists of findings, alerts and flips."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.state import Flip, Phase, Reason
from core.schema.contract import Contract
from core.stored import from_attributes
from db.queries import summaries
from db.tables import Alert, Finding, FlipRow, Model, Monitor
from monitors.finding import Outcome
from services.labels import error_days
from services.labels.error_days import ERRORS, SHADOW_ERRORS
from services.read_models.overview.accuracy import DayError, StepErrors, by_day, by_step
from services.read_models.overview.reliability import ClassReliability, by_class
from services.read_models.overview.residuals import PartErrors, by_part
from services.read_models.paging import Page, Paging


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNow:
    """Where one alert stands.

    Attributes
    ----------
    since
        Event time.
    inhibited_by
        The input faults that keep a firing alert from being notified.
    """

    id: UUID
    model: str
    monitor: str
    kind: str
    severity: str
    phase: Phase
    since: datetime | None
    cause: str
    version: str | None
    inhibited_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipPast:
    """One change of an alert.

    Attributes
    ----------
    inhibited
        Nobody was notified of it: an input fault explains it, and has an alert of its own.
    at
        Event time; the others are wall time.
    notified_at
        When the notification was queued: later than `recorded_at` where the
        alert was inhibited at first.
    """

    id: UUID
    model: str
    monitor: str
    kind: str
    severity: str
    flip: Flip
    reason: Reason
    cause: str
    inhibited: bool
    at: datetime
    recorded_at: datetime
    notified_at: datetime | None
    finding_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFinding:
    """A finding before late rows changed it."""

    outcome: Outcome
    value: float | None
    threshold: float | None
    cause: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingPast:
    """The finding of a monitor about one window.

    Attributes
    ----------
    rev
        How often late rows changed it.
    first
        The finding before it was changed.
    """

    id: UUID
    monitor: str
    kind: str
    severity: str
    outcome: Outcome
    value: float | None
    threshold: float | None
    cause: str
    window_start: datetime
    window_end: datetime
    as_of: datetime
    recorded_at: datetime
    version: str | None
    detail: dict[str, Any]
    rev: int
    revised_at: datetime | None
    first: FirstFinding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The errors of a model: by event day, and over its last week with labels.

    Attributes
    ----------
    classes
        Only of models whose targets are their classes.
    """

    days: tuple[DayError, ...]
    steps: tuple[StepErrors, ...]
    parts: tuple[PartErrors, ...]
    classes: tuple[ClassReliability, ...]


def accuracy(session: Session, model_id: UUID, contract: Contract, n_days: int) -> Accuracy:
    """Return the error of the last event days, and by step, part of the horizon and class."""
    ends = [summaries.newest(session, of, model_id) for of in (ERRORS, SHADOW_ERRORS)]
    newest = max((row.start.date() for row in ends if row is not None), default=None)
    if newest is None:
        return Accuracy(days=(), steps=(), parts=(), classes=())
    since = newest - timedelta(days=n_days - 1)
    rows = error_days.read(session, model_id, contract, (since, None))
    return Accuracy(
        days=by_day(rows, contract),
        steps=by_step(rows, contract),
        parts=by_part(session, model_id, contract, rows),
        classes=by_class(session, model_id, contract, rows),
    )


def alerts(session: Session, model_id: UUID | None) -> list[AlertNow]:
    """Return the alerts of one model or of all, by model and monitor."""
    query = (
        select(Alert, Monitor, Model.name)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .join(Model, Model.id == Alert.model_id)
        .order_by(Model.name, Monitor.name, Alert.severity)
    )
    if model_id is not None:
        query = query.where(Alert.model_id == model_id)
    return [
        from_attributes(AlertNow, alert, monitor, model=model, monitor=monitor.name)
        for alert, monitor, model in session.execute(query)
    ]


def flips(session: Session, model_id: UUID | None, paging: Paging) -> Page[FlipPast]:
    """Return the flips of one model or of all, newest first."""
    query = (
        select(FlipRow, Alert, Monitor, Model.name)
        .select_from(FlipRow)
        .join(Alert, Alert.id == FlipRow.alert_id)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .join(Model, Model.id == FlipRow.model_id)
    )
    if model_id is not None:
        query = query.where(FlipRow.model_id == model_id)
    order = ((FlipRow.recorded_at, True), (FlipRow.at, True), (FlipRow.id, True))
    found = paging.rows(session, query, order, tuple[datetime, datetime, UUID])
    items = [
        from_attributes(FlipPast, flip, alert, monitor, model=model, monitor=monitor.name)
        for flip, alert, monitor, model, *_ in found.items
    ]
    return Page(items=items, next_cursor=found.next_cursor)


def findings(
    session: Session,
    model_id: UUID,
    monitor: str | None,
    outcome: Outcome | None,
    paging: Paging,
) -> Page[FindingPast]:
    """Return a model's findings, newest first."""
    query = (
        select(Finding, Monitor)
        .join(Monitor, Monitor.id == Finding.monitor_id)
        .where(Finding.model_id == model_id)
    )
    if monitor is not None:
        query = query.where(Monitor.name == monitor)
    if outcome is not None:
        query = query.where(Finding.outcome == outcome)
    order = ((Finding.window_end, True), (Monitor.name, False), (Finding.id, False))
    found = paging.rows(session, query, order, tuple[datetime, str, UUID])
    items = [
        from_attributes(
            FindingPast,
            finding,
            by,
            monitor=by.name,
            first=msgspec.convert(finding.first, FirstFinding | None),
        )
        for finding, by, *_ in found.items
    ]
    return Page(items=items, next_cursor=found.next_cursor)
