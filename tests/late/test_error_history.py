"""The pattern of errors is evaluated once labels are due, and again when they are corrected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import Kind
from db.session import read_only, unit_of_work
from db.tables import Finding, Model
from monitors.finding import Outcome
from monitors.show import Table
from monitors.sources import Residuals
from services.evaluation import error_history
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.read_models.explanations.finding import explain
from tasks.residual_sums import RESIDUALS
from tests import stored
from tests.conftest import Once
from tests.late.world import NOW, Row, World
from tests.streams import START, label, prediction

pytestmark = pytest.mark.sqlite_first

N_REFERENCE, N_SERVED, CHANGED = 1, 40, 34
NAME = "residuals"


def rows(bias: Callable[[int], float]) -> list[list[Row]]:
    """Return days of hourly forecasts, and what happened; steps 2 and 3 are off by `bias`."""
    chance = np.random.default_rng(11)
    load = chance.normal(size=24 * (N_REFERENCE + N_SERVED + 1))
    days: list[list[Row]] = []
    for day in range(N_REFERENCE + N_SERVED):
        of_day: list[Row] = []
        for i in range(24 * day, 24 * day + 24):
            predicted = load[i + 1 : i + 4] + 0.3 * chance.normal(size=3)
            predicted[1:] += bias(day)
            at = START + i * HOUR
            served = prediction(at, output={"load": predicted.tolist()})
            of_day += [(Kind.PREDICTIONS, served), (Kind.LABELS, label(at, [load[i]]))]
        days.append(of_day)
    return days


def drifting(day: int) -> float:
    return 1.5 if day >= CHANGED else 0.0


def biased(sessions: sessionmaker[Session], folder: Path) -> World:
    made = World(sessions, folder / "lake", "grid", N_REFERENCE, kinds=(NAME,))
    for of_day in rows(drifting):
        made.send(of_day)
    made.evaluate_slot()
    return made


@pytest.fixture
def world(once: Once) -> World:
    made: World = once(biased)
    return made


def outcomes(world: World) -> list[tuple[str, str]]:
    return [(str(row[0]), str(row[3])) for _, row in sorted(world.findings().items())]


def test_a_bias_at_one_horizon_is_found_when_its_labels_are_due(world: World) -> None:
    found = outcomes(world)
    assert found[0][1] == "no label of a forecast of the champion is due"
    assert found[5][1].startswith("warming up: 3 of 19 windows of 1 day")
    # The labels of a day are due two days after it has closed.
    assert found[CHANGED + 1][0] == "ok"
    assert found[CHANGED + 2][0] == "breach"
    assert found[CHANGED + 2][1].startswith("forecasts of load 2 to 3 steps ahead are 1.")
    assert "SD too high, baseline " in found[CHANGED + 2][1]


def test_the_page_of_the_finding_describes_the_errors(world: World, tmp_path: Path) -> None:
    with read_only(world.sessions) as session:
        row = session.scalars(
            select(Finding).where(Finding.as_of == START + (CHANGED + 3) * DAY)
        ).one()
        assert row.outcome is Outcome.BREACH
        explanation = explain(session, tmp_path, row.id, None, NOW)
    assert explanation.reference[0].start == START
    [table] = explanation.views
    assert isinstance(table, Table)
    assert table.columns[1].name == "Bias"
    bias = {row[0]: row[1] for row in table.rows}
    assert bias.keys() == {"load+1", "load+2..3"}
    assert bias["load+2..3"] == pytest.approx((0.0, 1.5), abs=0.1)


def test_labels_that_are_corrected_take_the_finding_back(world: World) -> None:
    before = outcomes(world)
    assert before[CHANGED + 2][0] == "breach"
    # The forecasts were right, and the sensor of the label was not.
    named = [
        (Kind.LABELS, label(None, row["output"]["load"], prediction_id=row["prediction_id"]))
        for day in rows(drifting)[CHANGED:]
        for kind, row in day
        if kind is Kind.PREDICTIONS
    ]
    world.send((kind, row | {"arrived_at": NOW, "received_at": NOW}) for kind, row in named)
    assert world.reevaluate() > 0
    assert outcomes(world)[CHANGED + 2][0] == "ok"
    firsts: dict[Any, Any] = {row.as_of: row.first for row in world.revised()}
    assert firsts[START + (CHANGED + 3) * DAY]["outcome"] == "breach"


def test_a_backtest_returns_the_findings_of_the_live_run(world: World) -> None:
    backtest = run_backtest(world.sessions, world.model_id, BacktestRequest())
    [record] = backtest.records
    live = outcomes(world)
    assert record.n_breaches == sum(outcome == "breach" for outcome, _ in live)


def test_days_joined_before_errors_were_kept_with_their_sign_are_not_evaluated(
    world: World,
) -> None:
    end = (START + (N_REFERENCE + N_SERVED) * DAY).date()
    source = Residuals(window_days=1, reference_days=365)
    with unit_of_work(world.sessions) as session:
        model = session.get_one(Model, world.model_id)
        known = error_history.load(session, model, "v1", source, end)
        assert known is not None
        assert len(known.cells) == N_REFERENCE + N_SERVED
        stored.drop(session, RESIDUALS)
        assert error_history.load(session, model, "v1", source, end) is None
