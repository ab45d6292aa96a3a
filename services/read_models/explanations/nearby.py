"""Changes around the time of a finding."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.durations import DAY, HOUR
from core.schema.calendar import Calendar
from core.schema.zone import Zone
from core.window import Window, midnight
from db.queries import summaries
from db.queries.read import nearby
from db.tables import AuditEvent, Model
from monitors.explanation import context
from monitors.slo.serving import FAILED, LATENCY, SERVING, N, quantile, table
from monitors.summaries.daily import daily
from monitors.summaries.hourly import HOURS
from monitors.summaries.input_history import InputHistory
from monitors.summaries.local_time import local_hours
from monitors.summaries.summary import chunk_at
from retrain.rollout import Phase

BASELINE_DAYS = context.WEEKS * 7  # before the first that is evaluated

# What happens to a challenger before it serves anybody changes nothing outside.
_SERVING = (Phase.CANARY, Phase.PAUSED, Phase.PROMOTED, Phase.ROLLED_BACK)

_ACTS = {
    "model.update": "description, runbook or policy of the model changed",
    "version.add": "version {} added",
    "version.update": "version {} changed",
    "champion.move": "version {} made champion",
    "monitor.add": "monitor {} added",
    "monitor.update": "monitor {} changed",
    "model.history": "history brought in",
    "erasure.ask": "rows erased on request",
}


class Sort(StrEnum):
    """What kind of change it is."""

    VERSION = "version"
    CONTRACT = "contract"
    SETTINGS = "settings"
    ALERT = "alert"
    VOLUME = "volume"
    GAP = "gap"
    LATENCY = "latency"
    FAILURES = "failures"
    MISMATCH = "mismatch"
    REPEATED = "repeated"
    LATE = "late"
    HOLIDAY = "holiday"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that changed.

    `at` is event time; of what a person did to the platform it is wall time, and
    `is_wall` is true.
    """

    sort: Sort
    at: datetime
    message: str
    is_wall: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Range of a search: in which days, for which model, beside which finding.

    Attributes
    ----------
    window
        Whole event days.
    closed_until
        The end of the last of them that is over; None before any.
    recent
        The summaries of these days and of five weeks before them.
    by_hour
        Whether all of these are by hour: none was rolled up to a day.
    """

    model: Model
    window: Window
    closed_until: datetime | None
    recent: InputHistory
    by_hour: bool
    finding_id: UUID


def changes(session: Session, around: Around, now: datetime) -> tuple[Change, ...]:
    """Return what changed, oldest first: what is known in event time, then in wall time."""
    model_id, window = around.model.id, around.window
    contract = around.model.contract
    zone = Zone(contract.zone)
    found = [
        *_serving(session, model_id, window),
        *_alerts(session, around),
        *_event_time_anomalies(session, model_id, window, zone),
        *_holidays(contract.calendar, window, zone),
    ]
    end = min(window.end, around.closed_until or window.start)
    if end > window.start:  # of a day that is not over, nobody knows how many rows it gets
        closed = Window(window.start, end)
        found += _traffic(session, model_id, closed, zone)
        if around.by_hour:
            found += _gaps(around.recent, closed, zone)
    wall = nearby.wall_window(session, model_id, window, now)
    by_people = _acts(session, around.model.name, wall)
    return (*sorted(found, key=lambda each: (each.at, each.sort)), *by_people)


def _serving(session: Session, model_id: UUID, window: Window) -> Iterator[Change]:
    for event, challenger in nearby.rollout_events(session, model_id, window):
        if event.phase in _SERVING:
            what = f"{challenger or 'a challenger'} {event.event.replace('_', ' ')}"
            phase = event.phase.value.replace("_", " ")
            message = f"{what}, {phase}: {event.cause}"
            yield Change(sort=Sort.VERSION, at=event.at, message=message)


def _alerts(session: Session, around: Around) -> Iterator[Change]:
    for flip, monitor in nearby.flips(session, around.model.id, around.window):
        if flip.finding_id == around.finding_id:
            continue
        message = f"{monitor} {flip.flip.value}"
        cause = f": {flip.cause}" if flip.cause else ""
        yield Change(sort=Sort.ALERT, at=flip.at, message=message.replace("_", " ") + cause)


def _acts(session: Session, name: str, window: Window) -> Iterator[Change]:
    for event in nearby.audits(session, name, window, [*_ACTS]):
        sort, what = _act(session, event)
        message = f"{what} by {event.actor}"
        yield Change(sort=sort, at=event.recorded_at, message=message, is_wall=True)


def _act(session: Session, event: AuditEvent) -> tuple[Sort, str]:
    what = _ACTS[event.action].format(event.subject.partition("/")[2])
    if event.action == "model.update":
        before = nearby.detail_before(session, event)
        if before is not None and before.get("contract") != event.detail.get("contract"):
            return Sort.CONTRACT, "contract changed"
    if event.action == "version.add" and event.detail.get("contract") is not None:
        return Sort.CONTRACT, f"{what}, with a contract of its own"
    is_version = event.action.startswith(("version.", "champion."))
    return (Sort.VERSION if is_version else Sort.SETTINGS), what


def _traffic(session: Session, model_id: UUID, window: Window, zone: Zone) -> Iterator[Change]:
    """Compare rows, latency and failures of each day with the baseline."""
    start = zone.local(window.start) - BASELINE_DAYS * DAY
    whole = Window(zone.utc(start), window.end)
    served = summaries.read(session, SERVING, model_id, [whole])
    if served is None:
        return
    by_hour = table(served, whole, HOUR)
    hours = local_hours(chunk_at(whole.start) + np.arange(len(by_hour)), zone)
    of_day = hours // HOURS - chunk_at(start) // HOURS
    days = np.zeros((int(of_day[-1]) + 1, by_hour.shape[1]), dtype=np.int64)
    np.add.at(days, of_day, by_hour)
    begun = [zone.utc(start + i * DAY) for i in range(len(days))]
    rows, failed = days[:, N].astype(float), days[:, FAILED]
    latency = days[:, LATENCY]
    p95 = np.array([np.nan if (q := quantile(day, 0.95)) is None else q for day in latency])
    share = np.divide(failed, rows, out=np.full(rows.shape, np.nan), where=rows > 0)
    for anomaly in context.volume_anomalies(rows, BASELINE_DAYS):
        message = f"{anomaly.value:,.0f} rows; median of this weekday: {anomaly.baseline:,.0f}"
        yield Change(sort=Sort.VOLUME, at=begun[anomaly.day], message=message)
    for anomaly in context.latency_anomalies(p95, BASELINE_DAYS):
        message = (
            f"p95 {1000 * anomaly.value:.3g} ms; baseline {1000 * anomaly.baseline:.3g} ms"
        )
        yield Change(sort=Sort.LATENCY, at=begun[anomaly.day], message=message)
    for anomaly in context.failure_anomalies(share, BASELINE_DAYS):
        message = (
            f"{anomaly.value:.1%} of the predictions failed; baseline {anomaly.baseline:.1%}"
        )
        yield Change(sort=Sort.FAILURES, at=begun[anomaly.day], message=message)


def _gaps(counted: InputHistory, instants: Window, zone: Zone) -> Iterator[Change]:
    """Find hours that lack a value which they always had."""
    window = zone.locally(instants)
    edges, seen = counted.of(counted.kept)
    days = daily(seen, edges.names, window.start - BASELINE_DAYS * DAY, window.end)
    first = chunk_at(window.start) // HOURS
    for day in range(first, chunk_at(window.end) // HOURS):
        absent = context.absent_hours(days, day)
        if not absent.any():
            continue
        names = [edges.names[i] for i in np.flatnonzero(absent.any(axis=0))]
        hours = np.flatnonzero(absent.any(axis=1))
        at = zone.utc(window.start + (day - first) * DAY)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        message = (
            f"no value of {', '.join(names[:3])}{more} in {hours.size} hours that always "
            f"had one, from {hours[0]:02}:00"
        )
        yield Change(sort=Sort.GAP, at=at, message=message)


def _holidays(calendar: Calendar, window: Window, zone: Zone) -> Iterator[Change]:
    for day in calendar.holidays:
        at = zone.start(day)
        if window.start <= at < window.end:
            yield Change(sort=Sort.HOLIDAY, at=at, message=f"{day} is a holiday")


def _event_time_anomalies(
    session: Session, model_id: UUID, window: Window, zone: Zone
) -> Iterator[Change]:
    local = zone.locally(window)
    by_day = groupby(nearby.mismatches(session, model_id, window), key=lambda one: one.day)
    for day, counts in by_day:
        reasons = ", ".join(f"{one.n:,} {one.why.replace('_', ' ')}" for one in counts)
        message = f"rows that did not fit the contract: {reasons}"
        yield Change(sort=Sort.MISMATCH, at=midnight(day), message=message)
    for one in nearby.repeats(session, model_id, local):
        message = f"{one.n:,} rows with an id that the day had before"
        yield Change(sort=Sort.REPEATED, at=zone.start(one.day), message=message)
    waiting = nearby.late_days(session, model_id, local)
    if waiting:
        until = f" until {waiting[-1]:%Y-%m-%d}" if len(waiting) > 1 else ""
        days = f"{len(waiting)} days" if len(waiting) > 1 else "this day"
        message = f"rows or labels came late for {days}{until}, not re-evaluated yet"
        yield Change(sort=Sort.LATE, at=zone.start(waiting[0]), message=message)
    monitors: Mapping[datetime, list[str]] = defaultdict(list)
    for as_of, monitor in nearby.revised(session, model_id, window):
        monitors[as_of].append(monitor)
    for as_of, names in monitors.items():
        message = f"late rows or labels revised findings of this day: {_words(names)}"
        yield Change(sort=Sort.LATE, at=zone.later(as_of, -DAY), message=message)


def _words(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
