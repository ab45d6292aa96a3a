"""Prometheus gauges, read from the database at each scrape.

Every replica answers the same: these are facts of the installation, not of a
process. Described in docs/metrics.md.
"""

import collections
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alerts.platform import PlatformFault
from core.durations import DAY
from core.settings import Settings
from db.queries.log import row_counters
from db.queries.read import overview
from db.tables import (
    Champion,
    Delivery,
    Inbox,
    Model,
    Rollout,
    Run,
    SetAside,
    SourceRow,
    Version,
)
from db.tables.queue import RunStatus
from monitors import registry
from monitors.detail import Detail
from monitors.false_alarms.false_alarm_rate import Achieved
from services.access.capacity import BacklogLimit, Disks, Limit, backlog, reached
from services.platform_faults import platform_alerts
from services.read_models import model_health as health
from services.read_models import served_totals
from services.read_models.exposition import Counter, Gauge
from services.read_models.overview.monitor_status import (
    StatusDetail,
    replayed_of,
    status_detail,
)


def gauges(session: Session, now: datetime) -> Iterator[Gauge]:
    """Read every gauge, and what is counted in the database."""
    yield from _backlog(session, now)
    yield _set_aside(session)
    yield from _models(session)
    yield from _sources(session)
    yield _log_rows(session)
    monitors = overview.watched(session)
    yield from _monitors(monitors)
    yield from served_totals.counters(session, monitors)
    yield _platform(session)
    yield _rollouts(session)
    yield from _queues(session, now)


def _backlog(session: Session, now: datetime) -> Iterator[Gauge]:
    rows = Gauge(
        "seqwatch_backlog_rows", "Rows accepted and not yet in the lake.", labels=["model"]
    )
    size = Gauge("seqwatch_backlog_bytes", "Their size in the inbox.", labels=["model"])
    age = Gauge(
        "seqwatch_backlog_age_seconds", "How long the oldest has waited.", labels=["model"]
    )
    waiting = session.execute(
        select(
            Model.name,
            func.coalesce(func.sum(Inbox.n_rows), 0),
            func.coalesce(func.sum(Inbox.n_bytes), 0),
            func.min(Inbox.received_at),
        )
        .outerjoin(Inbox, Inbox.model_id == Model.id)
        .group_by(Model.name)
    )
    for model, n_rows, n_bytes, oldest in waiting:
        rows.add_metric([model], int(n_rows))
        size.add_metric([model], int(n_bytes))
        age.add_metric([model], _age(oldest, now))
    yield from (rows, size, age)


def _set_aside(session: Session) -> Gauge:
    gauge = Gauge(
        "seqwatch_streams_set_aside",
        "1 for a stream whose rows cannot be processed.",
        labels=["model", "stream", "stage"],
    )
    rows = session.execute(
        select(Model.name, SetAside.kind, SetAside.stage).join(
            Model, Model.id == SetAside.model_id
        )
    )
    for model, kind, stage in rows:
        gauge.add_metric([model, kind.value, stage.value], 1.0)
    return gauge


def capacity(
    settings: Settings,
    disks: Disks,
    backlog_limit: BacklogLimit,
    session: Session,
    now: datetime,
) -> Iterator[Gauge]:
    """Read what this process sees of the room that is left."""
    free = Gauge(
        "seqwatch_disk_free_bytes", "Free space of the disks that we fill.", labels=["store"]
    )
    for store, n_bytes in disks.free().items():
        free.add_metric([store], float(n_bytes))
    yield free
    found = reached(settings, disks, backlog_limit, backlog(session, now))
    limits = Gauge(
        "seqwatch_limit_reached", "1 while a limit is reached, else 0.", labels=["limit"]
    )
    for limit in Limit:
        limits.add_metric([limit.value], float(limit in found))
    yield limits
    yield Gauge("seqwatch_ready", "1 while batches are taken, else 0.", value=float(not found))


def _models(session: Session) -> Iterator[Gauge]:
    watermark = Gauge(
        "seqwatch_watermark_timestamp_seconds",
        "The newest event time that was folded.",
        labels=["model"],
    )
    received = Gauge(
        "seqwatch_last_received_timestamp_seconds",
        "When rows were last received.",
        labels=["model"],
    )
    lag = Gauge(
        "seqwatch_evaluation_lag_seconds",
        "Event time that was folded and not yet evaluated.",
        labels=["model"],
    )
    champion = Gauge(
        "seqwatch_champion_info", "1 for the version that serves.", labels=["model", "version"]
    )
    rows = session.execute(
        select(
            Model.name,
            Model.last_received_at,
            Model.watermark,
            Model.evaluated_until,
            Version.name,
        )
        .outerjoin(Champion, Champion.model_id == Model.id)
        .outerjoin(Version, Version.id == Champion.version_id)
        .order_by(Model.name)
    )
    for model, received_at, folded_until, evaluated_until, version in rows:
        if version is not None:
            champion.add_metric([model, version], 1.0)
        if received_at is not None:
            received.add_metric([model], received_at.timestamp())
        if folded_until is None:
            continue
        watermark.add_metric([model], folded_until.timestamp())
        if evaluated_until is not None:
            behind = (folded_until - evaluated_until).total_seconds()
            lag.add_metric([model], max(behind, 0.0))
    yield from (watermark, received, lag, champion)


def _sources(session: Session) -> Iterator[Gauge]:
    labels = ["model", "source"]
    rows = Counter("seqwatch_source_rows", "Rows pulled and stored.", labels=labels)
    pulled = Gauge(
        "seqwatch_source_pulled_timestamp_seconds", "When it was last read.", labels=labels
    )
    failures = Gauge("seqwatch_source_failures", "Failed pulls in a row.", labels=labels)
    found = select(Model.name, SourceRow).join(Model, Model.id == SourceRow.model_id)
    for model, source in session.execute(found):
        names = [model, source.name]
        rows.add_metric(names, float(source.n_rows))
        failures.add_metric(names, float(source.n_failures))
        if source.pulled_at is not None:
            pulled.add_metric(names, source.pulled_at.timestamp())
    yield from (rows, pulled, failures)


def _log_rows(session: Session) -> Counter:
    rows = Counter(
        "seqwatch_log_rows",
        "Rows by what was odd about them, since the model began.",
        labels=["model", "kind"],
    )
    for model, kind, number in row_counters.all_counts(session):
        rows.add_metric([model, kind], float(number))
    return rows


def _platform(session: Session) -> Gauge:
    gauge = Gauge(
        "seqwatch_platform_alerts", "Open faults of the platform itself.", labels=["kind"]
    )
    counted = collections.Counter(alert.kind for alert in platform_alerts.open_alerts(session))
    for kind in PlatformFault:
        gauge.add_metric([kind.value], counted[kind])
    return gauge


def _monitors(monitors: Sequence[Any]) -> Sequence[Gauge]:
    gauges = (*_of_monitors(), *health.of_findings())
    for one in monitors:
        for gauge, lines in zip(gauges, _lines(one), strict=True):
            gauge.add_lines(lines)
    return gauges


def _of_monitors() -> tuple[Gauge, Gauge, Gauge, Gauge]:
    firing = Gauge(
        "seqwatch_alert_firing",
        "1 while the alert of a monitor fires, else 0.",
        labels=["model", "monitor", "severity"],
    )
    promised = Gauge(
        "seqwatch_false_alarm_promised_seconds",
        "Time between two false alarms, as asked for.",
        labels=["model", "monitor"],
    )
    achieved = Gauge(
        "seqwatch_false_alarm_achieved_seconds",
        "Time between two alarms, as counted, and the bounds of a 90 % interval.",
        labels=["model", "monitor", "source", "bound"],
    )
    coarse = Gauge(
        "seqwatch_bins_fullest_ratio",
        "Share of a feature's values in the three fullest bins, where above a half.",
        labels=["model", "monitor", "feature"],
    )
    return firing, promised, achieved, coarse


@lru_cache(maxsize=16_384)
def _lines(one: Any) -> tuple[str, ...]:
    """Return the lines of a monitor in each metric; from one scrape to the next few change."""
    gauges = firing, promised, achieved, coarse = _of_monitors()
    labels = [one.model, one.name]
    firing.add_metric([*labels, one.severity], float(one.fires or 0))
    if one.enabled:
        detail, shown = _detail(one.kind, one.detail or "{}")
        bins = shown.coarse_bins
        if bins is not None and one.kind == "input_drift":
            coarse.add_metric([*labels, bins.feature], bins.share)
        days = detail.promised_days or _promised(one.params)
        if days is not None:
            promised.add_metric(labels, days * DAY.total_seconds())
            _add_achieved(achieved, labels, one, detail)
        found = health.of_finding(one, detail, shown.coverage)
    else:
        found = health.of_findings()
    return tuple(gauge.lines() for gauge in (*gauges, *found))


def _add_achieved(achieved: Gauge, labels: list[str], one: Any, detail: Detail) -> None:
    live = Achieved(n_alarms=one.n_alarms, days=one.n_evaluated) if one.n_evaluated else None
    for source, counted in (("reference", replayed_of(detail)), ("live", live)):
        if counted is not None:
            shortest, longest = counted.interval()
            between = {"lower": shortest, "seen": counted.days_between, "upper": longest}
            for bound, n_days in between.items():
                seconds = n_days * DAY.total_seconds()
                achieved.add_metric([*labels, source, bound], seconds)


def _detail(kind: str, text: str) -> tuple[Detail, StatusDetail]:
    """Read a detail, and what every kind shows of one."""
    detail = registry.detail(kind, json.loads(text))
    return detail, status_detail(detail)


def _promised(params: str) -> float | None:
    days: float | None = json.loads(params).get("days_between_false_alarms")
    return days


def _rollouts(session: Session) -> Gauge:
    gauge = Gauge(
        "seqwatch_rollout_open", "1 for the rollout under way.", labels=["model", "phase"]
    )
    under_way = session.execute(
        select(Model.name, Rollout.phase)
        .join(Rollout, Rollout.model_id == Model.id)
        .where(Rollout.finished_at.is_(None))
    )
    for model, phase in under_way:
        gauge.add_metric([model, phase.value], 1.0)
    return gauge


def _queues(session: Session, now: datetime) -> Iterator[Gauge]:
    open_ = Delivery.finished_at.is_(None) & Delivery.delivered.is_(False)
    dead = Delivery.finished_at.is_not(None) & Delivery.delivered.is_(False)
    pending, given_up, oldest = session.execute(
        select(
            func.count().filter(open_),
            func.count().filter(dead),
            func.min(Delivery.created_at).filter(open_),
        ).select_from(Delivery)
    ).one()
    for name, text, value in (
        ("seqwatch_deliveries_pending", "Messages that have not left.", pending),
        ("seqwatch_deliveries_dead", "Messages given up.", given_up),
        (
            "seqwatch_deliveries_age_seconds",
            "How long the oldest has waited.",
            _age(oldest, now),
        ),
    ):
        yield Gauge(name, text, value=float(value))
    runs = Gauge(
        "seqwatch_runs", "Runs of jobs that are not done.", labels=["job_name", "status"]
    )
    row_counters = session.execute(
        select(Run.job, Run.status, func.count())
        .where(Run.status != RunStatus.DONE)
        .group_by(Run.job, Run.status)
    )
    for job, status, number in row_counters:
        runs.add_metric([job, status.value], float(number))
    yield runs


def _age(oldest: datetime | None, now: datetime) -> float:
    return 0.0 if oldest is None else max((now - oldest).total_seconds(), 0.0)
