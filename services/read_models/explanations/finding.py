"""Explanation of a finding: changes of features and errors, start, and nearby changes."""

import logging
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core.durations import DAY
from core.schema.zone import Zone
from core.streams import Level
from core.window import Stretches, Window
from db.queries import models
from db.queries.log import row_counters
from db.queries.read import nearby
from db.tables import Finding, Model, Monitor
from monitors import registry
from monitors.baselines.segments import segment_of
from monitors.detail import Detail, ImplicatedFeature
from monitors.false_alarms import decision
from monitors.finding import Outcome
from monitors.kind import Interval, MonitorKind, Source
from monitors.show import Text, View, checked
from monitors.sources import (
    DailyErrors,
    ErrorsBySegment,
    Outputs,
    Probabilities,
    Residuals,
    WindowProfiles,
)
from services.aggregation import outputs, window_profiles
from services.aggregation.levels import rolled_up_in
from services.evaluation import evaluation_context, input_history, output_history
from services.models import monitor_config
from services.platform_faults.outage import described
from services.read_models.explanations import errors, features
from services.read_models.explanations.errors import Errors
from services.read_models.explanations.features import FeatureMoved, Material
from services.read_models.explanations.nearby import BASELINE_DAYS, Around, Change, changes
from services.read_models.reports import report_status
from services.read_models.reports.report_status import ReportNow

log = logging.getLogger(__name__)

NEAR = timedelta(days=3)  # before and after the change
LONGEST_LOOKBACK = timedelta(days=14)  # how far back a window may put the change
LEAD = timedelta(days=14)  # shown before the change
LONGEST_LEAD = timedelta(days=90)
MAX_EVALUATIONS = 400  # of one monitor, to see since when it breaches


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One finding, explained. Event time, but for `recorded_at` and `revised_at`.

    Attributes
    ----------
    about
        What the monitor evaluates, where the question of its kind leaves that open.
    since
        When the run of breaches began that this evaluation is part of; None where it
        is no breach.
    n_evaluations
        How many evaluations in a row breached, up to this one.
    zone
        Whose days and hours of the day are shown.
    reference
        The stretches that the window is compared with; none where there is none.
    view
        Of a finding on the order of values: where it shows most.
    moved
        Of a breach of drift or of the order of values: the features that moved,
        the farthest first; about one in ten is a false discovery.
    features
        Those that the finding names, the worst first; of drift of predictions,
        parts of targets. Of a finding of accuracy, the inputs whose values
        moved farthest; of one segment, its own.
    are_inputs
        The features are not what the finding is about, but inputs beside it.
    errors
        Of a finding of accuracy.
    views
        What its kind shows of it.
    nearby_start, nearby_end, nearby
        What else changed, and the days that were searched.
    event_time_anomalies
        Rows with odd times since the model began: nobody counts them by day.
    """

    id: UUID
    model: str
    monitor: str
    kind: str
    about: str
    severity: str
    outcome: Outcome
    value: float | None
    threshold: float | None
    cause: str
    window_start: datetime
    window_end: datetime
    as_of: datetime
    version: str | None
    recorded_at: datetime
    rev: int
    revised_at: datetime | None
    since: datetime | None
    n_evaluations: int
    zone: str
    reference: Stretches
    view: str | None
    moved: tuple[str, ...]
    features: tuple[FeatureMoved, ...]
    are_inputs: bool
    errors: Errors | None
    views: tuple[View, ...]
    nearby_start: datetime
    nearby_end: datetime
    nearby: tuple[Change, ...]
    event_time_anomalies: dict[str, int]
    report: ReportNow


@dataclass(frozen=True, slots=True, kw_only=True)
class _Incident:
    """How long the monitor has been breaching."""

    since: datetime | None
    n_evaluations: int


def explain(
    session: Session, root: Path, finding_id: UUID, only: UUID | None, now: datetime
) -> Explanation:
    """Explain one finding, from summaries alone.

    Parameters
    ----------
    session
        Only read.
    root
        Where the reports lie.
    finding_id
        Which.
    only
        The one model that the reader may see; None for all.
    now
        Wall time.

    Raises
    ------
    NotFound
        If there is no such finding of a model that the reader may see.
    """
    # load
    row = report_status.visible(session, finding_id, only)
    model = session.get_one(Model, row.model_id)
    monitor = session.get_one(Monitor, row.monitor_id)
    detail = registry.detail(monitor.kind, row.detail)
    incident = _incident(session, row, registry.stored(monitor.kind), detail)
    window = Window(row.window_start, row.window_end)
    contract = model.contract
    zone = Zone(contract.zone)
    around = _around(window, incident.since, zone)
    lead = _lead(window, incident.since, zone)
    start = min(lead.start, zone.later(around.start, -BASELINE_DAYS * DAY))
    some = Window(start, max(lead.end, around.end))
    recent = input_history.load(session, model, some)
    by_hour = rolled_up_in(session, model.id, Level.HOUR, some) is None
    is_apart = detail.segments is not None
    reference = _reference(session, row, monitor.kind, detail)
    shown, of_lead = contract, recent
    counted = partial(input_history.load, session, model)
    sources = {type(source) for source in monitor_config.sources_of(monitor)}
    if Outputs in sources:
        counted = partial(
            output_history.counted_of, session, model, row.version, by_segment=is_apart
        )
        shown, of_lead = outputs.described(contract), counted(lead)
    elif WindowProfiles in sources:
        counted = partial(window_profiles.counted_of, session, model, row.version)
        shown, of_lead = window_profiles.described(session, model), counted(lead)
    elif is_apart:
        counted = partial(input_history.load, session, model, by_segment=True)
        of_lead = counted(lead)
    material = Material(
        contract=shown,
        window=zone.locally(window),
        lead=zone.locally(lead),
        recent=of_lead,
        reference=counted(*reference) if reference else None,
        by_hour=by_hour and WindowProfiles not in sources,
    )

    # decide
    is_accuracy = DailyErrors in sources
    names = _names(detail, sources, material)
    where = Around(
        model=model,
        window=around,
        closed_until=model.evaluated_until,
        recent=recent,
        by_hour=by_hour,
        finding_id=row.id,
    )
    return Explanation(
        id=row.id,
        model=model.name,
        monitor=monitor.name,
        kind=monitor.kind,
        about=monitor_config.about(monitor),
        severity=monitor.severity,
        outcome=row.outcome,
        value=row.value,
        threshold=row.threshold,
        cause=row.cause,
        window_start=row.window_start,
        window_end=row.window_end,
        as_of=row.as_of,
        version=row.version,
        recorded_at=row.recorded_at,
        rev=row.rev,
        revised_at=row.revised_at,
        since=incident.since,
        n_evaluations=incident.n_evaluations,
        zone=contract.zone,
        reference=reference,
        view=names[0].view if names else None,
        moved=detail.moved,
        features=features.moves(material, names),
        are_inputs=is_accuracy or ErrorsBySegment in sources,
        errors=errors.compare(session, model.id, row.version, contract, material.window)
        if is_accuracy
        else None,
        views=_views(row, monitor.kind, detail),
        nearby_start=around.start,
        nearby_end=around.end,
        nearby=changes(session, where, now),
        event_time_anomalies=dict(sorted(row_counters.of_model(session, model.id).items())),
        report=report_status.status_of(session, root, row),
    )


def _views(row: Finding, kind: str, detail: Detail) -> tuple[View, ...]:
    """Return what the kind shows; where it cannot, the error instead."""
    try:
        own = registry.stored(kind).show(detail, row.threshold)
        return checked([*own, *decision.show(detail)])
    except Exception as error:
        log.exception("finding %s cannot be shown by its kind %s", row.id, kind)
        return (Text(title="Detail cannot be shown", text=described(error)),)


def _names(
    detail: Detail, sources: Set[type[Source[Any]]], material: Material
) -> tuple[ImplicatedFeature, ...]:
    """Return the features to show: of errors, the inputs whose values moved farthest."""
    if sources & {Residuals, Probabilities}:
        return ()
    now, baseline = material.recent.within(material.window), material.reference
    if DailyErrors in sources:
        return features.farthest(now, baseline)
    if ErrorsBySegment in sources and detail.top is not None:
        return features.farthest(now, baseline, segment_of(detail.top))
    return detail.implicated_features


def _incident(
    session: Session, row: Finding, kind: MonitorKind[Any, Any], detail: Detail
) -> _Incident:
    """Return the start and length of the run of breaches."""
    if row.outcome is not Outcome.BREACH:
        return _Incident(since=None, n_evaluations=0)
    zone = models.zone_of(session.get_one(Model, row.model_id))
    run: list[tuple[datetime, datetime, datetime]] = []
    for as_of, outcome, start, end in nearby.evaluations_until(
        session, row.monitor_id, row.as_of, MAX_EVALUATIONS
    ):
        if outcome is not Outcome.BREACH or (run and run[-1][0] > zone.later(as_of, DAY)):
            break
        run.append((as_of, start, end))
    as_of, start, end = run[-1]
    # The change is before the end of the window; a window of one day is the change.
    first = start if end <= zone.later(start, DAY) else end
    if (
        kind.interval is Interval.CLOCK
    ):  # evaluated every few seconds: the first breach dates it
        first = as_of
    return _Incident(since=detail.started or first, n_evaluations=len(run))


def _around(window: Window, since: datetime | None, zone: Zone) -> Window:
    """Return the days in which to search for causes: a window before the change, and after."""
    at = since or window.end
    before = max(NEAR, min(window.end - window.start, LONGEST_LOOKBACK))
    end = zone.later(at, NEAR + DAY) - timedelta.resolution
    return Window(zone.floor(zone.later(at, -before)), zone.floor(end))


def _lead(window: Window, since: datetime | None, zone: Zone) -> Window:
    changed = max(since or window.start, window.end - LONGEST_LEAD)
    return Window(zone.floor(zone.later(min(window.start, changed), -LEAD)), window.end)


def _reference(session: Session, row: Finding, kind: str, detail: Detail) -> Stretches:
    """Return what the finding was compared with."""
    of_kind = registry.stored(kind)
    if of_kind.is_against_reference and of_kind.fit is None:
        return () if detail.reference is None else (detail.reference,)
    versions = models.versions(session, row.model_id)
    champion = next((one for one in versions if one.name == row.version), None)
    known = [one for one in versions if one.created_at <= row.recorded_at]
    return evaluation_context.references(known, champion)[of_kind.fitted_on]
