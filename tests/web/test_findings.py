"""The page of one finding, and the button for a report on it."""

import re
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.durations import DAY
from db.session import read_only, unit_of_work
from db.tables import AuditEvent, Finding, Model, Run
from db.tables.queue import RunStatus
from services.alerting.alert_transitions import REPORT_JOB
from services.evaluation.by_clock.live import LiveMonitors
from services.read_models.reports import report_status
from tests.conftest import Once
from tests.monitors.streams import ar1
from tests.services.drifted_model import CHANGE, NOW, DriftedModel, evaluated_drifted_model
from tests.services.test_temporal_pattern import N_HELD, N_REFERENCE, N_SERVED, serve
from tests.web.conftest import Browsers
from tests.web.test_pages import outline

BUTTON = "Write an Evidently report"


@pytest.fixture
def drifted_model(once: Once, app: FastAPI) -> DriftedModel:
    app.dependency_overrides[utcnow] = lambda: NOW
    made: DriftedModel = once(evaluated_drifted_model)
    return made


@pytest.fixture
def drifted(drifted_model: DriftedModel) -> UUID:
    return drifted_model.finding("input_drift", CHANGE + DAY)


def test_the_page_is_well_formed_and_every_chart_has_a_table(
    signed_in: Browsers, drifted_model: DriftedModel, drifted: UUID
) -> None:
    quality, browser = (
        drifted_model.finding("data_quality", CHANGE + DAY),
        signed_in("read", "operate"),
    )
    for finding_id in (drifted, quality):
        answer = browser.get(f"/findings/{finding_id}")
        assert answer.status_code == 200
        page = outline(answer.text)
        assert all(address.startswith("/static/") for address in page.loaded)
        assert page.inline == []
        assert len(page.ids) == len({*page.ids})
        assert answer.text.count("<h1>") == 1
        n_charts, n_labels = answer.text.count("data-chart="), answer.text.count('role="img"')
        assert n_charts == n_labels > 0
        # Distribution, hours, days and counts of a feature: three tables.
        assert answer.text.count("<caption") >= 3 * n_charts // 4


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("load drifted: ", id="its cause"),
        pytest.param(" kW", id="the unit"),
        pytest.param("72 rows; median of this weekday: 24", id="what else changed"),
        pytest.param("bucket: middles of buckets", id="what is sensitive"),
        pytest.param("of the change of the mean".capitalize(), id="hours and days"),
        pytest.param("2026-01-05 to 2026-02-04", id="the reference"),
        pytest.param('href="/models/grid"', id="a way back"),
    ],
)
def test_the_page_shows(signed_in: Browsers, drifted: UUID, shown: str) -> None:
    assert shown in signed_in("read").get(f"/findings/{drifted}").text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_more_than_one_that_moved_are_listed(
    signed_in: Browsers, sessions: sessionmaker[Session], drifted: UUID
) -> None:
    browser, listed = signed_in("read"), "<dt>Moved</dt><dd>load, wind<small>"
    with unit_of_work(sessions) as session:
        finding = session.get_one(Finding, drifted)
        assert finding.detail["moved"][0] == "load"
        finding.detail = {**finding.detail, "moved": ["load", "wind"]}
    assert listed in browser.get(f"/findings/{drifted}").text
    with unit_of_work(sessions) as session:  # as it was written before there was a list
        finding = session.get_one(Finding, drifted)
        finding.detail = {key: it for key, it in finding.detail.items() if key != "moved"}
    assert "<dt>Moved</dt>" not in browser.get(f"/findings/{drifted}").text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_findings_without_summaries_have_pages(
    signed_in: Browsers, sessions: sessionmaker[Session], fleet: dict[str, UUID]
) -> None:
    browser = signed_in("read")
    with read_only(sessions) as session:
        every = session.scalars(select(Finding.id)).all()
    for finding_id in every[:: len(every) // 12]:
        answer = browser.get(f"/findings/{finding_id}")
        assert answer.status_code == 200
        outline(answer.text)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_budget_that_burns_shows_its_sli_and_its_events(
    signed_in: Browsers, app: FastAPI, sessions: sessionmaker[Session]
) -> None:
    app.dependency_overrides[utcnow] = lambda: NOW
    late = {"sli": "latency", "sli_params": {"slower_than": "PT0.1S"}}
    DriftedModel(sessions, kinds={"burn_rate": late})
    LiveMonitors(sessions).run(NOW)
    with read_only(sessions) as session:
        finding_id = session.scalars(select(Finding.id)).one()
    browser = signed_in("read")
    page = browser.get(f"/findings/{finding_id}").text
    outline(page)
    about = "SLI latency: Did predictions succeed in time?"
    assert about in page
    assert about in browser.get("/models/grid").text
    events = page[page.index("<h2>Events by version") :]
    row = re.search(r'<th scope="row">v1</th>(.*?)</tr>', events, re.DOTALL)
    assert row is not None
    assert re.findall(r"<td.*?>(.*?)</td>", row[1]) == ["0", "25", "0", "burning"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_other_pages_link_to_it(
    signed_in: Browsers, drifted_model: DriftedModel, drifted: UUID
) -> None:
    browser = signed_in("read")
    for path in ("/models/grid", "/alerts"):
        assert f'href="/findings/{drifted}"' in browser.get(path).text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_fires_links_to_its_last_finding(
    signed_in: Browsers, sessions: sessionmaker[Session], fleet: dict[str, UUID]
) -> None:
    with read_only(sessions) as session:
        query = select(Finding.id).where(Finding.cause.startswith("HULL scaled"))
        last = session.scalars(query.order_by(Finding.as_of.desc())).first()
    firing = signed_in("read").get("/alerts").text.partition("<h2>History")[0]
    assert f'<a href="/findings/{last}">HULL scaled' in firing


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_may_not_see_the_model_does_not_see_it(
    signed_in: Browsers, sessions: sessionmaker[Session], drifted: UUID
) -> None:
    with unit_of_work(sessions) as session:
        grid = session.scalars(select(Model)).one()
        other = Model(name="other", contract=grid.contract, created_at=NOW)
        session.add(other)
    browser = signed_in("read", "operate", model_id=other.id)
    for path in (f"/findings/{drifted}", f"/findings/{uuid4()}", "/findings/none"):
        answer = browser.get(path)
        assert answer.status_code == 404
        outline(answer.text)
    assert browser.post(f"/findings/{drifted}/report").status_code == 404


STATES = [
    pytest.param(None, None, "No report was requested", True, id="none"),
    pytest.param(RunStatus.TODO, None, "A worker will write it", False, id="waiting"),
    pytest.param(RunStatus.RUNNING, None, "A worker is writing it", False, id="writing"),
    pytest.param(RunStatus.TODO, "no disk", "is tried again: no disk", False, id="retrying"),
    pytest.param(RunStatus.DEAD, "no disk", "was given up: no disk", True, id="failed"),
    pytest.param(RunStatus.DONE, None, "No report was requested", True, id="removed since"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("status", "error", "shown", "has_button"), STATES)
def test_the_page_shows_the_state_of_the_report(
    signed_in: Browsers,
    sessions: sessionmaker[Session],
    drifted: UUID,
    status: RunStatus | None,
    error: str | None,
    shown: str,
    has_button: bool,
) -> None:
    with unit_of_work(sessions) as session:
        run = session.scalars(select(Run).where(Run.job == REPORT_JOB)).one()
        if status is None:
            session.delete(run)
        else:
            run.status, run.error = status, error
    text = signed_in("read", "operate").get(f"/findings/{drifted}").text
    assert shown in text
    assert (f'action="/findings/{drifted}/report"' in text) is has_button
    is_on_its_way = status in (RunStatus.TODO, RunStatus.RUNNING)
    assert ("data-live" in text) is is_on_its_way
    assert (
        '<form method="post" action="/findings'
        not in signed_in("read").get(f"/findings/{drifted}").text
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_button_asks_once_and_leads_to_the_report(
    signed_in: Browsers,
    sessions: sessionmaker[Session],
    tmp_path: Path,
    drifted_model: DriftedModel,
    drifted: UUID,
) -> None:
    with unit_of_work(sessions) as session:
        session.query(Run).delete()
    browser, address = signed_in("read", "operate"), f"/findings/{drifted}/report"
    assert BUTTON in browser.get(f"/findings/{drifted}").text
    for _ in range(2):
        answer = browser.post(address)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/findings/{drifted}#report"
    with read_only(sessions) as session:
        assert session.scalars(select(Run.subject)).all() == [str(drifted)]
        actions = session.scalars(select(AuditEvent.action)).all()
        assert [*actions].count("report.ask") == 1
    path = report_status.path_of(tmp_path / "reports", drifted_model.model_id, drifted)
    path.parent.mkdir(parents=True)
    path.write_text("the report")
    assert browser.post(address).headers["location"] == address
    assert "Open the report" in browser.get(f"/findings/{drifted}").text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_only_who_may_operate_and_comes_from_here_gets_one(
    signed_in: Browsers, drifted: UUID
) -> None:
    assert signed_in("read").post(f"/findings/{drifted}/report").status_code == 403
    elsewhere = {"Origin": "https://elsewhere.example"}
    answer = signed_in("read", "operate").post(f"/findings/{drifted}/report", headers=elsewhere)
    assert answer.status_code == 403


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_others_wrote_is_escaped(
    signed_in: Browsers, sessions: sessionmaker[Session], drifted: UUID
) -> None:
    evil = "<script>alert(1)</script>"
    with unit_of_work(sessions) as session:
        row = session.get_one(Finding, drifted)
        row.cause = evil
        row.detail = {"features": {evil: {"score": 1.0}}}
    text = signed_in("read").get(f"/findings/{drifted}").text
    assert evil not in text
    assert text.count("&lt;script&gt;alert(1)") >= 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_finding_on_order_shows_every_view(
    signed_in: Browsers, sessions: sessionmaker[Session]
) -> None:
    n_hours = (N_REFERENCE + N_SERVED) * 24
    load, wind = 10.0 + ar1(0.9, (n_hours, 2), 5).T
    last = slice(n_hours - N_HELD * 24, n_hours)
    load[last] = np.repeat(load[last][::2], 2)
    found = serve(sessions, load, wind)[-1]
    text = signed_in("read").get(f"/findings/{found.id}").text
    outline(text)
    assert "Score in each view" in text
    assert "Shows most in the view" in text
    over = re.findall(r'<td class="number over">([^<]+)</td>', text)
    assert over
    assert found.threshold is not None
    assert all(float(score) > 0.99 * found.threshold for score in over)
