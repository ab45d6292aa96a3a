"""Faults of the platform on the pages, in the API, in /ready and in /metrics."""

from datetime import datetime
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.platform import PlatformFault
from api.main import create_app
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import Model, Scope
from services.access.api_keys import create_key
from services.platform_faults import platform_alerts
from tests.web.conftest import Browsers

MODEL, OTHER = "tariff-classifier", "turbine-vibration"
CAUSE = "ValueError: <no finite value>"


@pytest.fixture
def broken(sessions: sessionmaker[Session], fleet: dict[str, UUID], now: datetime) -> UUID:
    with unit_of_work(sessions) as session:
        model_id = session.scalar(select(Model.id).where(Model.name == MODEL))
        assert model_id is not None
        platform_alerts.fire(
            session,
            PlatformFault.STREAM_SET_ASIDE,
            f"{MODEL}/predictions",
            CAUSE,
            now,
            model_id,
        )
    return model_id


@pytest.mark.parametrize("path", ["/", "/alerts", f"/models/{MODEL}"])
def test_pages_show_an_open_fault_with_its_cause(
    signed_in: Browsers, broken: UUID, path: str
) -> None:
    html = signed_in("read").get(path).text
    assert "stream set aside" in html
    assert "ValueError: &lt;no finite value&gt;" in html


def test_other_models_do_not_show_it(
    signed_in: Browsers, sessions: sessionmaker[Session], broken: UUID
) -> None:
    assert "stream set aside" not in signed_in("read").get(f"/models/{OTHER}").text
    with read_only(sessions) as session:
        other = session.scalar(select(Model.id).where(Model.name == OTHER))
    assert "stream set aside" not in signed_in("read", model_id=other).get("/").text


def test_the_api_readiness_and_metrics_report_it(
    settings: Settings, sessions: sessionmaker[Session], broken: UUID, now: datetime
) -> None:
    with unit_of_work(sessions) as session:
        token = create_key(session, "k", [Scope.READ], None, now)
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(settings, sessions), headers=headers) as client:
        [alert] = client.get("/v1/platform-alerts").json()["items"]
        assert (alert["kind"], alert["model"], alert["cause"]) == (
            "stream_set_aside",
            MODEL,
            CAUSE,
        )
        ready = client.get("/ready")
        assert (ready.status_code, ready.text) == (
            200,
            "ready\ndegraded: 1 stream_set_aside\n",
        )
        expected = '\nseqwatch_platform_alerts{kind="stream_set_aside"} 1.0\n'
        assert expected in client.get("/metrics").text
