from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import WebSession
from services.access import browser_sessions
from services.access.api_keys import Authenticator, revoke_key
from tests.web.conftest import HOST, Browsers
from web import pages
from web.rendering import COOKIE


@pytest.mark.parametrize("path", ["/", "/alerts", "/rollouts", "/models/a", "/session"])
def test_a_stranger_is_redirected_to_the_login(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={path}"


def test_a_key_opens_a_session_that_scripts_and_other_sites_cannot_use(
    stranger: TestClient, keyed: Callable[..., str]
) -> None:
    answer = stranger.post("/login", data={"key": f" {keyed('read')}\n", "next": "/alerts"})
    assert answer.headers["location"] == "/alerts"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= {*cookie.split("; ")}
    assert "Secure" not in cookie
    assert stranger.get("/session").status_code == 200


def test_over_tls_the_cookie_is_kept_to_it(
    sessions: sessionmaker[Session], keyed: Callable[..., str], tmp_path: Path
) -> None:
    secure, app = "https://seqwatch.example", FastAPI()
    settings = Settings(public_url=secure, reports=tmp_path, lake=tmp_path)
    pages.mount(
        app, sessions=sessions, authenticator=Authenticator(sessions), settings=settings
    )
    browser = TestClient(app, base_url=secure, headers={"Origin": secure})
    answer = browser.post("/login", data={"key": keyed("read")}, follow_redirects=False)
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        pytest.param(("ingest",), 403, id="a key that may not read"),
        pytest.param(("operate",), 403, id="a key that may only operate"),
        pytest.param((), 401, id="no key of ours"),
    ],
)
def test_other_keys_open_nothing(
    stranger: TestClient, keyed: Callable[..., str], scopes: tuple[str, ...], status: int
) -> None:
    answer = stranger.post("/login", data={"key": keyed(*scopes) if scopes else "sw_wrong"})
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers


def test_signing_out_ends_the_session_on_the_server(signed_in: Browsers) -> None:
    browser = signed_in("read")
    cookie = browser.cookies[COOKIE]
    assert browser.post("/logout").headers["location"] == "/login"
    browser.cookies.set(COOKIE, cookie)
    assert browser.get("/").status_code == 303


def test_a_session_ends_by_itself_and_is_swept(
    app: FastAPI, signed_in: Browsers, sessions: sessionmaker[Session], now: datetime
) -> None:
    browser = signed_in("read")
    app.dependency_overrides[utcnow] = lambda: now + browser_sessions.LASTS
    assert browser.get("/").status_code == 303
    signed_in("admin")
    with read_only(sessions) as session:
        assert session.scalar(select(func.count()).select_from(WebSession)) == 1


def test_a_revoked_key_ends_its_sessions(
    signed_in: Browsers, sessions: sessionmaker[Session], now: datetime
) -> None:
    browser = signed_in("read")
    with unit_of_work(sessions) as session:
        revoke_key(session, "read ", now)
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        pytest.param("/models/a", "/models/a", id="a page of ours"),
        pytest.param("//evil.example/", "/", id="another host"),
        pytest.param("https://evil.example/", "/", id="another address"),
        pytest.param("/\\evil.example", "/", id="what browsers read as another host"),
        pytest.param("/\t/evil.example", "/", id="what browsers strip to another host"),
    ],
)
def test_signing_in_leads_to_our_pages_only(
    stranger: TestClient, keyed: Callable[..., str], wanted: str, got: str
) -> None:
    answer = stranger.post("/login", data={"key": keyed("read"), "next": wanted})
    assert answer.headers["location"] == got


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("https://evil.example", id="another site"),
        pytest.param("null", id="a sandbox"),
        pytest.param("", id="nobody"),
    ],
)
def test_a_form_of_another_site_does_nothing(
    signed_in: Browsers, keyed: Callable[..., str], origin: str
) -> None:
    browser = signed_in("read", "operate")
    for path in ("/logout", "/login", "/models/a/retrain"):
        answer = browser.post(path, data={"key": "x"}, headers={"Origin": origin})
        assert answer.status_code == 403
    assert browser.get("/session", headers={"Origin": HOST}).status_code == 200
