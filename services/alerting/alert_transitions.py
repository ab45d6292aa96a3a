"""Transitions of alerts: finding to state, flip to notification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, exists, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session, aliased

from alerts.state import AlertRule, AlertState, Change, Flip, Phase, retire, step
from core.durations import DAY
from db.queries import models, publication
from db.queries.queue import deliveries, runs
from db.tables import Alert, FlipRow, Model, Monitor
from db.tables import Finding as FindingRow
from monitors import registry
from monitors.finding import Finding, Outcome
from services.alerting import inhibition

REPORT_JOB = "report"  # its subject is the finding

_LATER = aliased(FindingRow)
_ALERTS = (  # built once: it is read with every evaluation
    select(
        Monitor,
        Alert,
        FindingRow,
        exists().where(_LATER.monitor_id == Monitor.id, _LATER.as_of > bindparam("as_of")),
        FlipRow,
    )
    .outerjoin(Alert, Alert.monitor_id == Monitor.id)
    .outerjoin(
        FindingRow,
        (FindingRow.monitor_id == Monitor.id)
        & (FindingRow.as_of == bindparam("before"))
        & (FindingRow.rev > 0),
    )
    .outerjoin(
        FlipRow,
        (Alert.phase == Phase.FIRING) & (FlipRow.id == deliveries.newest_fired(Alert.id)),
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
    """Monitor and alert as they are before a finding is stored.

    Attributes
    ----------
    revised
        Its finding of the day before, where late rows have revised it.
    is_overtaken
        Whether it has a finding of a later slot.
    fired
        When its alert fired, where it does.
    """

    monitor: Monitor
    alert: Alert | None
    revised: FindingRow | None
    is_overtaken: bool
    fired: FlipRow | None


def observe(
    session: Session, monitor: Monitor, seen: Seen, finding: Finding, now: datetime
) -> FlipRow | None:
    """Store a finding of one monitor, as `observe_all` those of several.

    Returns
    -------
    FlipRow | None
        The flip, when the alert has just fired or been resolved.
    """
    model = session.get_one(Model, monitor.model_id)
    return observe_all(session, model, seen, {monitor.id: finding}, now)[0]


def observe_all(
    session: Session,
    model: Model,
    seen: Seen,
    findings: Mapping[UUID, Finding],
    now: datetime,
) -> list[FlipRow | None]:
    """Store findings of one slot, advance the monitors' alerts, and queue their notifications.

    Inhibition is evaluated each time: an alert that fired while an input fault
    explained it is notified by the first evaluation that no fault explains.

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
        Of each finding the flip, when the alert has just fired or been resolved.

    Raises
    ------
    NoResultFound
        If a monitor was deleted meanwhile.
    """
    day_before = models.zone_of(model).later(seen.as_of, -DAY)
    alerts = _alerts(session, [*findings], seen.as_of, day_before)
    return [
        _observe(session, alerts[monitor_id], seen, finding, now)
        for monitor_id, finding in findings.items()
    ]


def _alerts(
    session: Session, monitor_ids: Sequence[UUID], as_of: datetime, before: datetime
) -> dict[UUID, _AlertNow]:
    given = {"monitor_ids": monitor_ids, "as_of": as_of, "before": before}
    found = session.execute(_ALERTS, given)
    alerts = {row[0].id: _AlertNow(*row) for row in found}
    for monitor_id in monitor_ids:
        if monitor_id not in alerts:
            raise NoResultFound(f"monitor {monitor_id} was deleted")
    return alerts


def _observe(
    session: Session, alert_now: _AlertNow, seen: Seen, finding: Finding, now: datetime
) -> FlipRow | None:
    # load
    monitor, alert = alert_now.monitor, alert_now.alert
    row = row_of(monitor, seen, finding, now)
    session.add(row)
    if seen.is_history or (
        # A later finding has moved the alert: of days that were open.
        alert_now.is_overtaken and registry.stored(monitor.kind).watches_open_days
    ):
        return None
    if alert is None:
        alert = Alert(
            monitor_id=monitor.id, model_id=monitor.model_id, phase=Phase.QUIET, streak=0
        )
        session.add(alert)

    # decide
    rule = rule_of(monitor.kind)
    state = AlertState(phase=alert.phase, streak=alert.streak, since=alert.since)
    state = _corrected(alert_now.revised, rule, state)
    after, change = step(rule, state, finding.outcome, seen.as_of)

    # save
    alert.phase, alert.streak, alert.since = after.phase, after.streak, after.since
    if change is None:
        if alert.phase is Phase.FIRING:
            if finding.outcome is Outcome.BREACH:
                alert.cause = finding.cause
            _notify_unless_inhibited(session, alert, monitor, alert_now.fired, now)
        return None
    alert.cause = finding.cause if change.flip is Flip.FIRED else ""
    burned_by = finding.detail.burned_by
    if change.flip is Flip.FIRED or burned_by is None:
        alert.version = ", ".join(burned_by or ()) or seen.version
    session.flush()
    occasion = _Occasion(finding.cause, seen.as_of, now, row.id)
    if change.flip is Flip.FIRED and registry.stored(monitor.kind).has_report:
        runs.ask(session, REPORT_JOB, now, now, subject=str(row.id))
    return _flip(session, alert, change, occasion)


def rule_of(kind: str) -> AlertRule:
    """Return the alert rule of a kind of monitor."""
    found = registry.stored(kind)
    return AlertRule(
        breaches_to_fire=found.breaches_to_fire, oks_to_resolve=found.oks_to_resolve
    )


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
    """Return where a quiet alert stands, now that the day before may have been revised.

    Late rows flip no alert: the day is over. But the next day counts from what
    the day before it was found to be, not from what it was taken for.
    """
    if state.phase is Phase.FIRING or before is None or before.first is None:
        return state
    was_breach = before.first["outcome"] == Outcome.BREACH
    is_breach = before.outcome is Outcome.BREACH
    if was_breach == is_breach:
        return state
    if was_breach:
        return AlertState()
    after, change = step(rule, state, Outcome.BREACH, before.as_of)
    return after if change is None else state


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


def onset(session: Session, alert: Alert) -> datetime | None:
    """Return since when the model has been wrong, according to its findings.

    Drift dates a change to the hour; the window of the first breach only
    contains it. A date that is too early costs nothing: the days before the
    change are merely not new.
    """
    drifted = session.execute(
        select(Monitor.kind, FindingRow.detail)
        .join(Monitor, Monitor.id == FindingRow.monitor_id)
        .where(
            FindingRow.model_id == alert.model_id,
            FindingRow.outcome == Outcome.BREACH,
            Monitor.kind.in_(registry.where(lambda kind: kind.dates_change)),
        )
        .order_by(FindingRow.window_end.desc())
        .limit(1)
    ).first()
    first = session.scalar(
        select(FindingRow)
        .where(
            FindingRow.monitor_id == alert.monitor_id,
            FindingRow.outcome == Outcome.BREACH,
            FindingRow.as_of >= alert.since,
        )
        .order_by(FindingRow.window_end)
        .limit(1)
    )
    if first is None:
        return None
    since = None if drifted is None else registry.detail(*drifted).since
    return first.window_start if since is None else max(since, first.window_start)


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
        inhibited=True,
        at=occasion.at,
        recorded_at=occasion.now,
    )
    if change.flip is Flip.FIRED:
        session.add(flip)
        session.flush()
        monitor = session.get_one(Monitor, alert.monitor_id)
        fired = deliveries.last_fired(session, alert.id)
        _notify_unless_inhibited(session, alert, monitor, fired, occasion.now)
        return flip
    # Who was notified that it fires is notified that it is resolved, and nobody else.
    fired = deliveries.last_fired(session, alert.id)
    session.add(flip)
    session.flush()
    alert.inhibited_by = None
    if fired is None or not fired.inhibited:
        _notify(session, flip, occasion.now)
    return flip


def _notify_unless_inhibited(
    session: Session, alert: Alert, monitor: Monitor, fired: FlipRow | None, now: datetime
) -> None:
    """Notify that an alert fires, once, as soon as no input fault inhibits it."""
    if fired is None or not fired.inhibited:
        return
    breach = session.scalar(
        select(FindingRow)
        .where(FindingRow.monitor_id == monitor.id, FindingRow.outcome == Outcome.BREACH)
        .order_by(FindingRow.as_of.desc())
        .limit(1)
    )
    kind = registry.stored(monitor.kind)
    detail = kind.detail_of({} if breach is None else breach.detail)
    broken = inhibition.broken(session, alert.model_id)
    features = {one.feature for one in broken}
    if kind.is_explained_by(detail, features):
        alert.inhibited_by = "; ".join(one.description for one in broken)
        return
    alert.inhibited_by = None
    _notify(session, fired, now, breach)


def _notify(
    session: Session, flip: FlipRow, now: datetime, breach: FindingRow | None = None
) -> None:
    flip.inhibited, flip.notified_at = False, now
    publication.wait(flip)
    deliveries.add_for_flip(session, flip, now, breach)
