"""Prometheus scrapes us, loads our rules and finds our names conventional."""

from pathlib import Path

import httpx
import pytest

from tests.db.fill import MODEL
from tests.peers.conftest import TRACE, Scraped
from tests.peers.programs import ROOT, query, run


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param('up{job="seqwatch"} == 1', id="the scrape with a key is answered"),
        pytest.param('seqwatch_backlog_rows{model="load"} > 0', id="the backlog"),
        pytest.param('seqwatch_alert_firing{model="load"}', id="alerts of monitors"),
        pytest.param("seqwatch_ready", id="readiness"),
        pytest.param('seqwatch_job_lag_seconds{job_name="erase"} > 0', id="lag of jobs"),
        pytest.param("seqwatch_heartbeat_timestamp_seconds > 0", id="heartbeat"),
        pytest.param("sum(rate(seqwatch_ingest_rows_total[5m])) > 0", id="rows"),
        pytest.param('ALERTS{alertname="Watchdog", alertstate="firing"}', id="watchdog"),
        pytest.param("model:seqwatch_ingest_rows:rate5m", id="a recorded rate"),
        pytest.param(
            'increase(seqwatch_slo_events_total{model="load", outcome="good"}[1m]) > 0',
            id="events of an SLO",
        ),
        pytest.param(
            'slo:sli_error:ratio_rate5m{sloth_service="load", sloth_slo="availability"} >= 0',
            id="an error ratio by the rules of an SLO",
        ),
        pytest.param(
            'slo:period_error_budget_remaining:ratio{sloth_slo="availability"}',
            id="what is left of a budget by the rules of an SLO",
        ),
        pytest.param("seqwatch_prediction_latency_seconds_bucket{le='+Inf'} > 0", id="latency"),
    ],
)
def test_a_series_is_in_prometheus(scraped: Scraped, expression: str) -> None:
    assert query(scraped.prometheus, expression)


def test_prometheus_evaluates_every_rule_without_an_error(scraped: Scraped) -> None:
    answer = httpx.get(f"{scraped.prometheus}/api/v1/rules", trust_env=False).json()
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert {rule["type"] for rule in rules} == {"alerting", "recording"}
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule.get("lastError")] == []


def test_the_latency_of_ingestion_has_exemplars_by_trace(scraped: Scraped) -> None:
    answer = httpx.get(
        f"{scraped.prometheus}/api/v1/query_exemplars",
        params={
            "query": "seqwatch_ingest_request_seconds_bucket",
            "start": 0,
            "end": 10**10,
        },
        trust_env=False,
    ).json()
    found = [one for series in answer["data"] for one in series["exemplars"]]
    assert {one["labels"]["trace_id"] for one in found} == {TRACE}


def test_promtool_accepts_the_rules() -> None:
    run("promtool", "check", "rules", ROOT / "deploy" / "rules.yml")


def test_promtool_accepts_the_rules_of_an_slo(scraped: Scraped, tmp_path: Path) -> None:
    answer = scraped.installation.http.get(f"{MODEL}/slo-rules")
    (file := tmp_path / "slos.yml").write_text(answer.text)
    run("promtool", "check", "rules", file)


def test_promtool_accepts_the_names_and_help_texts_of_our_metrics(scraped: Scraped) -> None:
    answer = scraped.installation.http.get("/metrics")
    # promtool takes every name that ends in `_info` for a counter without `_total`.
    run("promtool", "check", "metrics", given=answer.text)
