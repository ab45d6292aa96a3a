"""The page of an alert with its buttons, and that of silences."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Verdict
from core.clock import utcnow
from core.durations import DAY, HOUR
from db.session import read_only, unit_of_work
from db.tables import Alert, AuditEvent, Incident, Silence
from tests.alerting.world import Alerting
from tests.streams import add_model
from tests.web.conftest import HOST, Browsers
from tests.web.test_pages import outline


class Paged(Alerting):
    """A model whose silence fires, and was notified."""

    def __init__(self, sessions: sessionmaker[Session], app: FastAPI) -> None:
        super().__init__(sessions)
        self.breach()
        self.wait()
        app.dependency_overrides[utcnow] = lambda: self.now
        with read_only(sessions) as session:
            alert = session.scalars(select(Alert)).one()
            self.alert_id, self.model_id = alert.id, alert.model_id

    @property
    def path(self) -> str:
        return f"/alerts/{self.alert_id}"


@pytest.fixture
def paged(sessions: sessionmaker[Session], app: FastAPI) -> Paged:
    return Paged(sessions, app)


def audited(sessions: sessionmaker[Session], action: str) -> list[str]:
    with read_only(sessions) as session:
        return [*session.scalars(select(AuditEvent.subject).where(AuditEvent.action == action))]


def test_the_page_shows_the_timeline_the_labels_and_who_was_notified(
    paged: Paged, signed_in: Browsers
) -> None:
    browser = signed_in("read")
    page = browser.get(paged.path).text
    read = outline(page)
    assert read.inline == []
    assert len(read.ids) == len({*read.ids})
    assert {*read.fields} <= read.labelled
    for shown in ("Onset", "Detected", "Notified", "Acknowledged", "Resolved", "on-call"):
        assert shown in page
    assert f'href="{paged.path}/runbook"' in page
    [incident] = paged.incidents()
    assert incident.fingerprint in page
    assert f"/incidents/{incident.id}/post-mortem" in page
    for path in ("/alerts", "/models/grid"):
        assert f'href="{paged.path}"' in browser.get(path).text


def test_a_key_that_may_only_read_sees_no_buttons_and_changes_nothing(
    paged: Paged, signed_in: Browsers, sessions: sessionmaker[Session]
) -> None:
    silence_id = paged.silence()
    browser = signed_in("read")
    assert "<button" not in browser.get(paged.path).text.split("<main")[1]
    assert "<button" not in browser.get("/silences").text.split("<main")[1]
    for path in ("acknowledge", "silence/1h", "verdict/real"):
        assert browser.post(f"{paged.path}/{path}").status_code == 403
    assert browser.post(f"/silences/{silence_id}/expire").status_code == 403
    [incident] = paged.incidents()
    assert (incident.acknowledged_at, incident.verdict) == (None, None)


def test_a_form_of_another_site_changes_nothing(paged: Paged, signed_in: Browsers) -> None:
    browser = signed_in("read", "operate")
    for origin in ("https://evil.example", ""):
        answer = browser.post(f"{paged.path}/acknowledge", headers={"Origin": origin})
        assert answer.status_code == 403
    assert paged.incidents()[0].acknowledged_at is None
    assert browser.post(f"{paged.path}/acknowledge", headers={"Origin": HOST}).is_redirect


def test_an_alert_is_acknowledged_with_a_note_once(
    paged: Paged, signed_in: Browsers, sessions: sessionmaker[Session]
) -> None:
    browser = signed_in("read", "operate")
    for note in ("<i>on it</i>", "me too"):
        answer = browser.post(f"{paged.path}/acknowledge", data={"note": note})
        assert (answer.status_code, answer.headers["location"]) == (303, paged.path)
    [incident] = paged.incidents()
    assert incident.acknowledgement == "<i>on it</i>"
    page = browser.get(paged.path).text
    assert "&lt;i&gt;on it&lt;/i&gt;" in page
    assert ">Acknowledge<" not in page
    assert 'state busy">acknowledged' in browser.get("/alerts").text
    assert audited(sessions, "alert.acknowledge") == [str(paged.alert_id)] * 2


@pytest.mark.parametrize(
    ("length", "duration"),
    [("1h", HOUR), ("4h", 4 * HOUR), ("1d", DAY), ("resolved", None)],
)
def test_an_alert_is_silenced_for_a_while_or_until_it_is_resolved(
    paged: Paged,
    signed_in: Browsers,
    sessions: sessionmaker[Session],
    length: str,
    duration: timedelta | None,
) -> None:
    browser = signed_in("read", "operate")
    answer = browser.post(f"{paged.path}/silence/{length}", data={"note": "known"})
    assert answer.headers["location"] == paged.path
    with read_only(sessions) as session:
        row = session.scalars(select(Silence)).one()
        assert (row.incident_id is None) is (duration is not None)
        if duration is not None:
            assert row.ends_at == paged.now + duration
        assert row.definition.comment == "known"
    for path in (paged.path, "/alerts"):
        assert 'state idle">silenced' in browser.get(path).text
    assert browser.post(f"{paged.path}/silence/2h").status_code == 404


@pytest.mark.parametrize("verdict", [*Verdict])
def test_a_verdict_is_given_with_a_note_and_replaced(
    paged: Paged, signed_in: Browsers, verdict: Verdict
) -> None:
    browser = signed_in("read", "operate")
    browser.post(f"{paged.path}/verdict/real", data={"note": "first"})
    browser.post(f"{paged.path}/verdict/{verdict}", data={"note": "second"})
    [incident] = paged.incidents()
    assert (incident.verdict, incident.verdict_note) == (verdict, "second")
    page = browser.get(paged.path).text
    assert "second" in page
    assert re.search(rf'verdict/{verdict}" aria-pressed="true"', page)


def test_what_is_resolved_can_neither_be_acknowledged_nor_silenced_until_it_is(
    paged: Paged, signed_in: Browsers
) -> None:
    paged.ok()
    paged.wait()
    browser = signed_in("read", "operate")
    page = browser.get(paged.path).text
    assert ">Acknowledge<" not in page
    assert "Until resolved" not in page
    for path in ("acknowledge", "silence/resolved"):
        answer = browser.post(f"{paged.path}/{path}")
        assert answer.status_code == 409
        assert "does not fire" in answer.text
    assert browser.post(f"{paged.path}/verdict/false_alarm").status_code == 303


def test_silences_are_listed_and_expire_with_a_button(
    paged: Paged, signed_in: Browsers, sessions: sessionmaker[Session]
) -> None:
    silence_id = paged.silence(monitor="silence")
    browser = signed_in("read", "operate")
    page = browser.get("/silences").text
    assert outline(page).inline == []
    assert "monitor=silence" in page
    for _ in range(2):
        answer = browser.post(f"/silences/{silence_id}/expire")
        assert answer.headers["location"] == "/silences"
    page = browser.get("/silences").text
    assert "Nothing is silenced" in page
    assert 'state idle">expired' in page
    assert "/expire" not in page
    assert audited(sessions, "silence.expire")[0] == str(silence_id)
    assert browser.post(f"/silences/{uuid4()}/expire").status_code == 404


def test_a_key_of_another_model_sees_neither_the_alert_nor_the_silences(
    paged: Paged, signed_in: Browsers, sessions: sessionmaker[Session]
) -> None:
    other = add_model(sessions, name="other")
    browser = signed_in("read", "operate", model_id=other)
    assert browser.get(paged.path).status_code == 404
    assert browser.post(f"{paged.path}/acknowledge").status_code == 404
    assert browser.get("/silences").status_code == 403
    own = signed_in("read", "operate", model_id=paged.model_id)
    assert own.post(f"{paged.path}/acknowledge").status_code == 303
    assert "/silences" not in own.get(paged.path).text


def test_an_alert_that_never_fired_has_a_page(
    sessions: sessionmaker[Session], app: FastAPI, signed_in: Browsers
) -> None:
    world = Alerting(sessions)
    world.ok()
    app.dependency_overrides[utcnow] = lambda: world.now
    with unit_of_work(sessions) as session:
        alert_id = session.scalars(select(Alert.id)).one()
        assert session.scalars(select(Incident)).all() == []
    page = signed_in("read", "operate").get(f"/alerts/{alert_id}").text
    outline(page)
    assert "It has never fired" in page
    assert "Respond" not in page
