"""What other versions served is not the champion's doing."""

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from db.session import unit_of_work
from db.tables import Finding as FindingRow
from db.tables import Monitor
from monitors.finding import Outcome
from services.evaluation import backtest
from services.evaluation.backtest import BacktestRequest
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.models import champion_pointer
from tests import stored
from tests.services.loop import OBJECTIVE, Loop
from tests.streams import CONTRACT, START

NOON = DAY / 2
END = START + 12 * DAY


def errors(session: Session, loop: Loop, version: str, error: float, n: float) -> None:
    """Store ten days of forecasts, wrong by `error`, with all their labels."""
    for number in range(10):
        cells = np.zeros((CONTRACT.horizon, 1, 5))
        cells[..., :4] = (n, n, n * error, n * error**2)
        day = (START + number * DAY).date()
        stored.put_errors(session, loop.model_id, day, version, cells, int(n))


def found(loop: Loop, name: str) -> FindingRow:
    [monitor] = loop.all(Monitor, name=name)
    [row] = loop.all(FindingRow, monitor_id=monitor.id)
    assert isinstance(row, FindingRow)
    return row


def evaluated(loop: Loop) -> None:
    loop.reach(END + 2 * DAY)
    evaluate_slot(loop.sessions, Baselines(), loop.model_id, END, END)


@pytest.mark.parametrize(
    ("of_v1", "of_v2", "outcome", "value"),
    [
        pytest.param(0.3, 3.0, Outcome.OK, 0.3, id="a bad challenger blames no champion"),
        pytest.param(0.9, 0.0, Outcome.BREACH, 0.9, id="a good challenger excuses none"),
    ],
)
def test_accuracy_is_the_champions(
    sessions: sessionmaker[Session], of_v1: float, of_v2: float, outcome: Outcome, value: float
) -> None:
    loop = Loop(sessions, kinds=("accuracy",))
    with unit_of_work(sessions) as session:
        errors(session, loop, "v1", of_v1, 75)
        errors(session, loop, "v2", of_v2, 25)
    evaluated(loop)
    row = found(loop, "accuracy")
    assert row.outcome is outcome
    assert row.value == pytest.approx(value)
    assert row.threshold == OBJECTIVE
    assert row.detail["other_versions"] == {"v2": {"error": of_v2, "coverage": 1.0}}
    replayed = backtest.run_backtest(sessions, loop.model_id, BacktestRequest())
    assert replayed.n_days == 0 or replayed.records


def test_a_champion_without_forecasts_has_no_accuracy_and_its_forerunner_no_blame(
    sessions: sessionmaker[Session],
) -> None:
    loop = Loop(sessions, kinds=("accuracy",))
    with unit_of_work(sessions) as session:
        errors(session, loop, "v1", 0.9, 10)
        champion_pointer.move(session, loop.model_id, loop.versions["v2"], 1, END)
    evaluated(loop)
    row = found(loop, "accuracy")
    assert row.outcome is Outcome.NO_DATA
    assert row.cause == "no forecast of the champion was served, of others: v1"
    assert row.detail == {}


@pytest.mark.parametrize("n", [0, 5])
def test_rows_without_a_number_are_rows(sessions: sessionmaker[Session], n: int) -> None:
    loop = Loop(sessions, kinds=("contract_violations",))
    if n:
        with unit_of_work(sessions) as session:  # no feature is a number: nothing is summed
            stored.put_served(session, loop.model_id, "v1", END - NOON, n, 0)
    evaluated(loop)
    row = found(loop, "contract_violations")
    expected = (Outcome.OK, "") if n else (Outcome.NO_DATA, "no rows")
    assert (row.outcome, row.cause) == expected
