"""Status of one monitor: its alert and its last finding."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from alerts.state import Phase
from core.stored import from_attributes
from db.tables import Alert, Finding, Monitor
from monitors.false_alarms.false_alarm_rate import Achieved
from monitors.finding import Outcome
from services.models import monitor_config


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """How one feature of the input compares with the reference, in its own unit."""

    score: float | None = None
    mean: float | None = None
    reference_mean: float | None = None
    sd: float | None = None
    reference_sd: float | None = None
    effect: float | None = None
    distances: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseBins:
    """The feature of which so large a share lies in the three fullest of its bins."""

    feature: str
    share: float
    n_bins: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEvaluated:
    """The outcome of one input that a monitor could not evaluate, and why."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """The parts of a finding's detail that pages show. What a kind has not is None.

    Attributes
    ----------
    promised_days, achieved_days, replayed_days
        Days between two false alarms: as asked for, and as measured by
        replaying the monitor over its own reference, which had so many days.
    left_out
        Incidents of the reference: first day, and the day after the last.
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
    left_out: list[dict[str, str]] = field(default_factory=list)
    top: str | None = None
    remaining: float | None = None
    coverage: float | None = None
    coarse_bins: CoarseBins | None = None
    not_evaluated: dict[str, NotEvaluated] = field(default_factory=dict)
    features: dict[str, FeatureDrift] = field(default_factory=dict)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Detail":
        """Read the stored form; entries of other kinds are passed over.

        Examples
        --------
        >>> Detail.read({"remaining": 0.75, "tiers": []}).remaining
        0.75
        """
        return msgspec.convert(stored, cls)


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
        counts, as if nothing had ever been wrong. None where none is known.
    inhibited_by
        The input faults that keep a firing alert from being notified.
    """

    name: str
    kind: str
    about: str
    severity: str
    is_enabled: bool
    phase: Phase
    since: datetime | None = None
    finding_id: UUID | None
    outcome: Outcome | None = None
    value: float | None = None
    threshold: float | None = None
    cause: str
    window_end: datetime | None = None
    promised_days: float | None
    replayed: Achieved | None
    live: Achieved | None
    detail: Detail
    inhibited_by: str | None = None


def status_of(
    monitor: Monitor,
    alert: Alert | None,
    finding: Finding | None,
    live: tuple[int, int] | None = None,
) -> MonitorStatus:
    """Put the rows of one monitor together; a firing alert's cause is why it fired.

    Parameters
    ----------
    monitor, alert, finding
        The rows.
    live
        Alarms and evaluated days, from `db.queries.read.false_alarm_rates`.
    """
    phase = alert.phase if alert is not None else Phase.QUIET
    detail = Detail.read(finding.detail) if finding is not None else Detail()
    cause = finding.cause if finding is not None else ""
    if alert is not None and phase is Phase.FIRING:
        cause = alert.cause or cause
    return from_attributes(
        MonitorStatus,
        monitor,
        alert,
        finding,
        about=monitor_config.about(monitor),
        is_enabled=monitor.enabled,
        phase=phase,
        finding_id=finding.id if finding is not None else None,
        cause=cause,
        promised_days=detail.promised_days or monitor.params.get("days_between_false_alarms"),
        replayed=_replayed(detail),
        live=Achieved(n_alarms=live[0], days=live[1]) if live is not None else None,
        detail=detail,
    )


def _replayed(detail: Detail) -> Achieved | None:
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
    """Return the health of a model, from its enabled monitors.

    A monitor without data does not count: a model is healthy
    only when at least one was evaluated as ok.
    """
    watching = [
        monitor_status for monitor_status in monitor_statuses if monitor_status.is_enabled
    ]
    if any(monitor_status.phase is Phase.FIRING for monitor_status in watching):
        return Health.FIRING
    if any(monitor_status.outcome is Outcome.ERROR for monitor_status in watching):
        return Health.BROKEN
    if any(monitor_status.phase is Phase.PENDING for monitor_status in watching):
        return Health.PENDING
    if watermark is None:
        return Health.SILENT
    if any(monitor_status.outcome is Outcome.OK for monitor_status in watching):
        return Health.HEALTHY
    return Health.WARMING_UP
