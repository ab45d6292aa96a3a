"""The pages of single rows: well formed, complete, and only for those who may see them."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.rows import Kind
from db.session import unit_of_work
from db.tables import Quarantine
from services.aggregation.fold import PATIENCE, fold_all
from services.read_models.lookup import paged
from services.retention.archive import archive_all
from tests.streams import START, add_model, add_version, keep, label, prediction, table
from tests.web.conftest import Browsers
from tests.web.test_pages import outline

EVIL = "<script>alert(1)</script>"
LATE = START + PATIENCE

Fill = Callable[..., UUID]


@pytest.fixture
def fill(sessions: sessionmaker[Session], tmp_path: Path) -> Fill:
    """Add a model with these predictions, the first half of them in the lake."""

    def add(*rows: dict[str, Any], labels: tuple[Any, ...] = ()) -> UUID:
        model_id = add_model(sessions)
        add_version(sessions, model_id, "v1", {})
        half = len(rows) // 2
        for kind, some in ((Kind.PREDICTIONS, rows[:half]), (Kind.LABELS, labels)):
            if some:
                keep(sessions, model_id, kind, table(kind, some))
        fold_all(sessions, LATE)
        archive_all(sessions, tmp_path / "lake", LATE)
        if rows[half:]:
            keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows[half:]))
        return model_id

    return add


def steps(n: int) -> list[dict[str, Any]]:
    return [
        prediction(
            START + i * HOUR,
            prediction_id=f"s/1:{i}",
            session_id="s/1",
            entity=EVIL,
            step_index=i,
            version="v1" if i < 2 else "v2",
            features={"load": [1.0, None, 3.0], "wind": [-2.0]},
            status="timeout" if i == 3 else "ok",
            output=None if i == 3 else {"load": [1.0, 2.0, 3.0]},
            session_start=i == 0,
            session_end=i == n - 1,
            latency_seconds=0.0125,
            trace_id=f"{i:032x}",
            worker=EVIL,
        )
        for i in range(n)
    ]


@pytest.fixture
def browser(signed_in: Browsers) -> TestClient:
    return signed_in("read")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        pytest.param(
            "predictions", ["s%2F1%3A4", "v2", "12.5 ms", "still in the inbox"], id="list"
        ),
        pytest.param("predictions/s%2F1%3A1", ["Error", "0.5", "trace_id", "lake"], id="one"),
        pytest.param(
            "predictions/s%2F1%3A3", ["timeout", "no label yet"], id="one that failed"
        ),
        pytest.param("sessions/s%2F1", ["starts", "timeout", "ends", ">v2<"], id="session"),
        pytest.param("quarantine", ["No row of this model violated"], id="quarantine"),
    ],
)
def test_pages_of_rows_are_well_formed_and_show(
    browser: TestClient, fill: Fill, path: str, shown: list[str]
) -> None:
    fill(*steps(6), labels=(label(START + 2 * HOUR, [0.5], entity=EVIL),))
    answer = browser.get(f"/models/grid/{path}")
    assert answer.status_code == 200
    page = outline(answer.text)
    assert page.inline == []
    assert len(page.ids) == len({*page.ids})
    assert {*page.fields} <= page.labelled
    assert all(address.startswith("/static/") for address in page.loaded)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script>alert" not in answer.text
    assert [text for text in shown if text.lower() not in answer.text.lower()] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_trace_of_a_prediction_is_a_link_to_its_backend(
    app: FastAPI, browser: TestClient, fill: Fill
) -> None:
    fill(*(step | {"trace_id": EVIL} for step in steps(2)))
    path = "/models/grid/predictions/s%2F1%3A1"
    assert "Open trace" not in browser.get(path).text
    template = "https://traces.example/trace/{trace_id}?tab=1"
    app.state.site = replace(app.state.site, trace_url=template)
    (link,) = re.findall(
        r'<a href="([^"]*)" rel="noreferrer">Open trace', browser.get(path).text
    )
    assert link == f"https://traces.example/trace/{quote(EVIL, safe='')}?tab=1"


@pytest.mark.parametrize(
    ("path", "status", "shown"),
    [
        pytest.param("predictions", 200, "No prediction was logged yet", id="no rows"),
        pytest.param("predictions?status=error", 200, "No prediction matches", id="no match"),
        pytest.param("predictions?since=yesterday", 422, "not a time", id="no time"),
        pytest.param("predictions?status=fine", 422, "status: one of", id="no status"),
        pytest.param("predictions?cursor=x", 422, "cursor", id="no cursor"),
        pytest.param("predictions/none", 404, "No prediction of grid", id="no such id"),
        pytest.param("sessions/none", 404, "No session of grid", id="no such session"),
        pytest.param("sessions/none?cursor=x", 422, "cursor", id="no cursor of a session"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_not_there_is_reported(
    browser: TestClient, fill: Fill, path: str, status: int, shown: str
) -> None:
    fill()
    answer = browser.get(f"/models/grid/{path}")
    assert (answer.status_code, shown in answer.text) == (status, True)
    outline(answer.text)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("by", "leads_to"),
    [
        pytest.param("prediction", "/models/grid/predictions/a%2Fb%20c%3F", id="an id"),
        pytest.param("session", "/models/grid/sessions/a%2Fb%20c%3F", id="a session"),
        pytest.param("entity", "/models/grid/predictions?entity=a%2Fb+c%3F", id="an entity"),
    ],
)
def test_the_search_box_leads_to(
    browser: TestClient, fill: Fill, by: str, leads_to: str
) -> None:
    fill()
    answer = browser.get("/models/grid/find", params={"by": by, "text": " a/b c? "})
    assert (answer.status_code, answer.headers["location"]) == (303, leads_to)


def test_a_list_is_turned_page_by_page_and_saved_as_a_file(
    browser: TestClient, fill: Fill
) -> None:
    fill(*(prediction(START + i * HOUR, prediction_id=f"p{i:03}") for i in range(60)))
    first = browser.get("/models/grid/predictions?version=v1").text
    assert "p059" in first
    assert "p009" not in first
    link = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    second = browser.get(f"/models/grid/predictions{link}").text
    assert "p009" in second
    assert "p010" not in second
    assert 'rel="next"' not in second

    saved = browser.get("/models/grid/export?format=csv&version=v1&since=2026-01-05T06:00")
    assert saved.text.count("\n") == 1 + 54
    assert saved.headers["content-disposition"] == 'attachment; filename="grid.csv"'


def test_a_search_that_ran_out_of_time_offers_to_go_on(
    browser: TestClient, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paged, "PATIENCE", timedelta(0))
    monkeypatch.setattr("lake.search.FIRST_SCAN", 1)
    days = [prediction(START + i * 24 * HOUR, prediction_id=f"p{i}") for i in range(8)]
    fill(*days)
    answer = browser.get("/models/grid/predictions/p0")
    assert answer.status_code == 404
    assert "Search further back" in answer.text
    outline(answer.text)


def test_quarantine_shows_reasons_and_rows(
    browser: TestClient, fill: Fill, sessions: sessionmaker[Session], now: datetime
) -> None:
    model_id = fill()
    with unit_of_work(sessions) as session:
        session.add_all(
            Quarantine(
                model_id=model_id,
                kind=Kind.PREDICTIONS,
                batch_id=f"b{i}",
                row=i,
                field="at" if i % 3 else "features.load",
                reason="in the future" if i % 3 else EVIL,
                content={"n": f"row{i:02}", "text": EVIL},
                received_at=now - timedelta(minutes=i),
            )
            for i in range(60)
        )
    text = browser.get("/models/grid/quarantine").text
    outline(text)
    assert "<script>alert" not in text
    assert ("row00" in text, "row59" in text) == (True, False)
    link = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "row59" in browser.get(f"/models/grid/quarantine{link}").text
    narrowed = browser.get("/models/grid/quarantine?field=at").text
    assert ("row01" in narrowed, "row03" in narrowed) == (True, False)
    assert "in this field" in browser.get("/models/grid/quarantine?field=other").text


PATHS = ["predictions", "predictions/p", "sessions/s", "quarantine", "find?text=p", "export"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", PATHS)
def test_rows_are_for_those_who_may_see_the_model(
    signed_in: Browsers,
    stranger: TestClient,
    sessions: sessionmaker[Session],
    fill: Fill,
    path: str,
) -> None:
    fill(prediction(START, prediction_id="p", session_id="s"))
    other = add_model(sessions, name="other")
    assert stranger.get(f"/models/grid/{path}").headers["location"].startswith("/login")
    assert signed_in("read", model_id=other).get(f"/models/grid/{path}").status_code == 404
    assert signed_in("read").get(f"/models/grid/{path}").status_code in (200, 303)
