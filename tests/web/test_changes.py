"""Deploys, configuration and upstream changes on the page of a model."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.rows import Kind
from services.aggregation.fold import fold_all
from services.retention.archive import archive_all
from tests.streams import START, add_model, event, keep, prediction, table
from tests.web.conftest import Browsers


@pytest.mark.parametrize("is_archived", [False, True])
def test_changes_are_marks_of_the_charts_and_a_list(
    sessions: sessionmaker[Session], signed_in: Browsers, tmp_path: Path, is_archived: bool
) -> None:
    model_id = add_model(sessions)
    rows = [prediction(START + i * HOUR, i, latency_seconds=0.1) for i in range(24)]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows))
    at = START + timedelta(hours=5, minutes=7)
    events = [
        event(at, 0, type="deploy", version="v2"),
        event(at + HOUR, 1, type="upstream_change", description="a <new> sensor"),
        event(at, 2, type="cold_start", duration_seconds=1.0),
    ]
    keep(sessions, model_id, Kind.EVENTS, table(Kind.EVENTS, events))
    fold_all(sessions, START + timedelta(days=2))
    if is_archived:
        archive_all(sessions, tmp_path / "lake", START + timedelta(days=2))
    page = signed_in("read").get("/models/grid").text
    assert "a &lt;new&gt; sensor" in page
    assert "cold start" not in page
    charts = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    marks = [mark for chart in charts for mark in json.loads(chart)["marks"]]
    assert (at.timestamp(), "deploy v2") in [(mark["x"], mark["label"]) for mark in marks]
