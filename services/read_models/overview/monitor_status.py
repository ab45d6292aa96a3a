"""Status of one monitor: its alert and its last finding."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from alerts.state import Phase
from core.stored import from_attributes
from db.tables import Alert, Finding, Monitor
from monitors import registry
from monitors.detail import Detail, LeftOut, NotEvaluated
from monitors.drift.input_drift import FeatureDrift
from monitors.false_alarms.false_alarm_rate import Achieved
from monitors.finding import Outcome
from monitors.summaries.bin_resolution import CoarseBins
from services.models import monitor_config


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDetail:
    """The parts of a finding's detail that pages show. What a kind has not is None.

    Attributes
    ----------
    promised_days, achieved_days, replayed_days
        Days between two false alarms: as asked for, and as measured by
        replaying the monitor over its own reference, which had so many days.
    left_out
        Incidents of the reference.
    remaining
        Share of the error budget that is left.
    coverage
        Share of the expected labels that are in.
    coarse_bins
        Of drift: where the bins are too coarse.
    not_evaluated
        Inputs without a reference, by name.
    """

    promised_days: float | None = None
    achieved_days: float | None = None
    replayed_days: float | None = None
    left_out: tuple[LeftOut, ...] = ()
    top: str | None = None
    remaining: float | None = None
    coverage: float | None = None
    coarse_bins: CoarseBins | None = None
    not_evaluated: dict[str, NotEvaluated] = field(default_factory=dict)
    features: dict[str, FeatureDrift] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorStatus:
    """One monitor, its alert and its newest finding; times are event time.

    Attributes
    ----------
    about
        What it evaluates, where the question of its kind leaves that open.
    promised_days
        Days between two false alarms, as asked for; None where nothing is promised.
    replayed, live
        Alarms over the reference, and since the model is watched: there each
        counts without the verdict real or expected change. None where none is known.
    inhibited_by
        The input faults that keep a firing alert from being notified.
    runbook
        Path of the runbook of its alert.
    """

    name: str
    kind: str
    about: str
    severity: str
    is_enabled: bool
    phase: Phase
    since: datetime | None = None
    alert_id: UUID | None
    finding_id: UUID | None
    outcome: Outcome | None = None
    value: float | None = None
    threshold: float | None = None
    cause: str
    window_end: datetime | None = None
    promised_days: float | None
    replayed: Achieved | None
    live: Achieved | None
    detail: StatusDetail
    inhibited_by: str | None = None
    runbook: str | None = None


def status_of(
    monitor: Monitor,
    alert: Alert | None,
    finding: Finding | None,
    live: tuple[int, int] | None = None,
) -> MonitorStatus:
    """Put the rows of one monitor together; a firing alert's cause is that of its last breach.

    Parameters
    ----------
    monitor, alert, finding
        The rows.
    live
        Alarms and evaluated days, from `db.queries.read.false_alarm_rates`.
    """
    phase = alert.phase if alert is not None else Phase.QUIET
    detail = registry.detail(monitor.kind, {} if finding is None else finding.detail)
    cause = finding.cause if finding is not None else ""
    if alert is not None and phase is Phase.FIRING:
        cause = alert.cause or cause
    return from_attributes(
        MonitorStatus,
        monitor,
        alert,
        finding,
        severity=alert.severity
        if alert is not None and phase is Phase.FIRING
        else monitor.severity,
        about=monitor_config.about(monitor),
        is_enabled=monitor.enabled,
        phase=phase,
        alert_id=alert.id if alert is not None else None,
        finding_id=finding.id if finding is not None else None,
        cause=cause,
        promised_days=detail.promised_days or monitor.params.get("days_between_false_alarms"),
        replayed=replayed_of(detail),
        live=Achieved(n_alarms=live[0], days=live[1]) if live is not None else None,
        detail=status_detail(detail),
        runbook=f"/alerts/{alert.id}/runbook"
        if alert is not None and registry.runbook(monitor.kind, monitor.params, detail)
        else None,
    )


def status_detail(detail: Detail) -> StatusDetail:
    """Return what is shown of a detail beside the state of its monitor."""
    return msgspec.convert(detail, StatusDetail, from_attributes=True)


def replayed_of(detail: Detail) -> Achieved | None:
    """Return the alarms over the reference; None where none were counted."""
    if detail.promised_days is None or not detail.replayed_days:
        return None
    n = round(detail.replayed_days / detail.achieved_days) if detail.achieved_days else 0
    return Achieved(n_alarms=n, days=detail.replayed_days)


class Health(StrEnum):
    """One word for a model, the most pressing first."""

    FIRING = "firing"
    BROKEN = "monitor failed"
    PENDING = "pending"
    SILENT = "no data yet"
    WARMING_UP = "warming up"
    HEALTHY = "healthy"


def health_of(
    monitor_statuses: tuple[MonitorStatus, ...], watermark: datetime | None
) -> Health:
    """Return the health of a model, from its enabled monitors."""
    watching = [status for status in monitor_statuses if status.is_enabled]
    return health(
        is_firing=any(status.phase is Phase.FIRING for status in watching),
        is_broken=any(status.outcome is Outcome.ERROR for status in watching),
        is_pending=any(status.phase is Phase.PENDING for status in watching),
        is_ok=any(status.outcome is Outcome.OK for status in watching),
        watermark=watermark,
    )


def health(
    *,
    is_firing: bool,
    is_broken: bool,
    is_pending: bool,
    is_ok: bool,
    watermark: datetime | None,
) -> Health:
    """Return the health of a model of which any enabled monitor is in these states.

    A monitor without data does not count: a model is healthy
    only when at least one was evaluated as ok.
    """
    found = {
        Health.FIRING: is_firing,
        Health.BROKEN: is_broken,
        Health.PENDING: is_pending,
        Health.SILENT: watermark is None,
        Health.HEALTHY: is_ok,
    }
    return next((state for state, holds in found.items() if holds), Health.WARMING_UP)
