"""A backtest is asked for, run by a worker, and read until its result expires."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.errors import Unprocessable
from core.settings import Settings
from db.session import unit_of_work
from db.tables import BacktestRow, Run
from jobs.wiring import jobs
from jobs.worker import Worker
from services.evaluation.backtest import Backtest, BacktestRequest
from services.read_models import backtests
from tests.api.conftest import Clients
from tests.api.test_paging import pages

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
    where = ask(operator, monitors=[MONITOR], reference_length="P3D")
    assert operator.get(where).json()["state"] == "queued"
    assert work()
    read = operator.get(where).json()
    assert (read["state"], read["error"]) == ("done", None)
    assert [record["monitor"] for record in read["result"]["records"]] == ["strict"]
    assert read["finished_at"] is not None


def test_while_it_runs_it_reports_the_days_that_are_evaluated(
    operator: TestClient, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, seen = ask(operator, reference_length="P7D"), []

    def evaluate(_: object, __: UUID, asked: BacktestRequest, note: Any) -> Backtest:
        assert asked == BacktestRequest(reference_length=7 * DAY)
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
        pytest.param(
            {"monitors": [MONITOR | {"severity": "loud"}]}, "known: page, ticket", id="severity"
        ),
        pytest.param({"reference_length": "PT0S"}, "reference_length", id="no days"),
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


def test_backtests_are_listed_newest_first_and_by_state(
    operator: TestClient,
    as_key: Clients,
    work: Work,
    sessions: sessionmaker[Session],
    now: datetime,
) -> None:
    ids = [ask(operator).rpartition("/")[2] for _ in range(3)]
    with unit_of_work(sessions) as session:
        for i, one in enumerate(ids):
            row = session.get_one(BacktestRow, UUID(one))
            row.created_at = now + i * timedelta(seconds=1)
    assert work()
    where = "/v1/models/grid/backtests"
    found = pages(operator, where, limit=2)
    assert [one["id"] for one in found] == ids[::-1]
    assert "result" not in found[0]
    done = operator.get(where, params={"state": "done"}).json()["items"]
    assert [one["state"] for one in done] == ["done"]
    refused = operator.get(where, params={"state": "ready"})
    assert refused.status_code == 422
    assert "'queued', 'running', 'done', 'failed' or 'cancelled'" in refused.text
    assert as_key("ingest").get(where).status_code == 403


def test_a_queued_backtest_that_is_cancelled_is_never_run(
    operator: TestClient, as_key: Clients, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ask(operator)
    assert as_key("read").post(f"{where}/cancel").status_code == 403
    other = where.replace("grid", "other")
    contract = operator.get("/v1/models/grid").json()["contract"]
    assert operator.put("/v1/models/other", json={"contract": contract}).status_code == 201
    assert operator.post(f"{other}/cancel").status_code == 404
    first, again = operator.post(f"{where}/cancel"), operator.post(f"{where}/cancel")
    assert (first.status_code, again.json()) == (200, first.json())
    assert (first.json()["state"], first.json()["result"]) == ("cancelled", None)
    failing(monkeypatch, AssertionError("it ran"))
    assert work()
    assert operator.get(where).json() == first.json()


def test_a_running_backtest_that_is_cancelled_stops_at_its_next_day(
    operator: TestClient, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, n_days = ask(operator), []

    def evaluate(_: object, __: UUID, ___: BacktestRequest, note: Any) -> Backtest:
        for day in range(40):
            n_days.append(day)
            note(day, 40)
            if day == 3:
                assert operator.post(f"{where}/cancel").json()["state"] == "cancelled"
        raise AssertionError("it went on")

    monkeypatch.setattr(backtests, "REPORT_EVERY", timedelta(0))
    monkeypatch.setattr(backtests, "run_backtest", evaluate)
    assert work()
    read = operator.get(where).json()
    assert len(n_days) == 5
    assert (read["state"], read["n_evaluated"], read["n_days"]) == ("cancelled", 3, 40)
    assert read["result"] is None
    assert read["error"].startswith("cancelled by operate-read")
    assert not work()


def test_a_finished_backtest_cannot_be_cancelled(operator: TestClient, work: Work) -> None:
    where = ask(operator)
    assert work()
    before = operator.get(where).json()
    answer = operator.post(f"{where}/cancel")
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "the backtest is done already",
    )
    assert operator.get(where).json() == before


def test_the_backtest_of_a_worker_that_was_killed_is_run_again_and_stored_once(
    operator: TestClient,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
    sessions: sessionmaker[Session],
    now: datetime,
) -> None:
    where = ask(operator)
    begun: list[int] = []

    def evaluate(_: object, __: UUID, ___: BacktestRequest, note: Any) -> Backtest:
        begun.append(len(begun))
        if len(begun) == 1:  # its lease ends, and another worker takes the run over
            note(7, 40)
            with unit_of_work(sessions) as session:
                session.execute(update(Run).values(lease_until=now - timedelta(days=1)))
            assert work()
            return Backtest(model="late", version=None, since=None, until=None, n_days=1)
        return Backtest(model="grid", version=None, since=None, until=None, n_days=40)

    monkeypatch.setattr(backtests, "run_backtest", evaluate)
    assert work()
    read = operator.get(where).json()
    assert (len(begun), read["state"], read["n_days"]) == (2, "done", 40)
    assert read["result"]["model"] == "grid"
    assert not work()
