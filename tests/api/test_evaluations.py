"""Slots that failed are evaluated again on request, over HTTP and from the shell."""

from datetime import datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from cli.main import main
from core.clock import utcnow
from core.durations import DAY
from core.settings import Settings
from db.session import unit_of_work
from db.tables import Scope
from jobs.wiring import jobs
from jobs.worker import Worker
from services.access.api_keys import create_key
from services.evaluation import failed_slots
from services.platform_faults import platform_alerts
from tests.services.loop import Loop
from tests.streams import START

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PATH = "/v1/models/grid/evaluations"


@pytest.fixture
def loop(sessions: sessionmaker[Session]) -> Loop:
    loop = Loop(sessions, kinds=("input_fault",))
    loop.serve(4, error=0.1)
    loop.reach(START + 4 * DAY)
    for number in (1, 2):
        failed_slots.record(sessions, loop.model_id, day(number), "KeyError: 'load'", day(4))
    return loop


def day(number: int) -> datetime:
    return START + number * DAY


def client(settings: Settings, loop: Loop, scope: Scope) -> TestClient:
    with unit_of_work(loop.sessions) as session:
        token = create_key(session, scope, [scope], None, utcnow())
    headers = {"Authorization": f"Bearer {token}"}
    return TestClient(create_app(settings, loop.sessions), headers=headers)


def n_open(loop: Loop) -> int:
    with unit_of_work(loop.sessions) as session:
        return len(platform_alerts.open_alerts(session))


def test_a_slot_that_failed_is_evaluated_again_on_request(
    settings: Settings, loop: Loop
) -> None:
    operator = client(settings, loop, Scope.OPERATE)
    worker = Worker(settings, loop.sessions, jobs(settings, loop.sessions))
    asked = operator.post(f"{PATH}/2026-01-06T02:00:00+02:00/retry")
    assert (asked.status_code, asked.json()) == (202, {"slots": ["2026-01-06T00:00:00Z"]})
    assert worker.once()
    assert n_open(loop) == 1
    asked = operator.post(f"{PATH}/retry")
    assert asked.json() == {"slots": ["2026-01-07T00:00:00Z"]}
    assert worker.once()
    assert n_open(loop) == 0
    assert operator.post(f"{PATH}/retry").json() == {"slots": []}


@pytest.mark.parametrize(
    ("slot", "status"),
    [
        pytest.param("2026-01-08T00:00:00Z", 409, id="not evaluated yet"),
        pytest.param("0001-01-01T00:00:00+14:00", 422, id="before all time"),
        pytest.param("2026-01-06T12:00:00Z", 409, id="no end of a day"),
        pytest.param("2026-01-06", 422, id="no moment"),
    ],
)
def test_a_slot_that_cannot_be_evaluated_again_is_refused(
    settings: Settings, loop: Loop, slot: str, status: int
) -> None:
    operator = client(settings, loop, Scope.OPERATE)
    assert operator.post(f"{PATH}/{slot}/retry").status_code == status


def test_a_reader_may_not_ask(settings: Settings, loop: Loop) -> None:
    assert client(settings, loop, Scope.READ).post(f"{PATH}/retry").status_code == 403


def test_slots_are_evaluated_again_from_the_shell(
    settings: Settings,
    loop: Loop,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SEQWATCH_DATABASE_URL", database_url)
    assert main(["evaluate", "grid", "--slot", "2026-01-06"]) == 0
    assert capsys.readouterr().out == "2026-01-06T00:00:00+00:00\n"
    assert main(["evaluate", "grid"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["evaluate", "grid", "--slot", "soon"]) == 1
    assert main(["evaluate", "grid", "--slot", "2026-02-01"]) == 1
    worker = Worker(settings, loop.sessions, jobs(settings, loop.sessions))
    while worker.once():
        pass
    assert n_open(loop) == 0
