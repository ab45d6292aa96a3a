"""Lists of findings, alerts and flips."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session

from alerts.state import Flip, Phase, Reason, Verdict
from core.schema.contract import Contract
from core.stored import from_attributes
from db.queries import summaries
from db.tables import Alert, Finding, FlipRow, Incident, Model, Monitor
from monitors.finding import Outcome
from services.alerting import silences
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
        What keeps a firing alert from being notified: input faults, or another alert.
    silenced_by
        The silences that do.
    incident
        Of one that fires.
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
    silenced_by: tuple[UUID, ...]
    incident: "IncidentPast | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPast:
    """One alert from when it fired until it was resolved.

    Attributes
    ----------
    fingerprint, labels
        Those of the alert when it fired.
    onset
        Event time: the first breach. The others are wall time.
    acknowledgement
        The note of who acknowledged it.
    inhibited_by
        What inhibits it, or did when it ended.
    """

    id: UUID
    alert: UUID
    fingerprint: str
    labels: dict[str, str]
    severity: str
    version: str | None
    onset: datetime | None
    detected_at: datetime
    notified_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    acknowledgement: str
    resolved_at: datetime | None
    inhibited_by: str | None
    verdict: Verdict | None
    verdict_at: datetime | None
    verdict_by: str | None
    verdict_note: str


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


def alerts(session: Session, model_id: UUID | None, now: datetime) -> list[AlertNow]:
    """Return the alerts of one model or of all, by model and monitor."""
    condition = true() if model_id is None else Alert.model_id == model_id
    return _alerts(session, condition, now)


def alert(session: Session, row: Alert, now: datetime) -> AlertNow:
    """Return one alert as it is listed."""
    return _alerts(session, Alert.id == row.id, now)[0]


def _alerts(session: Session, condition: ColumnElement[bool], now: datetime) -> list[AlertNow]:
    rows: Iterable[Any] = session.execute(
        select(Alert, Monitor, Model.name, Incident)
        .select_from(Alert)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .join(Model, Model.id == Alert.model_id)
        .outerjoin(Incident, (Incident.alert_id == Alert.id) & Incident.resolved_at.is_(None))
        .where(condition)
        .order_by(Model.name, Monitor.name, Alert.severity)
    )
    muting = silences.since(session, now)
    return [
        from_attributes(
            AlertNow,
            alert,
            monitor,
            model=model,
            monitor=monitor.name,
            silenced_by=()
            if of is None
            else tuple(one.id for one in silences.muting(muting, of.labels, now)),
            incident=None if of is None else incident(of),
        )
        for alert, monitor, model, of in rows
    ]


def incident(row: Incident) -> IncidentPast:
    """Return one incident as it is listed."""
    return from_attributes(IncidentPast, row, alert=row.alert_id)


def incidents(session: Session, model_id: UUID | None, paging: Paging) -> Page[IncidentPast]:
    """Return the incidents of one model or of all, newest first."""
    query = select(Incident)
    if model_id is not None:
        query = query.where(Incident.model_id == model_id)
    order = ((Incident.detected_at, True), (Incident.id, True))
    found = paging.rows(session, query, order, tuple[datetime, UUID])
    items = [incident(row) for row, *_ in found.items]
    return Page(items=items, next_cursor=found.next_cursor)


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
