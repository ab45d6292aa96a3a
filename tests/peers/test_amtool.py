"""`amtool` lists our alerts and silences them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from tests.alerting.world import Alerting
from tests.peers.programs import run
from tests.pipeline.world import platform

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Amtool = Callable[..., str]


@pytest.fixture
def alerting(sessions: sessionmaker[Session]) -> Alerting:
    alerting = Alerting(sessions)
    alerting.now = utcnow()
    alerting.breach()
    return alerting


@pytest.fixture
def amtool(alerting: Alerting, settings: Settings, tmp_path: Path) -> Iterator[Amtool]:
    """`amtool` with a key in a file, as docs/alerts.md describes."""
    with platform(settings, alerting.sessions, tmp_path) as ours:
        (tmp_path / "key").write_text(ours.key)
        file = tmp_path / "amtool.yml"
        file.write_text(f"authorization: {{credentials_file: {tmp_path}/key}}\n")
        at = [f"--alertmanager.url={ours.http.base_url}", f"--http.config.file={file}"]
        yield lambda *given: run("amtool", *at, *given)


def listed(amtool: Amtool, *given: str) -> list[Any]:
    found: list[Any] = json.loads(amtool("-o", "json", *given))
    return found


def test_amtool_queries_alerts_by_matchers(amtool: Amtool) -> None:
    [alert] = listed(amtool, "alert", "query")
    assert alert["labels"]["model"] == "grid"
    for given in (
        ['model=~"gr.d"', "severity=page"],
        ["silence"],  # an alertname
        ["--receiver=root"],
    ):
        [same] = listed(amtool, "alert", "query", *given)
        assert same["fingerprint"] == alert["fingerprint"]
    assert listed(amtool, "alert", "query", "model!=grid") == []
    assert listed(amtool, "alert", "query", "--silenced") == []
    assert "silence" in amtool("-o", "extended", "alert", "query")


def test_a_silence_of_amtool_mutes_until_it_expires(amtool: Amtool, alerting: Alerting) -> None:
    silence = amtool("silence", "add", "-a", "ann", "-c", "meters", "model=grid").strip()
    alerting.now = utcnow()
    alerting.wait()
    assert alerting.sent() == []
    [found] = listed(amtool, "silence", "query")
    assert (found["id"], found["status"]["state"]) == (silence, "active")
    assert listed(amtool, "alert", "query") == []
    [alert] = listed(amtool, "alert", "query", "--silenced")
    assert alert["status"]["silencedBy"] == [silence]

    amtool("silence", "update", "--duration=2h", "--comment=longer", silence)
    [changed] = listed(amtool, "silence", "query", "model=grid")
    assert (changed["id"], changed["comment"]) == (silence, "longer")
    assert changed["startsAt"] == found["startsAt"]
    assert changed["endsAt"] > found["endsAt"]

    amtool("silence", "expire", silence)
    assert listed(amtool, "silence", "query") == []
    [expired] = listed(amtool, "silence", "query", "--expired")
    assert expired["id"] == silence
    alerting.wait()
    assert alerting.sent() == ["firing"]


def test_amtool_shows_the_status_and_why_alerts_of_others_are_refused(
    amtool: Amtool,
) -> None:
    assert "receiver: root" in amtool("config", "show")
    assert amtool("cluster", "show")
    with pytest.raises(AssertionError, match="stores no alerts of others"):
        amtool("alert", "add", "Other", "model=grid")
