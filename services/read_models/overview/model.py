"""Page of one model: error, input, serving, versions, incidents."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from core.durations import MINUTE
from core.errors import NotFound
from core.schema import task
from core.schema.task import has_stream
from core.schema.zone import Zone
from core.stored import from_attributes
from core.window import Stretches, Window
from db.queries import models, summaries
from db.queries.log import row_counters
from db.queries.read import false_alarm_rates, overview
from db.tables import Model, Version
from monitors.slo.cells import CellCounts
from monitors.slo.history import slice_at, time_of
from monitors.slo.serving import SERVING
from retrain.rollout import Phase
from services.labels import error_days
from services.platform_faults import platform_alerts
from services.platform_faults.platform_alerts import OpenFault
from services.read_models.lists import FlipPast
from services.read_models.overview import drift, incidents, serving
from services.read_models.overview.accuracy import DayError, StepErrors, by_day, by_step
from services.read_models.overview.alerts import alert_changes
from services.read_models.overview.drift import DriftTable
from services.read_models.overview.incidents import Incident
from services.read_models.overview.monitor_status import (
    Health,
    MonitorStatus,
    health_of,
    status_of,
)
from services.read_models.overview.reliability import ClassReliability, by_class
from services.read_models.overview.residuals import PartErrors, by_part
from services.read_models.overview.rollouts import RolloutLine, rollouts
from services.read_models.overview.segments import Segments, segments
from services.read_models.overview.serving import ServingPart, ServingVersion
from services.rollouts import retraining
from services.rollouts.retraining import REFUSED
from tasks.calibration_sums import CALIBRATION
from tasks.residual_sums import RESIDUALS

ACCURACY_DAYS = 90
DRIFT_DAYS = 28
SERVING_DAYS = 7
SERVING_MINUTES = 15
MILESTONES = {
    Phase.CANARY: "in canary",
    Phase.PROMOTED: "promoted",
    Phase.ROLLED_BACK: "rolled back",
}
MAX_ALERT_CHANGES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """One version, where it came from, and how it did in serving.

    Attributes
    ----------
    role
        "champion", "challenger", or "" for one that does not serve now.
    parent, cause
        The version it was retrained from and why; None where it was uploaded.
    served_days, served_error
        Event days that it served within the chart, and its mean error on them.
    """

    name: str
    role: str
    parent: str | None
    cause: str | None
    rollout_id: UUID | None
    sha256: str | None
    n_bytes: int | None
    objective: float | None
    reference: Stretches
    served_days: int
    served_error: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A change of who serves, in event time."""

    at: datetime
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The last time that an alert asked for retraining in vain, in wall time."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """Everything that the page of one model shows.

    Attributes
    ----------
    context
        Features whose own drift is no finding.
    minutes
        What was served in the last minutes up to the newest event, without those in which
        nothing was.
    """

    name: str
    description: str
    runbook_url: str
    zone: str
    champion: str | None
    objective: float | None
    health: Health
    watermark: datetime | None
    evaluated_until: datetime | None
    last_received_at: datetime | None
    waiting_rows: int
    event_time_anomalies: tuple[tuple[str, int], ...]
    step: timedelta
    days: tuple[DayError, ...]
    steps: tuple[StepErrors, ...]
    parts: tuple[PartErrors, ...]
    measure: str
    has_classes: bool
    has_bias: bool
    classes: tuple[ClassReliability, ...]
    drift: DriftTable | None
    context: tuple[str, ...]
    hours: tuple[ServingPart, ...]
    minutes: tuple[ServingPart, ...]
    served: tuple[ServingVersion, ...]
    monitor_statuses: tuple[MonitorStatus, ...]
    versions: tuple[VersionLine, ...]
    incidents: tuple[Incident, ...]
    alert_changes: tuple[FlipPast, ...]
    rollouts: tuple[RolloutLine, ...]
    milestones: tuple[Milestone, ...]
    refusal: Refusal | None
    cannot_retrain: tuple[str, ...]
    segments: Segments
    platform: tuple[OpenFault, ...]


def model(session: Session, name: str, only: UUID | None) -> ModelPage:
    """Describe one model.

    Parameters
    ----------
    session
        The open transaction.
    name, only
        Which model, and the one that the reader may see; None sees all.

    Raises
    ------
    NotFound
        If there is none of that name, or it is not one that the reader may see.
    """
    found = session.scalar(models.named(name))
    if found is None or only not in (None, found.id):
        raise NotFound(f"no model {name!r}")
    contract = found.contract
    zone = Zone(contract.zone)
    monitors = overview.monitor_statuses(session, [found.id])
    live = false_alarm_rates.live(session, [alert for _, alert, _ in monitors if alert])
    monitor_status = tuple(status_of(*row, live=live.get(row[0].id)) for row in monitors)
    chunks = error_days.read(
        session, found.id, contract, (zone.day_of(_since(found, ACCURACY_DAYS)), None)
    )
    serves = models.champion(session, found.id)
    champion = serves[1] if serves is not None else None
    days = by_day(chunks, contract)
    lines = rollouts(session, found.id)
    since = _since(found, SERVING_DAYS)
    lately = Window(since, zone.later(since, timedelta(days=SERVING_DAYS)))
    served = summaries.by_version(session, SERVING, found.id, lately)
    return from_attributes(
        ModelPage,
        found,
        zone=contract.zone,
        champion=champion.name if champion is not None else None,
        objective=champion.objective if champion is not None else None,
        health=health_of(monitor_status, found.watermark),
        waiting_rows=models.backlog(session, found.id)[0],
        event_time_anomalies=tuple(sorted(row_counters.of_model(session, found.id).items())),
        step=contract.step,
        days=days,
        steps=by_step(chunks, contract),
        parts=by_part(session, found.id, contract, chunks),
        measure=task.of(contract).measure.meaning,
        has_classes=has_stream(contract, CALIBRATION),
        has_bias=has_stream(contract, RESIDUALS),
        classes=by_class(session, found.id, contract, chunks),
        drift=drift.table(
            overview.findings_since(
                session, found.id, "input_drift", _since(found, DRIFT_DAYS)
            ),
            zone,
        ),
        context=tuple(sorted(contract.context)),
        hours=serving.by_part(served, lately),
        minutes=_minutes(served, found.watermark),
        served=serving.by_version(served, lately),
        monitor_statuses=monitor_status,
        versions=_versions(session, found, champion, days, lines),
        incidents=incidents.newest(session, found.id),
        alert_changes=alert_changes(session, found.id, MAX_ALERT_CHANGES),
        rollouts=lines,
        milestones=_milestones(session, lines),
        refusal=_refusal(session, found.name),
        cannot_retrain=retraining.why_not(session, found),
        segments=segments(session, found),
        platform=tuple(platform_alerts.described(session, found.id)),
    )


def _minutes(
    served: Mapping[str, CellCounts], watermark: datetime | None
) -> tuple[ServingPart, ...]:
    """Return what was served in the last minutes; the newest ends with the newest slice."""
    if watermark is None:
        return ()
    end = time_of(slice_at(watermark) + 1)
    return serving.by_part(served, Window(end - SERVING_MINUTES * MINUTE, end), MINUTE)


def _since(found: Model, n_days: int) -> datetime:
    """Return the first moment of the last `n_days` event days."""
    zone = models.zone_of(found)
    today = zone.floor(found.watermark or found.created_at)
    return zone.later(today, -timedelta(days=n_days - 1))


def _milestones(session: Session, lines: tuple[RolloutLine, ...]) -> tuple[Milestone, ...]:
    challengers = {line.id: line.challenger or "challenger" for line in lines}
    return tuple(
        Milestone(
            at=event.at, label=f"{challengers[event.rollout_id]} {MILESTONES[event.phase]}"
        )
        for event in overview.events(session, challengers)
        if event.phase in MILESTONES and event.event != "step_up"
    )


def _versions(
    session: Session,
    found: Model,
    champion: Version | None,
    days: tuple[DayError, ...],
    rollouts_of_it: tuple[RolloutLine, ...],
) -> tuple[VersionLine, ...]:
    origins = {line.challenger: line for line in reversed(rollouts_of_it)}
    lines = []
    for version in models.versions(session, found.id):
        origin = origins.get(version.name)
        served = [
            day.error
            for day in days
            if day.version == version.name and not day.is_shadow and day.error is not None
        ]
        lines.append(
            from_attributes(
                VersionLine,
                version,
                role=_role(version, champion, origin),
                parent=origin.base if origin is not None else None,
                cause=origin.reason if origin is not None else None,
                rollout_id=origin.id if origin is not None else None,
                served_days=len(served),
                served_error=sum(served) / len(served) if served else None,
            )
        )
    return tuple(reversed(lines))


def _role(version: Version, champion: Version | None, origin: RolloutLine | None) -> str:
    if champion is not None and version.id == champion.id:
        return "champion"
    in_canary = origin is not None and origin.phase in (Phase.CANARY, Phase.PAUSED)
    return "challenger" if in_canary else ""


def _refusal(session: Session, name: str) -> Refusal | None:
    event = overview.newest_audit(session, REFUSED, name)
    if event is None:
        return None
    return Refusal(at=event.recorded_at, reason=str(event.detail.get("reason", "")))
