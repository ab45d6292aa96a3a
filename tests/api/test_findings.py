"""One finding over HTTP, and the report on it."""

from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import AuditEvent, Finding, Model, Monitor, Run, Version
from db.tables.queue import RunStatus
from jobs.wiring import jobs
from jobs.worker import Worker
from monitors.finding import Outcome
from services.alerting.alert_transitions import REPORT_JOB
from services.read_models.reports import report_writer
from tests.api.conftest import Clients
from tests.conftest import Once
from tests.services.drifted_model import CHANGE, DriftedModel, evaluated_drifted_model
from tests.streams import CONTRACT, START

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def drifted_model(once: Once) -> DriftedModel:
    made: DriftedModel = once(evaluated_drifted_model, "archived")
    return made


@pytest.fixture
def operator(drifted_model: DriftedModel, as_key: Clients) -> TestClient:
    return as_key("operate", "read")


@pytest.fixture
def drifted(drifted_model: DriftedModel) -> UUID:
    return drifted_model.finding("input_drift", CHANGE + DAY)


def other_model(sessions: sessionmaker[Session]) -> UUID:
    with unit_of_work(sessions) as session:
        model = Model(name="other", contract=CONTRACT, created_at=START)
        session.add(model)
        session.flush()
        return model.id


def runs(sessions: sessionmaker[Session]) -> int:
    with read_only(sessions) as session:
        asked = select(func.count()).select_from(Run).where(Run.job == REPORT_JOB)
        return session.scalar(asked) or 0


def forget_runs(sessions: sessionmaker[Session]) -> None:
    with unit_of_work(sessions) as session:
        session.query(Run).delete()


def test_a_finding_is_explained_as_json(
    as_key: Clients, drifted_model: DriftedModel, drifted: UUID
) -> None:
    answer = as_key("read", model_id=drifted_model.model_id).get(f"/v1/findings/{drifted}")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["model"], found["kind"], found["outcome"]) == (
        "grid",
        "input_drift",
        "breach",
    )
    assert found["moved"][0] == "load"
    load = found["features"][0]
    assert (load["name"], load["unit"]) == ("load", "kW")
    assert len(load["hours"]) == 24
    assert {"volume", "gap", "latency", "failures"} <= {
        each["sort"] for each in found["nearby"]
    }
    assert found["report"]["state"] == "waiting"  # an alert of drift asks for one


def test_only_readers_of_the_model_see_it(
    as_key: Clients, sessions: sessionmaker[Session], drifted: UUID
) -> None:
    address, other = f"/v1/findings/{drifted}", other_model(sessions)
    assert as_key("read", model_id=other).get(address).status_code == 404
    assert as_key("ingest").get(address).status_code == 403
    reader = as_key("read")
    assert reader.get(f"/v1/findings/{uuid4()}").status_code == 404
    assert reader.post(f"{address}/report").status_code == 403
    assert as_key("operate", model_id=other).post(f"{address}/report").status_code == 404


def test_a_report_is_asked_for_once_and_found_where_it_was_promised(
    operator: TestClient, sessions: sessionmaker[Session], settings: Settings, drifted: UUID
) -> None:
    forget_runs(sessions)
    address = f"/v1/findings/{drifted}/report"
    first, again = operator.post(address), operator.post(address)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json() == {"state": "waiting", "why": "", "url": address}
    assert runs(sessions) == 1
    assert operator.get(address).status_code == 404
    assert Worker(settings, sessions, jobs(settings, sessions)).once()
    done = operator.post(address)
    assert (done.status_code, done.json()["state"]) == (200, "written")
    assert "load" in operator.get(done.json()["url"]).text
    assert runs(sessions) == 1
    with read_only(sessions) as session:
        subjects = select(AuditEvent.subject).where(AuditEvent.action == "report.ask")
        assert session.scalars(subjects).all() == [str(drifted)]


def test_a_report_that_was_given_up_can_be_asked_for_again(
    operator: TestClient, sessions: sessionmaker[Session], drifted: UUID
) -> None:
    with unit_of_work(sessions) as session:
        run = session.scalars(select(Run).where(Run.job == REPORT_JOB)).one()
        run.status, run.finished_at, run.error = RunStatus.DEAD, run.slot, "no disk"
    seen = operator.get(f"/v1/findings/{drifted}").json()["report"]
    assert seen == {"state": "failed", "why": "no disk"}
    assert operator.post(f"/v1/findings/{drifted}/report").status_code == 202
    assert runs(sessions) == 2


@pytest.mark.parametrize(
    ("detail", "why"),
    [
        pytest.param({"coverage": 1.0}, "names no feature", id="none is named"),
        pytest.param({"features": {"tariff": {"score": 1.0}}}, "is a number", id="a category"),
        pytest.param(
            {"flaws": [{"fact": "volume", "feature": None}]}, "names no feature", id="rows"
        ),
    ],
)
def test_without_a_number_to_show_there_is_no_report(
    operator: TestClient,
    sessions: sessionmaker[Session],
    drifted: UUID,
    detail: dict[str, object],
    why: str,
) -> None:
    forget_runs(sessions)
    with unit_of_work(sessions) as session:
        session.get_one(Finding, drifted).detail = detail
    answer = operator.post(f"/v1/findings/{drifted}/report")
    assert answer.status_code == 422
    assert why in answer.json()["detail"]
    assert runs(sessions) == 0


def test_without_a_reference_there_is_no_report(
    operator: TestClient, sessions: sessionmaker[Session], drifted: UUID
) -> None:
    forget_runs(sessions)
    with unit_of_work(sessions) as session:
        session.scalars(select(Version)).one().reference = ()
    answer = operator.post(f"/v1/findings/{drifted}/report")
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("version 'v1' has no reference")


DETAILS = {
    "temporal_pattern": {
        "top": "load",
        "features": {"load": {"flatline": 2.0}, "wind": {"flatline": 1.0}},
    },
    "accuracy": {"coverage": 0.9},  # names no feature: any of the input may be why
}


def test_findings_of_other_kinds_get_a_report_too(
    operator: TestClient,
    sessions: sessionmaker[Session],
    settings: Settings,
    drifted_model: DriftedModel,
) -> None:
    forget_runs(sessions)
    made = {"data_quality": drifted_model.finding("data_quality", CHANGE + DAY)}
    with unit_of_work(sessions) as session:
        for kind, detail in DETAILS.items():
            monitor = Monitor(
                model_id=drifted_model.model_id, name=kind, kind=kind, severity="ticket"
            )
            session.add(monitor)
            session.flush()
            finding = Finding(
                monitor_id=monitor.id,
                model_id=drifted_model.model_id,
                version="v1",
                window_start=CHANGE - DAY,
                window_end=CHANGE + DAY,
                as_of=CHANGE + DAY,
                outcome=Outcome.BREACH,
                detail=detail,
                recorded_at=CHANGE + DAY,
            )
            session.add(finding)
            session.flush()
            made[kind] = finding.id
    worker = Worker(settings, sessions, jobs(settings, sessions))
    for kind, names in (
        ("data_quality", ["wind"]),
        ("temporal_pattern", ["load", "wind"]),
        ("accuracy", ["load", "wind", "age"]),
    ):
        assert operator.post(f"/v1/findings/{made[kind]}/report").status_code == 202
        assert worker.once()
        page = operator.get(f"/v1/findings/{made[kind]}/report").text
        assert all(name in page for name in names)
    with read_only(sessions) as session:
        subject = report_writer.subject_of(session, made["accuracy"])
    assert subject.features[0] == "load"  # what moved farthest comes first
    assert {*subject.features} == {"load", "wind", "age"}
