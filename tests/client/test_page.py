"""What docs/client.md shows runs as it is printed, and what it lists is all there is."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from seqwatch import Counts, Monitor, Options
from sqlalchemy.orm import Session, sessionmaker

from core.schema.contract import Contract
from core.schema.rows import Kind
from core.settings import Settings
from tests.client.platform import Platform

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CONTRACT = Contract.from_json(
    {
        "features": [{"name": "load"}, {"name": "temperature"}],
        "targets": ["load"],
        "step": "PT1H",
        "input_length": 24,
        "horizon": 3,
    }
)


@pytest.fixture
def platform(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[Platform]:
    platform = Platform(settings, sessions, CONTRACT)
    platform.start()
    yield platform
    platform.stop()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_page_runs_from_top_to_bottom(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        here = block.replace("http://127.0.0.1:8765", platform.url).replace(
            "sw_...", platform.key
        )
        exec(compile(here, "docs/client.md", "exec"), names)
    monitor: Monitor = names["monitor"]
    assert monitor.flush()
    monitor.close()
    assert (monitor.counts().acknowledged, monitor.counts().dropped) == (4, {})
    assert [row["status"] for row in platform.kept()] == ["ok"] * 3
    (label,) = platform.kept(Kind.LABELS)
    assert label["prediction_id"] == names["prediction_id"]
    assert names["sampled"]["state.lstm.pre_norm"] == [0.0]
    assert "seqwatch_client_logged_rows_total" in names["text"]
    assert TestClient(names["app"]).get("/forecasts").status_code == 404


def _listed(heading: str) -> dict[str, str]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line[:3] == "| `"]
    return {
        name: value
        for names, values, *_ in rows
        for name, value in zip(
            re.findall(r"`([^`]+)`", names), re.findall(r"`([^`]+)`", values) or [""] * 9,
            strict=False,
        )
    }  # fmt: skip


def test_every_option_is_listed_with_its_default() -> None:
    plain = Options()
    defaults = {each.name: str(getattr(plain, each.name)) for each in fields(Options)}
    assert _listed("Options") == defaults


def test_every_count_is_listed() -> None:
    listed = {name.partition("[")[0] for name in _listed("What became of the rows")}
    assert listed == {each.name for each in fields(Counts)}
