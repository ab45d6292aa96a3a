"""A backtest reports what is not yet in it, and waits for it on request."""

import argparse
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from cli import backtest
from core.clock import utcnow
from core.durations import HOUR
from core.settings import Settings
from db.session import unit_of_work
from db.tables import Scope
from jobs.wiring import jobs
from jobs.worker import Worker
from services.access.api_keys import create_key
from services.aggregation.fold import PATIENCE, fold_all
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.labels.label_join import join_all
from services.read_models import backtests
from services.retention.archive import archive_all
from tests.fold.test_fold import send
from tests.streams import START, add_model, prediction

LATE = START + PATIENCE
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def given(**fields: Any) -> argparse.Namespace:
    defaults = {
        "model": "grid",
        "since": None,
        "until": None,
        "monitor_file": None,
        "reference_days": None,
        "json": False,
        "wait": 0.0,
        "list": False,
        "cancel": None,
    }
    return argparse.Namespace(**defaults | fields)


@SQLITE
def test_rows_that_wait_are_counted(
    sessions: sessionmaker[Session], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START), prediction(START + 50 * HOUR, 1))

    assert backtest.run(settings, given()) == 0
    assert capsys.readouterr().out.startswith(
        "incomplete: 2 rows are not yet folded and archived, 0 days are not yet joined"
    )
    fold_all(sessions, LATE)
    archive_all(sessions, settings.lake, LATE)
    assert backtest.run(settings, given()) == 0
    assert capsys.readouterr().out.startswith(
        "incomplete: 0 rows are not yet folded and archived, 2 days are not yet joined"
    )


@SQLITE
def test_it_waits_until_every_row_is_joined(
    sessions: sessionmaker[Session],
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START), prediction(START + 50 * HOUR, 1))

    def work(_: float) -> None:
        fold_all(sessions, LATE)
        archive_all(sessions, settings.lake, LATE)
        join_all(sessions, settings.lake, LATE)

    monkeypatch.setattr("cli.backtest.time.sleep", work)

    assert backtest.run(settings, given(wait=600.0)) == 0
    assert "incomplete" not in capsys.readouterr().out


@SQLITE
def test_over_http_it_is_reported_too(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    send(sessions, add_model(sessions), prediction(START))
    with unit_of_work(sessions) as session:
        token = create_key(session, "k", [Scope.OPERATE, Scope.READ], None, utcnow())
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(settings, sessions), headers=headers) as client:
        where = client.post("/v1/models/grid/backtests", json={}).headers["Location"]
        assert Worker(settings, sessions, jobs(settings, sessions)).once()
        result = client.get(where).json()["result"]
    assert (result["waiting_rows"], result["waiting_days"]) == (1, 0)


@SQLITE
def test_requested_backtests_are_listed_and_cancelled(
    sessions: sessionmaker[Session], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        asked = backtests.ask(session, model_id, BacktestRequest(), "olga", utcnow())
    assert backtest.run(settings, given(cancel=asked.id)) == 0
    cancelled = capsys.readouterr().out
    assert cancelled.endswith("cancelled  0 of ? days  by olga  cancelled by the shell\n")
    assert backtest.run(settings, given(list=True)) == 0
    assert capsys.readouterr().out == cancelled


@SQLITE
def test_the_days_evaluated_are_counted_on_standard_error(
    sessions: sessionmaker[Session], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START), prediction(START + 50 * HOUR, 1))
    fold_all(sessions, LATE)
    assert backtest.run(settings, given()) == 0
    assert "2 of 2 days" in capsys.readouterr().err
    noted: list[tuple[int, int | None]] = []
    run_backtest(sessions, model_id, BacktestRequest(), lambda *days: noted.append(days))
    assert noted == [(0, None), (0, None), (1, 2), (2, 2)]
