"""Pages of SLOs: of a service whose requests begin to fail, and as text of anyone."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.durations import HOUR, MINUTE
from db.session import unit_of_work
from db.tables import Monitor
from services.models import slo_corrections
from tests.services.test_slo_clock import Service
from tests.streams import START, add_model
from tests.web.conftest import Browsers
from tests.web.test_pages import outline

SECOND = timedelta(seconds=1)
BEGAN = START + HOUR
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Failing = Callable[[timedelta], Service]


@pytest.fixture
def failing(
    app: FastAPI, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> Failing:
    """Ten requests a second for an hour, then all fail for some time; 99 %."""

    def make(outage: timedelta) -> Service:
        own = Service(sessions, monkeypatch, objective=0.99)
        own.send(START, 36_000, SECOND / 10)
        own.check(timedelta(0))
        own.send(BEGAN, 10 * (outage // SECOND), SECOND / 10, status="error", version="v2")
        app.dependency_overrides[utcnow] = lambda: own.now
        return own

    return make


def fact(page: str, name: str) -> str:
    found = re.search(rf"<dt>{name}</dt><dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    assert found is not None, name
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found[1])).strip()


@SQLITE
def test_the_page_of_a_model_shows_the_failing_share_in_the_first_seconds_of_an_outage(
    failing: Failing, signed_in: Browsers
) -> None:
    failing(5 * SECOND)
    page = signed_in("read").get("/models/grid").text
    outline(page)
    assert 'data-live="5"' in page
    share, _, n = fact(page, "Failed in the last minute").partition(" % of ")
    assert float(share) == pytest.approx(100 * 50 / int(n), abs=0.1)
    assert 500 <= int(n) <= 600
    assert "/models/grid/slos/slo" in page


@SQLITE
def test_the_page_of_an_slo_forecasts_when_it_will_page_from_the_first_minute(
    failing: Failing, signed_in: Browsers
) -> None:
    """At 99 % a total outage exceeds the limit after 8 min 38 s."""
    failing(MINUTE)
    page = signed_in("read").get("/models/grid/slos/slo").text
    read = outline(page)
    assert read.inline == []
    assert len(read.ids) == len({*read.ids})
    soon = re.search(r"above its limit in (\d+) min (\d+) s", page)
    assert soon is not None
    assert 448 <= 60 * int(soon[1]) + int(soon[2]) <= 468
    assert fact(page, "Bad in the period") == "600 of 36,600 predictions"
    left = float(fact(page, "Budget left").removesuffix(" %"))
    series = json.loads(re.findall(r'id="budget">(.*?)</script>', page)[0])["series"]
    assert left == pytest.approx(series[0]["values"][-1], abs=0.06)
    assert 0 < left < 100
    for shown in ("page quick", "<code>v2</code>", "Corrections"):
        assert shown in page


@SQLITE
def test_an_slo_that_burns_names_the_tiers_that_fire_and_the_version(
    failing: Failing, signed_in: Browsers
) -> None:
    failing(12 * MINUTE)
    browser = signed_in("read")
    page = browser.get("/models/grid/slos/slo").text
    assert "fires now" in page
    assert re.search(r'<code>v2</code>.*?state bad">burning', page)
    assert not re.search(r"<code>v1</code></th>.*?burning", page.split("<code>v2")[0])
    listed = browser.get("/models/grid/slos").text
    outline(listed)
    assert "fires: page quick" in listed
    assert "breach" in listed


@SQLITE
def test_a_correction_gives_the_budget_back_and_is_shown_with_its_reason(
    failing: Failing, signed_in: Browsers, sessions: sessionmaker[Session]
) -> None:
    own = failing(12 * MINUTE)
    with unit_of_work(sessions) as session:
        monitor = session.get_one(Monitor, own.monitor_id)
        bounds = BEGAN, BEGAN + 20 * MINUTE
        slo_corrections.add(session, monitor, bounds, ("<b>load test</b>", "ann"), own.now)
    page = signed_in("read").get("/models/grid/slos/slo").text
    assert "&lt;b&gt;load test&lt;/b&gt;" in page
    assert "<b>load" not in page
    assert fact(page, "Budget left") == "100 %"
    assert "corrected" in page
    assert "fires now" not in page


@SQLITE
def test_the_slos_of_another_model_are_not_shown(
    failing: Failing, signed_in: Browsers, sessions: sessionmaker[Session]
) -> None:
    own = failing(5 * SECOND)
    add_model(sessions, name="other")
    browser = signed_in("read", model_id=own.model_id)
    assert browser.get("/models/grid/slos").status_code == 200
    assert browser.get("/models/other/slos").status_code == 404
    assert browser.get("/models/grid/slos/nope").status_code == 404


@SQLITE
def test_a_model_without_events_has_a_page_of_its_slo(
    app: FastAPI,
    sessions: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
    signed_in: Browsers,
) -> None:
    own = Service(sessions, monkeypatch)
    app.dependency_overrides[utcnow] = lambda: own.now
    browser = signed_in("read")
    for path in ("/models/grid", "/models/grid/slos", "/models/grid/slos/slo"):
        answer = browser.get(path)
        assert answer.status_code == 200
        outline(answer.text)
    assert "Not measured" in browser.get("/models/grid/slos/slo").text
