"""Alertmanager runs, with `amtool` beside it."""

import json
from pathlib import Path

import httpx

from tests.peers.programs import run


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
