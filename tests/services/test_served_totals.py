"""Counters of what was served: exact, never falling, and as cheap for an old model."""

from typing import Any
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.statements import statements
from core.durations import DAY, HOUR, MINUTE
from core.schema.rows import Kind
from core.streams import Retention
from db.session import read_only, unit_of_work
from db.tables import Model, Monitor
from services.aggregation.fold import fold_all
from services.evaluation.by_clock.live import LiveMonitors
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.read_models.prometheus import gauges
from services.summaries import roll_up
from tests.streams import CONTRACT, START, add_served_model, keep, prediction, table

SLOS: dict[str, dict[str, Any]] = {
    "up": {"sli": "availability"},
    "strict": {"sli": "availability", "sli_params": {"degraded": "bad"}},
    "fast": {"sli": "latency", "sli_params": {"slower_than": "PT0.1S"}},
}


@pytest.fixture
def model_id(sessions: sessionmaker[Session]) -> UUID:
    made = add_served_model(sessions, monitors={})
    with unit_of_work(sessions) as session:
        for name, params in SLOS.items():
            plan = MonitorPlan(name=name, kind="burn_rate", params=params)
            monitor_config.put(session, made, plan)
    return made


def send(
    sessions: sessionmaker[Session],
    model_id: UUID,
    start: Any,
    statuses: list[str],
    latency: float | None = 0.02,
) -> None:
    features = {"load": [1.0], "wind": [2.0]}
    rows = [
        prediction(
            start + i * MINUTE, i, features=features, status=one, latency_seconds=latency
        )
        for i, one in enumerate(statuses)
    ]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, CONTRACT))
    fold_all(sessions, start + DAY)


def scraped(sessions: sessionmaker[Session]) -> dict[tuple[str, ...], float]:
    with read_only(sessions) as session:
        text = "".join(one.text() for one in gauges(session, START + DAY))
    return {
        (one.name, *(value for name, value in one.labels.items() if name != "model")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def events(found: dict[tuple[str, ...], float], slo: str) -> list[float]:
    of = ("good", "bad", "unknown")
    return [found["seqwatch_slo_events_total", slo, outcome] for outcome in of]


def test_events_are_counted_by_outcome_as_each_slo_counts_them(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    assert [events(scraped(sessions), name) for name in SLOS] == [[0, 0, 0]] * 3
    send(sessions, model_id, START, ["ok"] * 5 + ["error", "timeout"] + ["degraded"] * 3)
    send(sessions, model_id, START + HOUR, ["ok"] * 4, latency=3.0)
    send(sessions, model_id, START + 2 * HOUR, ["ok"] * 2, latency=None)
    found = scraped(sessions)
    assert events(found, "up") == [14, 2, 0]
    assert events(found, "strict") == [11, 5, 0]
    assert events(found, "fast") == [8, 6, 2]
    name = "seqwatch_predictions_total"
    statuses = ("ok", "failed", "degraded")
    assert [found[name, "v1", status] for status in statuses] == [11, 2, 3]


def test_the_histogram_of_latency_counts_what_has_one(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    for hour, latency in enumerate((0.02, 3.0, None)):
        send(sessions, model_id, START + hour * HOUR, ["ok"] * 4, latency=latency)
    found = scraped(sessions)
    name = "seqwatch_prediction_latency_seconds"
    buckets = {float(le[1]): n for le, n in found.items() if le[0] == f"{name}_bucket"}
    assert [*buckets] == sorted(buckets)
    assert buckets[0.01] == 0
    assert {n for bound, n in buckets.items() if 0.02 < bound < 3} == {4}
    assert buckets[float("inf")] == 8


def test_counters_never_fall_when_summaries_are_deleted(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    send(sessions, model_id, START, ["ok", "error"])
    before = scraped(sessions)
    send(sessions, model_id, START + 500 * DAY, ["ok"])
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id)
        model.evaluated_until = model.watermark
    kept = Retention(slice=4 * DAY, hour=40 * DAY, day=60 * DAY)
    assert roll_up.roll_up(sessions, kept, model_id) > 0
    after = scraped(sessions)
    assert events(before, "up") == [1, 1, 0]
    assert events(after, "up") == [2, 1, 0]


def test_a_disabled_slo_and_one_whose_parameters_mean_nothing_have_no_counter(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    with unit_of_work(sessions) as session:
        for monitor in session.query(Monitor).filter(Monitor.name.in_(["up", "fast"])):
            monitor.enabled = monitor.name != "up"
            if monitor.name == "fast":
                monitor.params = {"sli": "uninstalled"}
    slos = {key[1] for key in scraped(sessions) if key[0] == "seqwatch_slo_events_total"}
    assert slos == {"strict"}


def test_the_newest_finding_gives_burn_and_budget(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    send(sessions, model_id, START, ["error"] * 60)
    LiveMonitors(sessions).run(START + HOUR)
    found = scraped(sessions)
    assert found["seqwatch_slo_objective_ratio", "up"] == 0.99
    assert found["seqwatch_slo_burn_rate", "up", "page quick"] == pytest.approx(100)
    assert found["seqwatch_slo_error_budget_remaining_ratio", "up"] == pytest.approx(-99)


def test_a_scrape_reads_one_statement_of_totals_however_many_versions(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    send(sessions, model_id, START, ["ok"])
    with statements(sessions.kw["bind"]) as seen:
        scraped(sessions)
    assert len([one for one in seen if "champion" in one and "summary" in one]) == 1
