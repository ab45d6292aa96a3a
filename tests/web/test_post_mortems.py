"""Draft of a post-mortem: all that is stored about one incident."""

import re
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from db.session import read_only, unit_of_work
from db.tables import Incident, Model
from services.access import api_keys
from tests.conftest import Once
from tests.services.drifted_model import NOW, DriftedModel, evaluated_drifted_model
from tests.web.conftest import Browsers
from tests.web.test_pages import outline

PARTS = (
    "Version",
    "Contract",
    "Distribution shifts",
    "Burn timeline",
    "Notifications",
    "Actions",
)


@pytest.fixture
def drifted_model(once: Once, app: FastAPI) -> DriftedModel:
    app.dependency_overrides[utcnow] = lambda: NOW
    made: DriftedModel = once(evaluated_drifted_model)
    return made


def incident(sessions: sessionmaker[Session]) -> UUID:
    with read_only(sessions) as session:
        return session.scalars(select(Incident.id).order_by(Incident.onset)).all()[0]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_draft_has_all_six_parts_with_what_is_stored(
    sessions: sessionmaker[Session], signed_in: Browsers, drifted_model: DriftedModel
) -> None:
    incident_id = incident(sessions)
    with unit_of_work(sessions) as session:
        found = session.get_one(Incident, incident_id)
        model = session.get_one(Model, drifted_model.model_id).name
        api_keys.audit(
            session, "ada", "monitor.update", f"{model}/input_drift", {}, found.detected_at
        )
    page = signed_in("read").get(f"/incidents/{incident_id}/post-mortem")
    assert page.status_code == 200
    assert outline(page.text).inline == []
    headings = re.findall(r"<h2>(.+?)</h2>", page.text)
    assert headings == [*PARTS]
    for shown in ("load", "monitor.update", "ada", "drifted"):
        assert shown in page.text
    assert "{{" not in page.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_incident_that_is_unknown_has_no_draft(
    signed_in: Browsers, drifted_model: DriftedModel
) -> None:
    assert drifted_model is not None
    unknown = "/incidents/00000000-0000-0000-0000-000000000000/post-mortem"
    assert signed_in("read").get(unknown).status_code == 404
