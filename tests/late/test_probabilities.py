"""Probabilities are held against labels once these are due: from the log to the finding."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.contract import Contract
from core.schema.rows import Kind
from db.session import read_only, unit_of_work
from db.tables import Finding, Model
from monitors.finding import Outcome
from monitors.show import Line, Table
from monitors.sources import Probabilities
from services.evaluation import error_history
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.read_models import lists
from services.read_models.explanations.finding import explain
from tasks.calibration_sums import CALIBRATION, EXPECTED
from tasks.residual_sums import RESIDUALS
from tests import stored
from tests.conftest import Once
from tests.late.world import NOW, Row, World
from tests.streams import CONTRACT, START, label, prediction

# On PostgreSQL `test_error_history.py` reads what is joined by day.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

N_REFERENCE, N_SERVED, CHANGED = 1, 40, 34
A_DAY = 96
SKY = replace(
    CONTRACT,
    targets=("calm", "storm"),
    label_map=("calm", "storm"),
    horizon=1,
    task="classification",
)


def rows() -> list[list[Row]]:
    """Return days of probabilities and labels; from a day on that of a storm is too high."""
    chance = np.random.default_rng(11)
    days: list[list[Row]] = []
    for day in range(N_REFERENCE + N_SERVED):
        of_day: list[Row] = []
        for i in range(A_DAY):
            at = START + day * DAY + i * (DAY / A_DAY)
            p = 0.1 + 0.8 * chance.random()
            observed = float(chance.random() < p)
            predicted = 0.5 + 0.5 * p if day >= CHANGED else p
            output = {"calm": [1 - predicted], "storm": [predicted]}
            served = prediction(at, output=output)
            actual = {"calm": [1 - observed], "storm": [observed]}
            named = {"prediction_id": served["prediction_id"], "received_at": at + HOUR}
            labelled = label(None, [], **named) | {"actual": actual, "arrived_at": at + HOUR}
            of_day += [(Kind.PREDICTIONS, served), (Kind.LABELS, labelled)]
        days.append(of_day)
    return days


@pytest.fixture
def world(once: Once) -> World:
    made: World = once(claimed, SKY)
    return made


def claimed(
    sessions: sessionmaker[Session],
    folder: Path,
    contract: Contract,
    n_days: int = N_REFERENCE + N_SERVED,
) -> World:
    made = World(
        sessions, folder / "lake", "sky", N_REFERENCE, kinds=("calibration",), contract=contract
    )
    for of_day in rows()[:n_days]:
        made.send(of_day)
    made.evaluate_slot()
    return made


def outcomes(world: World) -> list[tuple[str, str]]:
    return [(str(row[0]), str(row[3])) for _, row in sorted(world.findings().items())]


def breach_of(session: Session) -> Finding:
    row = session.scalars(
        select(Finding).where(Finding.as_of == START + (CHANGED + 3) * DAY)
    ).one()
    assert row.outcome is Outcome.BREACH
    return row


def test_a_class_that_is_claimed_too_surely_is_found_when_its_labels_are_due(
    world: World, tmp_path: Path
) -> None:
    found = outcomes(world)
    assert found[0][1] == "no probability of the champion has a label that is due"
    assert found[5][1].startswith("warming up: 3 of 19 windows of 1 day")
    assert found[CHANGED + 1][0] == "ok"
    assert found[CHANGED + 2][0] == "breach"
    with read_only(world.sessions) as session:
        explanation = explain(session, tmp_path, breach_of(session).id, None, NOW)
        listed = lists.accuracy(session, world.model_id, SKY, 90).classes
    assert explanation.reference[0].start == START
    table, reliability = explanation.views
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["calm", "storm"]
    _, predicted, observed, (bias, _), *_ = cast(Any, table.rows[1])
    assert predicted == pytest.approx(0.75, abs=0.05)
    assert observed == pytest.approx(0.5, abs=0.15)
    assert bias == pytest.approx(0.0, abs=0.05)
    assert isinstance(reliability, Line)
    assert reliability.title.split()[2].rstrip(",") in explanation.cause
    assert [one.name for one in listed] == ["calm", "storm"]
    assert listed[1].predicted - listed[1].observed == pytest.approx(0.25 * 6 / 7, abs=0.05)
    assert listed[1].error == pytest.approx(0.25, abs=0.07)


def test_a_backtest_returns_the_findings_of_the_live_run(world: World) -> None:
    backtest = run_backtest(world.sessions, world.model_id, BacktestRequest())
    [record] = backtest.records
    assert record.n_breaches == sum(outcome == "breach" for outcome, _ in outcomes(world)) > 0


def test_labels_that_are_corrected_take_the_finding_back(world: World) -> None:
    # Storms were as frequent as predicted, and the label was wrong.
    chance = np.random.default_rng(5)
    corrected = []
    for day in rows()[CHANGED:]:
        for kind, row in day:
            if kind is Kind.PREDICTIONS:
                storm = float(chance.random() < row["output"]["storm"][0])
                actual = {"calm": [1 - storm], "storm": [storm]}
                named = {"prediction_id": row["prediction_id"], "arrived_at": NOW}
                labelled = label(None, [], **named) | {"actual": actual}
                corrected.append((Kind.LABELS, labelled))
    world.send((kind, row | {"received_at": NOW}) for kind, row in corrected)
    assert world.reevaluate() > 0
    assert outcomes(world)[CHANGED + 2][0] == "ok"


def test_days_joined_before_probabilities_were_kept_are_not_evaluated(world: World) -> None:
    end = (START + (N_REFERENCE + N_SERVED) * DAY).date()
    source = Probabilities(window_days=1, reference_days=365)
    with unit_of_work(world.sessions) as session:
        model = session.get_one(Model, world.model_id)
        known = error_history.load_probabilities(session, model, "v1", source, end)
        assert known is not None
        assert known.cells[:, :, EXPECTED].tolist() == [[A_DAY] * 2] * len(known.cells)
        stored.drop(session, CALIBRATION, before=START + 5 * DAY)
        later = error_history.load_probabilities(session, model, "v1", source, end)
        assert later is not None
        assert later.first_day == known.first_day + 5
        stored.drop(session, CALIBRATION)
        assert error_history.load_probabilities(session, model, "v1", source, end) is None
        assert lists.accuracy(session, world.model_id, SKY, 90).classes == ()


def test_what_is_no_classifier_keeps_no_probabilities_and_is_not_evaluated(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = claimed(sessions, tmp_path, replace(SKY, task="forecast"), n_days=6)
    with read_only(world.sessions) as session:
        assert stored.rows(session, RESIDUALS) != []
        assert stored.rows(session, CALIBRATION) == []
    assert {outcome for outcome, _ in outcomes(world)} == {"no_data"}
