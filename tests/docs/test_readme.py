"""The commands of the README and the pages do what they describe."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from seqwatch import Monitor
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.schema.events import EVENT_FIELDS, EVENT_TYPES
from core.settings import Settings
from notify.signing import new_secret, sign
from services.aggregation.fold import fold_all
from services.retention.archive import archive_all
from tests.architecture.source import ROOT
from tests.docs.conftest import Address

WHERE, KEY = "http://127.0.0.1:8765", "sw_..."


def python_of(page: str) -> list[str]:
    """Return the blocks of Python on a page, in order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def run(blocks: list[str], platform: Address) -> dict[str, Any]:
    """Type them in, one after the other; return the names that they leave."""
    names: dict[str, Any] = {}
    for block in blocks:
        here = block.replace(WHERE, platform.url).replace(KEY, platform.key)
        exec(compile(here, "a page", "exec"), names)
    return names


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_ten_lines_put_a_model_under_watch(
    platform: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = python_of("README.md")
    names = run([block], platform)
    monitor: Monitor = names["monitor"]
    assert monitor.flush()
    monitor.close()
    counts = monitor.counts()
    assert (counts.acknowledged, counts.rejected, counts.dropped) == (2, 0, {})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_page_about_events_runs(
    platform: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [*python_of("README.md"), *python_of("docs/model-events.md")]
    names = run(blocks, platform)
    names["sampler"].stop()
    assert names["monitor"].flush()
    names["monitor"].close()
    counts = names["monitor"].counts()
    assert (counts.acknowledged, counts.rejected, counts.dropped) == (2, 0, {})


def test_the_page_about_events_names_every_type_and_field() -> None:
    page = (ROOT / "docs" / "model-events.md").read_text("utf-8")
    names = [*EVENT_TYPES, *EVENT_FIELDS]
    assert [
        name for name in names if f"| `{name}`" not in page and f", `{name}`" not in page
    ] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_page_about_watching_a_model_runs_from_top_to_bottom(
    platform: Address,
    settings: Settings,
    sessions: sessionmaker[Session],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run(python_of("docs/watch-a-model.md"), platform)
    monitor: Monitor = names["monitor"]
    monitor.close()
    assert monitor.counts().rejected == 0
    assert capsys.readouterr().out.startswith("v1 ")
    fold_all(sessions, utcnow())
    assert archive_all(sessions, settings.lake, utcnow()) == 243 + 2
    seen = names["api"].get("/load").json()
    assert datetime.fromisoformat(seen["watermark"]) == datetime(2025, 9, 2, 12, tzinfo=UTC)
    names["api"].close()


def test_the_check_of_a_signature_is_right() -> None:
    (block,) = python_of("docs/alerts.md")
    names: dict[str, Any] = {}
    exec(compile(block, "docs/alerts.md", "exec"), names)
    secret, body, now = new_secret(), b'{"type":"alert.firing"}', int(utcnow().timestamp())

    def headers(at: int, signed: bytes = body) -> dict[str, str]:
        signature = sign(secret, "m-1", at, signed)
        return {
            "webhook-id": "m-1",
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,b2xk {signature}",  # a receiver must look at each
        }

    assert names["is_ours"](secret, headers(now), body)
    assert not names["is_ours"](secret, headers(now), body + b" ")
    assert not names["is_ours"](secret, headers(now - 301), body)
    assert not names["is_ours"](new_secret(), headers(now), body)
