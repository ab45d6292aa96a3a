"""A model that becomes wrong about one segment: from the log to the finding and its page."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import Unprocessable
from core.schema.rows import Kind
from db.session import read_only, unit_of_work
from db.tables import Finding
from monitors.finding import Outcome
from monitors.show import Table
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.read_models.explanations.finding import explain
from tests.conftest import Once
from tests.late.world import BY_SHOP, NOW, SHOPS, Row, World
from tests.streams import START, label, prediction

# On PostgreSQL `test_error_history.py` reads what is joined by day.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

N_REFERENCE, N_SERVED, CHANGED = 1, 40, 34
NAME = "segment_accuracy"
WRONG = "b"


def rows() -> list[list[Row]]:
    """Return days of hourly forecasts for each shop; those for one are far off at last."""
    chance = np.random.default_rng(12)
    days: list[list[Row]] = []
    for day in range(N_REFERENCE + N_SERVED):
        of_day: list[Row] = []
        for i in range(24 * day, 24 * day + 24):
            at = START + i * HOUR
            for shop in SHOPS:
                off = 3.0 if shop == WRONG and day >= CHANGED else 1.0
                observed = chance.normal(size=3)
                predicted = observed + 0.3 * off * chance.normal(size=3)
                name = f"{shop}-{at.isoformat()}"
                features = {"load": [1.0], "wind": [2.0], "shop": [shop]}
                served = prediction(
                    at,
                    prediction_id=name,
                    entity=shop,
                    features=features,
                    output={"load": predicted.tolist()},
                )
                labelled = label(None, observed.tolist(), prediction_id=name)
                labelled |= {"arrived_at": at + 4 * HOUR, "received_at": at + 4 * HOUR}
                of_day += [(Kind.PREDICTIONS, served), (Kind.LABELS, labelled)]
        days.append(of_day)
    return days


@pytest.fixture
def world(once: Once) -> World:
    made: World = once(wrong_at_last)
    return made


def wrong_at_last(sessions: sessionmaker[Session], folder: Path) -> World:
    made = World(
        sessions, folder / "lake", "shops", N_REFERENCE, kinds=(NAME,), contract=BY_SHOP
    )
    for of_day in rows():
        made.send(of_day)
    made.evaluate_slot()
    return made


def breach_of(session: Session) -> Finding:
    row = session.scalars(
        select(Finding).where(Finding.as_of == START + (CHANGED + 3) * DAY)
    ).one()
    assert row.outcome is Outcome.BREACH
    return row


def outcomes(world: World) -> list[tuple[str, str]]:
    return [(str(row[0]), str(row[3])) for _, row in sorted(world.findings().items())]


def test_the_segment_is_named_when_its_labels_are_due(world: World, tmp_path: Path) -> None:
    found = outcomes(world)
    assert found[0][1] == "no label of a forecast of the champion for a segment is due"
    assert found[5][1].startswith("warming up: 3 of 19 windows of 1 day")
    assert found[CHANGED + 1][0] == "ok"
    assert found[CHANGED + 2][0] == "breach"
    assert found[CHANGED + 2][1].startswith("errors of load for shop=b are ")
    with read_only(world.sessions) as session:
        explanation = explain(session, tmp_path, breach_of(session).id, None, NOW)
    assert explanation.reference[0].start == START
    [table] = explanation.views
    assert isinstance(table, Table)
    assert {row[0] for row in table.rows} == {f"load [shop={shop}]" for shop in SHOPS}
    worst, (baseline, _), times, others, _ = cast(Any, table.rows[0])
    assert worst == "load [shop=b]"
    assert times == pytest.approx(3.0, rel=0.25)
    assert others == pytest.approx(1.0, rel=0.25)
    assert baseline == pytest.approx(0.24, abs=0.05)  # of a normal error of 0.3


def test_a_backtest_returns_the_findings_of_the_live_run(world: World) -> None:
    [record] = run_backtest(world.sessions, world.model_id, BacktestRequest()).records
    assert record.n_breaches == sum(outcome == "breach" for outcome, _ in outcomes(world)) > 0


def test_labels_that_are_corrected_take_the_finding_back(world: World) -> None:
    # The forecasts were right, and the sensor of the label was not.
    named = [
        (Kind.LABELS, label(None, row["output"]["load"], prediction_id=row["prediction_id"]))
        for day in rows()[CHANGED:]
        for kind, row in day
        if kind is Kind.PREDICTIONS and row["entity"] == WRONG
    ]
    world.send((kind, row | {"arrived_at": NOW, "received_at": NOW}) for kind, row in named)
    assert world.reevaluate() > 0
    assert outcomes(world)[CHANGED + 2][0] == "ok"
    firsts: dict[Any, Any] = {row.as_of: row.first for row in world.revised()}
    assert firsts[START + (CHANGED + 3) * DAY]["outcome"] == "breach"


def test_it_is_refused_where_the_contract_has_no_segments(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = World(sessions, tmp_path / "lake", "plain", N_REFERENCE, kinds=())
    with (
        unit_of_work(sessions) as session,
        pytest.raises(Unprocessable, match="has no segments"),
    ):
        monitor_config.put(
            session, world.model_id, MonitorPlan(name=NAME, kind=NAME, params={})
        )
