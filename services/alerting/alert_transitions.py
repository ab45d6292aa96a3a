"""Transitions of alerts: finding to state, flip to notification."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session, aliased

from alerts.state import (
    AlertRule,
    AlertState,
    Change,
    Flip,
    Phase,
    Reason,
    corrected,
    retire,
    step,
)
from core.durations import DAY
from db.queries import models
from db.queries.queue import runs
from db.tables import Alert, FlipRow, Model, Monitor
from db.tables import Finding as FindingRow
from monitors import registry
from monitors.finding import Finding, Outcome
from services.alerting import incidents
from services.alerting.alert_rules import rule_of, severities_of

REPORT_JOB = "report"  # its subject is the finding

_LATER = aliased(FindingRow)
_ALERTS = (  # built once: it is read with every evaluation
    select(
        Monitor,
        Alert,
        FindingRow,
        exists().where(_LATER.monitor_id == Monitor.id, _LATER.as_of > bindparam("as_of")),
    )
    .outerjoin(Alert, Alert.monitor_id == Monitor.id)
    .outerjoin(
        FindingRow,
        (FindingRow.monitor_id == Monitor.id)
        & (FindingRow.as_of == bindparam("before"))
        & (FindingRow.rev > 0),
    )
    .where(Monitor.id.in_(bindparam("monitor_ids", expanding=True)))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Which version served, and when (event time), at an evaluation.

    `is_history` is true of a day that was brought in after the fact.
    """

    version: str | None
    as_of: datetime
    is_history: bool = False


@dataclass(frozen=True, slots=True)
class _AlertNow:
    """Monitor and alerts as they are before a finding is stored.

    Attributes
    ----------
    alerts
        One of each severity.
    revised
        Its finding of the day before, where late rows have revised it.
    is_overtaken
        Whether it has a finding of a later slot.
    """

    monitor: Monitor
    alerts: list[Alert]
    revised: FindingRow | None
    is_overtaken: bool


def observe(
    session: Session, monitor: Monitor, seen: Seen, finding: Finding, now: datetime
) -> FlipRow | None:
    """Store a finding of one monitor, as `observe_all` those of several.

    Returns
    -------
    FlipRow | None
        The flip, when an alert has just fired or been resolved.
    """
    model = session.get_one(Model, monitor.model_id)
    flips = observe_all(session, model, seen, {monitor.id: finding}, now)
    return flips[0] if flips else None


def observe_all(
    session: Session,
    model: Model,
    seen: Seen,
    findings: Mapping[UUID, Finding],
    now: datetime,
) -> list[FlipRow]:
    """Store findings of one slot, advance the monitors' alerts, begin and end their incidents.

    Inhibition is evaluated in the same transaction (`incidents.refresh_inhibition`): an alert
    that fired while another one explained it is notified once nothing explains it.

    An alert flips at the time of the evaluation, not at the end of the window: what
    labels tell about a week is known days after it. A day of history is
    evaluated without notifications: its finding is stored, its alert does not change.
    Nor does it for a day whose kind has evaluated the days after it meanwhile.

    Parameters
    ----------
    session
        The open transaction.
    model
        Whose monitors.
    seen
        What served, and the slot.
    findings
        By id of the monitor; in their order, so that those of input faults, which come
        first, inhibit the alerts of the others.
    now
        Wall time.

    Returns
    -------
    list
        The flips of alerts that have just fired or been resolved.

    Raises
    ------
    NoResultFound
        If a monitor was deleted meanwhile.
    """
    day_before = models.zone_of(model).later(seen.as_of, -DAY)
    alerts = _alerts(session, [*findings], seen.as_of, day_before)
    flips = [
        flip
        for monitor_id, finding in findings.items()
        for flip in _observe(session, alerts[monitor_id], seen, finding, now)
    ]
    is_any_firing = any(
        alert.phase is Phase.FIRING for one in alerts.values() for alert in one.alerts
    )
    if flips or (is_any_firing and not seen.is_history):
        incidents.refresh_inhibition(session, model.id, now)
    return flips


def _alerts(
    session: Session, monitor_ids: Sequence[UUID], as_of: datetime, before: datetime
) -> dict[UUID, _AlertNow]:
    given = {"monitor_ids": monitor_ids, "as_of": as_of, "before": before}
    alerts = dict[UUID, _AlertNow]()
    rows: Iterable[Any] = session.execute(_ALERTS, given)  # an outer join
    for monitor, alert, revised, is_overtaken in rows:
        known = alerts.setdefault(monitor.id, _AlertNow(monitor, [], revised, is_overtaken))
        if alert is not None:
            known.alerts.append(alert)
    for monitor_id in monitor_ids:
        if monitor_id not in alerts:
            raise NoResultFound(f"monitor {monitor_id} was deleted")
    return alerts


def _observe(
    session: Session, alert_now: _AlertNow, seen: Seen, finding: Finding, now: datetime
) -> list[FlipRow]:
    monitor = alert_now.monitor
    row = row_of(monitor, seen, finding, now)
    session.add(row)
    if seen.is_history or (
        # A later finding has moved the alert: of days that were open.
        alert_now.is_overtaken and registry.stored(monitor.kind).watches_open_days
    ):
        return []
    flips = []
    for severity in severities_of(monitor):
        alert = _alert_at(session, alert_now, severity, seen, now)
        observed = _Observed(seen=seen, finding=finding, row=row, revised=alert_now.revised)
        flips += _advance(session, monitor, alert, observed, now)
    return flips


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observed:
    """A finding, as it is stored, and that of the day before where it was revised."""

    seen: Seen
    finding: Finding
    row: FindingRow
    revised: FindingRow | None


def _advance(
    session: Session,
    monitor: Monitor,
    alert: Alert,
    observed: _Observed,
    now: datetime,
) -> list[FlipRow]:
    """Advance one alert of a monitor by a finding; return the flip, if it flips."""
    # load
    seen, finding = observed.seen, observed.finding
    outcome = finding.outcome_at(alert.severity)

    # decide
    rule = rule_of(monitor.kind)
    state = AlertState(phase=alert.phase, streak=alert.streak, since=alert.since)
    state = _corrected(observed.revised, rule, state)
    after, change = step(rule, state, outcome, seen.as_of)

    # save
    alert.phase, alert.streak, alert.since = after.phase, after.streak, after.since
    if change is None:
        if alert.phase is Phase.FIRING and outcome is Outcome.BREACH:
            alert.cause = finding.cause
        return []
    alert.cause = finding.cause if change.flip is Flip.FIRED else ""
    burned_by = finding.detail.burned_by
    if change.flip is Flip.FIRED or burned_by is None:
        alert.version = ", ".join(burned_by or ()) or seen.version
    session.flush()
    occasion = _Occasion(finding.cause, seen.as_of, now, observed.row.id)
    if change.flip is Flip.FIRED and registry.stored(monitor.kind).has_report:
        runs.ask(session, REPORT_JOB, now, now, subject=str(observed.row.id))
    return [_flip(session, alert, change, occasion)]


def _alert_at(
    session: Session, alert_now: _AlertNow, severity: str, seen: Seen, now: datetime
) -> Alert:
    """Return the alert of a monitor at one severity; a new one where there is none.

    After the severity of the monitor was changed, its alert goes on at the new one: where it
    fires it is resolved, and fires again at the next breach.
    """
    monitor = alert_now.monitor
    for alert in alert_now.alerts:
        if alert.severity == severity:
            return alert
    declared = severities_of(monitor)
    for alert in alert_now.alerts:
        if alert.severity not in declared:
            if alert.phase is Phase.FIRING:
                change = Change(flip=Flip.RESOLVED, reason=Reason.SEVERITY_CHANGED)
                cause = f"severity changed from {alert.severity} to {severity}"
                _flip(session, alert, change, _Occasion(cause, seen.as_of, now))
                before = rule_of(monitor.kind).breaches_to_fire - 1
                alert.phase = Phase.PENDING if before else Phase.QUIET
                alert.streak, alert.since, alert.cause = before, None, ""
            alert.severity = severity
            return alert
    alert = Alert(
        monitor_id=monitor.id,
        model_id=monitor.model_id,
        severity=severity,
        phase=Phase.QUIET,
        streak=0,
    )
    session.add(alert)
    return alert


def row_of(monitor: Monitor, seen: Seen, finding: Finding, now: datetime) -> FindingRow:
    """Return a finding as it is stored."""
    return FindingRow(
        monitor_id=monitor.id,
        model_id=monitor.model_id,
        version=seen.version,
        window_start=finding.window.start,
        window_end=finding.window.end,
        as_of=seen.as_of,
        outcome=finding.outcome,
        value=finding.value,
        threshold=finding.threshold,
        cause=finding.cause,
        detail=finding.detail.to_json(),
        recorded_at=now,
    )


def _corrected(before: FindingRow | None, rule: AlertRule, state: AlertState) -> AlertState:
    if before is None or before.first is None:
        return state
    return corrected(rule, state, before.first["outcome"], before.outcome, before.as_of)


def retire_reference(session: Session, model: Model, cause: str, now: datetime) -> None:
    """Close the alerts that measure against what only the version knows that served so far.

    Accuracy and burn go on: they measure what is served, and are resolved by it.
    """
    kinds = registry.where(lambda kind: kind.is_against_reference)
    measured_against_it = (
        select(Alert)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .where(Alert.model_id == model.id, Monitor.kind.in_(kinds))
    )
    at = model.watermark or now
    for alert in session.scalars(measured_against_it):
        state = AlertState(phase=alert.phase, streak=alert.streak, since=alert.since)
        after, change = retire(state)
        alert.phase, alert.streak, alert.since = after.phase, after.streak, after.since
        if change is not None:
            _flip(session, alert, change, _Occasion(cause, at, now))
            alert.cause = ""


@dataclass(frozen=True, slots=True)
class _Occasion:
    """Why and when an alert flips; `at` is event time."""

    cause: str
    at: datetime
    now: datetime
    finding_id: UUID | None = None


def _flip(session: Session, alert: Alert, change: Change, occasion: _Occasion) -> FlipRow:
    flip = FlipRow(
        alert_id=alert.id,
        model_id=alert.model_id,
        finding_id=occasion.finding_id,
        flip=change.flip,
        reason=change.reason,
        cause=occasion.cause,
        at=occasion.at,
        recorded_at=occasion.now,
    )
    session.add(flip)
    session.flush()
    monitor = session.get_one(Monitor, alert.monitor_id)
    if change.flip is Flip.FIRED:
        incidents.begin(session, alert, monitor, flip, occasion.now)
        return flip
    incident = incidents.open_of(session, alert.id)
    if incident is not None:
        flip.inhibited = incident.inhibited_by is not None and incident.notified_at is None
        incidents.end(session, incident, flip, occasion.now)
    alert.inhibited_by = None
    return flip
