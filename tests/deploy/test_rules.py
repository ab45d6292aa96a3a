"""The rules warn before a limit is met. Prometheus has a check of its own: `promtool`."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.settings import Settings

TEXT = (Path(__file__).parents[2] / "deploy" / "rules.yml").read_text("utf-8")
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(TEXT)["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
WATCHDOG = "Watchdog"


def threshold(alert: str) -> int:
    """Return the last number of a rule's expression."""
    factor, power = re.findall(r"(\d+) \* 2\^(\d+)", RULES[alert]["expr"])[-1]
    return int(factor) << int(power)


@pytest.mark.parametrize("alert", sorted({*RULES} - {WATCHDOG}))
def test_a_rule_has_a_severity_and_a_summary(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith((".", "?"))
    assert re.fullmatch(r"\d+m", rule.get("for", "1m"))


def test_each_limit_has_an_alert_before_it_is_reached() -> None:
    settings = Settings()
    assert threshold("SeqwatchBacklogFull") < settings.max_backlog_bytes
    assert threshold("SeqwatchWaitingRoomFull") < settings.max_waiting_bytes
    assert threshold("SeqwatchDiskNearlyFull") > settings.min_free_bytes
    old = int(re.findall(r"> (\d+)", RULES["SeqwatchBacklogOld"]["expr"])[-1])
    assert old < settings.max_backlog_age.total_seconds()


def test_the_watchdog_always_fires_and_notifies_nobody_of_ours() -> None:
    assert RULES[WATCHDOG]["expr"] == "vector(1)"
    assert RULES[WATCHDOG]["labels"] == {"severity": "none"}


@pytest.mark.parametrize("about", ["silent model", "backlog age", "disk", "not ready"])
def test_what_an_operator_must_hear_of_is_there(about: str) -> None:
    named = {
        "silent model": "seqwatch_last_received_timestamp_seconds",
        "backlog age": "seqwatch_backlog_age_seconds",
        "disk": "seqwatch_disk_free_bytes",
        "not ready": "seqwatch_ready",
    }
    assert any(named[about] in rule["expr"] for rule in RULES.values())
