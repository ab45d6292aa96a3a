"""Runbooks of alerts: each renders with a model's values, as a page and as Markdown."""

from pathlib import Path
from uuid import UUID

import pytest
from fastapi import FastAPI
from markdown_it import MarkdownIt
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from db.session import read_only, unit_of_work
from db.tables import Alert, Model, Monitor
from monitors import registry
from monitors.slo import sli
from services.read_models.runbooks import runbook
from tests.conftest import Once
from tests.services.drifted_model import NOW, DriftedModel, evaluated_drifted_model
from tests.web.conftest import Browsers
from tests.web.test_pages import outline


@pytest.fixture
def drifted_model(once: Once, app: FastAPI) -> DriftedModel:
    app.dependency_overrides[utcnow] = lambda: NOW
    made: DriftedModel = once(evaluated_drifted_model)
    return made


def alert_of(sessions: sessionmaker[Session], monitor: str) -> UUID:
    with read_only(sessions) as session:
        of_monitor = select(Alert.id).join(Monitor, Monitor.id == Alert.monitor_id)
        return session.scalars(of_monitor.where(Monitor.name == monitor)).one()


def test_every_built_in_kind_and_sli_names_a_runbook_that_exists() -> None:
    kinds = [one for one in registry.KINDS if one.name != "burn_rate"]
    named = {one.name: one.runbook(one.params(), one.detail()) for one in kinds}
    named |= {one.name: one.runbook for one in sli.SLIS}
    ours = {name: book for name, book in named.items() if book or "seqwatch_test" not in name}
    assert {
        name: book for name, book in ours.items() if book and book not in runbook.NAMES
    } == {}
    assert len(runbook.NAMES) >= 10


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", runbook.NAMES)
def test_each_runbook_shows_the_values_of_the_model(
    sessions: sessionmaker[Session], tmp_path: Path, drifted_model: DriftedModel, name: str
) -> None:
    assert drifted_model is not None
    alert_id = alert_of(sessions, "input_drift")
    with read_only(sessions) as session:
        alert = session.get_one(Alert, alert_id)
        text = runbook.rendered(session, tmp_path, alert, name, None, NOW)
    assert text.startswith("# ")
    for shown in ("[grid](/models/grid)", "## Now", "## Check", "## Repair", "## Afterwards"):
        assert shown in text
    assert "{{" not in text
    # A table that follows a paragraph or a table without a blank line is a part of it.
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert html.count("<table>") == text.count("\n|---")
    assert "<td>---</td>" not in html
    assert "load drifted" in text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_page_of_a_runbook_is_well_formed_and_the_api_returns_its_markdown(
    sessions: sessionmaker[Session], signed_in: Browsers, drifted_model: DriftedModel
) -> None:
    browser, alert_id = signed_in("read"), alert_of(sessions, "input_drift")
    answer = browser.get(f"/alerts/{alert_id}/runbook")
    assert answer.status_code == 200
    assert outline(answer.text).inline == []
    assert answer.text.count("<h1>") == 1
    assert "<table>" in answer.text
    assert drifted_model is not None
    assert "/findings/" in answer.text
    assert browser.get("/alerts").text.count(f"/alerts/{alert_id}/runbook") >= 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_values_of_a_model_are_text_in_its_runbook(
    sessions: sessionmaker[Session], signed_in: Browsers, drifted_model: DriftedModel
) -> None:
    with unit_of_work(sessions) as session:
        alert = session.get_one(Alert, alert_of(sessions, "input_drift"))
        alert.cause = "**bold** <script>alert(1)</script> [x](javascript:alert(1)) | cell"
        alert_id = alert.id
        assert session.scalars(select(Model.name)).all() == ["grid"]
    page = signed_in("read").get(f"/alerts/{alert_id}/runbook").text
    assert "<strong>bold" not in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert (
        "**bold** &lt;script&gt;alert(1)&lt;/script&gt; [x](javascript:alert(1)) | cell" in page
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_alert_of_another_model_has_no_runbook(
    sessions: sessionmaker[Session], signed_in: Browsers, drifted_model: DriftedModel
) -> None:
    assert drifted_model is not None
    unknown = "/alerts/00000000-0000-0000-0000-000000000000/runbook"
    assert signed_in("read").get(unknown).status_code == 404
