"""Prometheus gauges, read from the database at each scrape.

Every replica answers the same: these are facts of the installation, not of a
process. Described in docs/metrics.md.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alerts.platform import PlatformFault
from alerts.state import Phase
from core.durations import DAY
from core.settings import Settings
from db.queries.log import row_counters
from db.queries.read import false_alarm_rates, overview
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
from services.read_models.overview.monitor_status import (
    StatusDetail,
    replayed_of,
    status_detail,
)

Served: TypeAlias = tuple[Model, Champion | None, Version | None]


def gauges(session: Session, now: datetime) -> Iterator[Metric]:
    """Read every gauge, and what is counted in the database."""
    rows = overview.models(session)
    names = {model.id: model.name for model, _, _ in rows}
    monitors = overview.watched(session)
    yield from _backlog(session, now)
    yield _set_aside(session)
    yield from _models(model for model, _, _ in rows)
    yield from _sources(session)
    yield _log_rows(session)
    yield _firing(names, monitors)
    yield _platform(session)
    yield from _promises(session, names, monitors)
    yield _champions(rows)
    yield _rollouts(session)
    yield from _queues(session, now)


def _backlog(session: Session, now: datetime) -> Iterator[GaugeMetricFamily]:
    rows = GaugeMetricFamily(
        "seqwatch_backlog_rows", "Rows accepted and not yet in the lake.", labels=["model"]
    )
    size = GaugeMetricFamily(
        "seqwatch_backlog_bytes", "Their size in the inbox.", labels=["model"]
    )
    age = GaugeMetricFamily(
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


def _set_aside(session: Session) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
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
) -> Iterator[GaugeMetricFamily]:
    """Read what this process sees of the room that is left."""
    free = GaugeMetricFamily(
        "seqwatch_disk_free_bytes", "Free space of the disks that we fill.", labels=["store"]
    )
    for store, n_bytes in disks.free().items():
        free.add_metric([store], float(n_bytes))
    yield free
    found = reached(settings, disks, backlog_limit, backlog(session, now))
    limits = GaugeMetricFamily(
        "seqwatch_limit_reached", "1 while a limit is reached, else 0.", labels=["limit"]
    )
    for limit in Limit:
        limits.add_metric([limit.value], float(limit in found))
    yield limits
    yield GaugeMetricFamily(
        "seqwatch_ready", "1 while batches are taken, else 0.", value=float(not found)
    )


def _models(models: Iterable[Model]) -> Iterator[GaugeMetricFamily]:
    watermark = GaugeMetricFamily(
        "seqwatch_watermark_timestamp_seconds",
        "The newest event time that was folded.",
        labels=["model"],
    )
    received = GaugeMetricFamily(
        "seqwatch_last_received_timestamp_seconds",
        "When rows were last received.",
        labels=["model"],
    )
    lag = GaugeMetricFamily(
        "seqwatch_evaluation_lag_seconds",
        "Event time that was folded and not yet evaluated.",
        labels=["model"],
    )
    for model in models:
        if model.last_received_at is not None:
            received.add_metric([model.name], model.last_received_at.timestamp())
        if model.watermark is None:
            continue
        watermark.add_metric([model.name], model.watermark.timestamp())
        if model.evaluated_until is not None:
            behind = (model.watermark - model.evaluated_until).total_seconds()
            lag.add_metric([model.name], max(behind, 0.0))
    yield from (watermark, received, lag)


def _sources(session: Session) -> Iterator[Metric]:
    labels = ["model", "source"]
    rows = CounterMetricFamily("seqwatch_source_rows", "Rows pulled and stored.", labels=labels)
    pulled = GaugeMetricFamily(
        "seqwatch_source_pulled_timestamp_seconds", "When it was last read.", labels=labels
    )
    failures = GaugeMetricFamily(
        "seqwatch_source_failures", "Failed pulls in a row.", labels=labels
    )
    found = select(Model.name, SourceRow).join(Model, Model.id == SourceRow.model_id)
    for model, source in session.execute(found):
        names = [model, source.name]
        rows.add_metric(names, float(source.n_rows))
        failures.add_metric(names, float(source.n_failures))
        if source.pulled_at is not None:
            pulled.add_metric(names, source.pulled_at.timestamp())
    yield from (rows, pulled, failures)


def _log_rows(session: Session) -> CounterMetricFamily:
    rows = CounterMetricFamily(
        "seqwatch_log_rows",
        "Rows by what was odd about them, since the model began.",
        labels=["model", "kind"],
    )
    for model, kind, number in row_counters.all_counts(session):
        rows.add_metric([model, kind], float(number))
    return rows


def _firing(names: Mapping[UUID, str], monitors: Sequence[Any]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
        "seqwatch_alert_firing",
        "1 while the alert of a monitor fires, else 0.",
        labels=["model", "monitor", "severity"],
    )
    for one in monitors:
        labels = [names[one.model_id], one.name, one.severity]
        gauge.add_metric(labels, float(one.phase is Phase.FIRING))
    return gauge


def _platform(session: Session) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
        "seqwatch_platform_alerts", "Open faults of the platform itself.", labels=["kind"]
    )
    counted = Counter(alert.kind for alert in platform_alerts.open_alerts(session))
    for kind in PlatformFault:
        gauge.add_metric([kind.value], counted[kind])
    return gauge


def _promises(
    session: Session, names: Mapping[UUID, str], monitors: Sequence[Any]
) -> Iterator[GaugeMetricFamily]:
    promised = GaugeMetricFamily(
        "seqwatch_false_alarm_promised_seconds",
        "Time between two false alarms, as asked for.",
        labels=["model", "monitor"],
    )
    achieved = GaugeMetricFamily(
        "seqwatch_false_alarm_achieved_seconds",
        "Time between two alarms, as counted, and the bounds of a 90 % interval.",
        labels=["model", "monitor", "source", "bound"],
    )
    coarse = GaugeMetricFamily(
        "seqwatch_bins_fullest_ratio",
        "Share of a feature's values in the three fullest bins, where above a half.",
        labels=["model", "monitor", "feature"],
    )
    live = false_alarm_rates.live(session, [one for one in monitors if one.phase])
    for one in monitors:
        if not one.enabled:
            continue
        labels = [names[one.model_id], one.name]
        detail, shown = _detail(one.kind, one.detail or "{}")
        bins = shown.coarse_bins
        if bins is not None and one.kind == "input_drift":
            coarse.add_metric([*labels, bins.feature], bins.share)
        days = detail.promised_days or _promised(one.params)
        if days is None:
            continue
        promised.add_metric(labels, days * DAY.total_seconds())
        alarms = live.get(one.monitor_id)
        seen = None if alarms is None else Achieved(n_alarms=alarms[0], days=alarms[1])
        for source, counted in (("reference", replayed_of(detail)), ("live", seen)):
            if counted is not None:
                shortest, longest = counted.interval()
                between = {"lower": shortest, "seen": counted.days_between, "upper": longest}
                for bound, n_days in between.items():
                    seconds = n_days * DAY.total_seconds()
                    achieved.add_metric([*labels, source, bound], seconds)
    yield from (promised, achieved, coarse)


@lru_cache(maxsize=16_384)
def _detail(kind: str, text: str) -> tuple[Detail, StatusDetail]:
    """Read a detail, and what every kind shows of one; most were read by the scrape before."""
    detail = registry.detail(kind, json.loads(text))
    return detail, status_detail(detail)


@lru_cache(maxsize=4_096)
def _promised(params: str) -> float | None:
    days: float | None = json.loads(params).get("days_between_false_alarms")
    return days


def _champions(rows: Iterable[Served]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
        "seqwatch_champion_info", "1 for the version that serves.", labels=["model", "version"]
    )
    for model, _, version in rows:
        if version is not None:
            gauge.add_metric([model.name, version.name], 1.0)
    return gauge


def _rollouts(session: Session) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
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


def _queues(session: Session, now: datetime) -> Iterator[GaugeMetricFamily]:
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
        yield GaugeMetricFamily(name, text, value=float(value))
    runs = GaugeMetricFamily(
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
