"""Erasure as an administrator asks for it, and as workers do it."""

import io
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from cli.main import main
from core.clock import utcnow
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import AuditEvent, Erasure, Run, Scope
from jobs.ticker import Ticker, erasures
from jobs.wiring import jobs
from jobs.worker import Worker
from services.access.api_keys import create_key
from tests.erasure.rows import GONE, finish, names, predictions, send
from tests.erasure.traces import traces
from tests.streams import add_model

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PATH = "/v1/models/grid/erasures"


def client(
    settings: Settings,
    sessions: sessionmaker[Session],
    *scopes: Scope,
    only: UUID | None = None,
) -> TestClient:
    with unit_of_work(sessions) as session:
        token = create_key(session, "-".join(scopes), scopes, only, utcnow())
    headers = {"Authorization": f"Bearer {token}"}
    return TestClient(create_app(settings, sessions), headers=headers)


def test_what_is_asked_for_is_done_by_a_worker_and_listed(
    settings: Settings, sessions: sessionmaker[Session], lake: Path, tmp_path: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 10)
    finish(sessions, lake)
    admin = client(settings, sessions, Scope.ADMIN, only=model_id)

    asked = admin.post(PATH, json={"session_id": GONE})
    assert asked.status_code == 202
    assert (asked.json()["state"], asked.json()["asked_by"]) == ("waiting", "admin")
    assert admin.post(PATH, json={"session_id": GONE}).json()["id"] == asked.json()["id"]
    worker = Worker(settings, sessions, jobs(settings, sessions))
    while worker.once():
        pass

    [done] = admin.get(PATH).json()["items"]
    assert done["state"] == "finished"
    assert done["erased"] == {"log": 30, "quarantine": 0, "waiting": 0}
    assert done["error"] is None
    assert not any(names(row) for row in predictions(lake, model_id))
    assert GONE not in admin.get(PATH).text
    assert traces(tmp_path, GONE) == []
    with read_only(sessions) as session:
        recorded = session.scalars(select(AuditEvent.action)).all()
    assert "erasure.ask" in recorded


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({}, 422, id="nobody"),
        pytest.param({"session_id": "a", "entity": "b"}, 422, id="two at once"),
        pytest.param({"session_id": ""}, 422, id="no name"),
        pytest.param({"trace_id": "a"}, 422, id="another field"),
    ],
)
def test_who_is_not_named_is_not_erased(
    settings: Settings, sessions: sessionmaker[Session], body: dict[str, str], status: int
) -> None:
    add_model(sessions)
    assert client(settings, sessions, Scope.ADMIN).post(PATH, json=body).status_code == status


def test_only_administrators_erase(settings: Settings, sessions: sessionmaker[Session]) -> None:
    add_model(sessions)
    other = client(settings, sessions, Scope.OPERATE, Scope.READ, Scope.INGEST)
    assert other.post(PATH, json={"entity": "a"}).status_code == 403
    assert other.get(PATH).status_code == 403


def test_the_shell_asks_too_and_reads_the_name_from_the_standard_input(
    settings: Settings,
    sessions: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_model(sessions)
    monkeypatch.setenv("SEQWATCH_DATABASE_URL", settings.database_url)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{GONE}\n"))
    assert main(["erase", "grid", "--session", "-"]) == 0
    assert main(["erase", "grid", "--session", GONE]) == 0
    first, second = capsys.readouterr().out.split()
    assert first == second
    with read_only(sessions) as session:
        assert [str(one.id) for one in session.scalars(select(Erasure))] == [first]


def test_a_failed_erasure_can_be_requested_again_and_has_a_reason(
    settings: Settings, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model(sessions)
    admin = client(settings, sessions, Scope.ADMIN)
    admin.post(PATH, json={"session_id": GONE})

    def fail(*_: object) -> None:
        raise OSError(f"no space left for {GONE}")

    with monkeypatch.context() as broken:
        broken.setattr("services.retention.erasure.leave_no_trace", fail)
        Worker(settings, sessions, jobs(settings, sessions)).once()
    [waiting] = admin.get(PATH).json()["items"]
    assert (waiting["state"], waiting["error"]) == ("waiting", "OSError")

    def dead(now: datetime) -> None:
        with unit_of_work(sessions) as session:
            for run in session.scalars(select(Run)):
                run.finished_at = now

    dead(utcnow())
    Ticker(settings, sessions).ask(erasures)
    assert Worker(settings, sessions, jobs(settings, sessions)).once()
    assert [one["state"] for one in admin.get(PATH).json()["items"]] == ["finished"]
