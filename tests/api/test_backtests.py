"""A backtest is asked for, run by a worker, and read until its result expires."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from core.errors import Unprocessable
from core.settings import Settings
from db.session import unit_of_work
from db.tables import BacktestRow, Run
from jobs.wiring import jobs
from jobs.worker import Worker
from services.evaluation.backtest import Backtest, BacktestRequest
from services.read_models import backtests
from tests.api.conftest import Clients

pytestmark = pytest.mark.usefixtures("model")

MONITOR = {"name": "strict", "kind": "accuracy", "params": {"objective": 0.01}}
Work = Callable[[], bool]


@pytest.fixture
def work(settings: Settings, sessions: sessionmaker[Session]) -> Work:
    return Worker(settings, sessions, jobs(settings, sessions)).once


def ask(client: TestClient, **body: Any) -> str:
    """Ask for a backtest, and return where to read it."""
    answer = client.post("/v1/models/grid/backtests", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "queued"
    return answer.headers["Location"]


def test_a_backtest_is_queued_and_then_done(operator: TestClient, work: Work) -> None:
    where = ask(operator, monitors=[MONITOR], reference_days=3)
    assert operator.get(where).json()["state"] == "queued"
    assert work()
    read = operator.get(where).json()
    assert (read["state"], read["error"]) == ("done", None)
    assert [record["monitor"] for record in read["result"]["records"]] == ["strict"]
    assert read["finished_at"] is not None


def test_while_it_runs_it_tells_the_days_that_are_evaluated(
    operator: TestClient, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, seen = ask(operator, reference_days=7), []

    def evaluate(_: object, __: UUID, asked: BacktestRequest, note: Any) -> Backtest:
        assert asked == BacktestRequest(reference_days=7)
        seen.append(operator.get(where).json())
        note(3, 40)
        seen.append(operator.get(where).json())
        return Backtest(model="grid", version="v1", since=None, until=None, n_days=40)

    monkeypatch.setattr(backtests, "run_backtest", evaluate)
    assert work()
    seen.append(operator.get(where).json())
    assert [(one["state"], one["n_evaluated"], one["n_days"]) for one in seen] == [
        ("running", 0, None),
        ("running", 3, 40),
        ("done", 40, 40),
    ]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(backtests, "run_backtest", fail)


def test_what_cannot_be_evaluated_fails_at_once_with_the_error(
    operator: TestClient, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ask(operator)
    failing(monkeypatch, Unprocessable("at most 3660 days at once"))
    assert work()
    read = operator.get(where).json()
    error = "Unprocessable: at most 3660 days at once"
    assert (read["state"], read["error"], read["result"]) == ("failed", error, None)
    assert not work()


def test_an_outage_is_tried_again(
    operator: TestClient,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
    sessions: sessionmaker[Session],
    now: datetime,
) -> None:
    where = ask(operator)
    with monkeypatch.context() as broken:
        failing(broken, OSError("disk full"))
        assert work()
    read = operator.get(where).json()
    assert (read["state"], read["error"]) == ("queued", "OSError: disk full")
    with unit_of_work(sessions) as session:
        session.execute(update(Run).values(not_before=now))
    assert work()
    read = operator.get(where).json()
    assert (read["state"], read["error"]) == ("done", None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"monitors": [MONITOR | {"kind": "tea_leaves"}]}, "tea_leaves", id="a kind"
        ),
        pytest.param({"reference_days": 0}, "reference_days", id="no days"),
        pytest.param({"until": "2026-01-01T00:00:00"}, "until", id="a time without a zone"),
        pytest.param(
            {
                "reference": [
                    {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
                ]
            },
            "ends before it starts",
            id="a reference that ends before it begins",
        ),
    ],
)
def test_what_means_nothing_is_refused(
    operator: TestClient, body: dict[str, Any], expected: str
) -> None:
    answer = operator.post("/v1/models/grid/backtests", json=body)
    assert answer.status_code == 422
    assert expected in answer.text


def test_a_model_has_a_limited_number_of_unfinished_backtests(
    operator: TestClient, work: Work
) -> None:
    for _ in range(backtests.MAX_UNFINISHED):
        ask(operator)
    answer = operator.post("/v1/models/grid/backtests", json={})
    assert answer.status_code == 409
    assert work()
    ask(operator)


def test_a_backtest_is_read_by_its_model(
    operator: TestClient, as_key: Clients, sessions: sessionmaker[Session]
) -> None:
    where = ask(operator)
    assert operator.get(f"/v1/models/grid/backtests/{uuid4()}").status_code == 404
    contract = operator.get("/v1/models/grid").json()["contract"]
    assert operator.put("/v1/models/other", json={"contract": contract}).status_code == 201
    assert operator.get(where.replace("grid", "other")).status_code == 404
    assert as_key("ingest").get(where).status_code == 403


def test_a_result_expires(
    operator: TestClient, work: Work, sessions: sessionmaker[Session]
) -> None:
    finished, waiting = ask(operator), ask(operator)
    assert work()
    with unit_of_work(sessions) as session:
        done = session.query(BacktestRow).filter(BacktestRow.result.is_not(None)).one()
        assert done.finished_at is not None
        backtests.purge(session, done.finished_at + timedelta(seconds=1))
    statuses = {operator.get(where).status_code for where in (finished, waiting)}
    assert statuses == {200, 404}


def test_a_backtest_goes_with_its_model(
    as_key: Clients, operator: TestClient, sessions: sessionmaker[Session]
) -> None:
    ask(operator)
    assert as_key("admin").delete("/v1/models/grid").status_code == 204
    with unit_of_work(sessions) as session:
        assert session.query(Run).filter(Run.job == backtests.JOB).all() == []
