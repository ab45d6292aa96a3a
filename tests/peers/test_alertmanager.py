"""Alertmanager takes alerts, ours by Prometheus included, and `amtool` silences them."""

import json
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.peers.programs import ROOT, prometheus, run


def test_amtool_lists_an_alert_that_was_pushed_and_silences_it(
    alertmanager: str, tmp_path: Path
) -> None:
    alert = {"labels": {"alertname": "availability", "model": "load"}}
    answer = httpx.post(f"{alertmanager}/api/v2/alerts", json=[alert], trust_env=False)
    assert answer.status_code == 200, answer.text
    at = f"--alertmanager.url={alertmanager}"
    (found,) = json.loads(run("amtool", at, "-o", "json", "alert", "query"))
    assert found["labels"] == alert["labels"]

    silence = ["silence", "add", "-a", "on-call", "-c", "known", "model=load"]
    silenced_by = run("amtool", at, *silence).strip()
    (silence_found,) = json.loads(run("amtool", at, "-o", "json", "silence", "query"))
    assert silence_found["id"] == silenced_by
    assert json.loads(run("amtool", at, "-o", "json", "alert", "query")) == []


def test_the_dead_man_s_switch_reaches_alertmanager_by_prometheus(
    alertmanager: str, tmp_path: Path
) -> None:
    configuration = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "deploy" / "rules.yml")],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}
            ]
        },
    }
    at = f"--alertmanager.url={alertmanager}"
    until = time.monotonic() + 60
    with prometheus(tmp_path, configuration):
        while not (found := json.loads(run("amtool", at, "-o", "json", "alert", "query"))):
            assert time.monotonic() < until, (tmp_path / "prometheus.log").read_text()
            time.sleep(0.2)
    assert [alert["labels"] for alert in found] == [
        {"alertname": "Watchdog", "severity": "none"}
    ]


HEARTBEAT = "seqwatch_heartbeat_timestamp_seconds"
LAG = 'seqwatch_job_lag_seconds{job="seqwatch", job_name="%s"}'
DEAD = 'seqwatch_runs{job="seqwatch", job_name="fold", status="%s"}'


@pytest.mark.parametrize(
    ("series", "values", "alert", "labels"),
    [
        pytest.param(HEARTBEAT, "0x20", "SeqwatchWorkerStopped", {}, id="no worker"),
        pytest.param(HEARTBEAT, "0+60x20", "SeqwatchWorkerStopped", None, id="a worker"),
        pytest.param(
            LAG % "evaluate", "1000x20", "SeqwatchJobLate", {"job_name": "evaluate"}, id="lag"
        ),
        pytest.param(LAG % "backtest", "1000x20", "SeqwatchJobLate", None, id="a long job"),
        pytest.param(
            DEAD % "dead", "1x20", "SeqwatchRunsDead", {"job_name": "fold"}, id="a dead letter"
        ),
        pytest.param(DEAD % "todo", "1x20", "SeqwatchRunsDead", None, id="a run that waits"),
    ],
)
def test_a_rule_fires_when_it_should_and_names_the_job(
    tmp_path: Path, series: str, values: str, alert: str, labels: dict[str, str] | None
) -> None:
    group = {"input_series": [{"series": series, "values": values}], "interval": "1m"}
    file = tmp_path / "case.yml"
    given = {"rule_files": [str(ROOT / "deploy" / "rules.yml")], "tests": [group]}
    group["promql_expr_test"] = [
        {
            "expr": f'count by (job_name) (ALERTS{{alertname="{alert}", alertstate="firing"}})',
            "eval_time": "15m",
            "exp_samples": []
            if labels is None
            else [{"labels": _selector(labels), "value": 1}],
        }
    ]
    file.write_text(yaml.safe_dump(given))
    run("promtool", "test", "rules", file)


def _selector(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
