"""From rows that carry windows to a finding on what they are like inside, and its page."""

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import Kind
from db.session import read_only, unit_of_work
from db.tables import Finding as FindingRow
from db.tables import Model
from monitors.finding import Outcome
from monitors.summaries.summary import Floats
from services.aggregation.fold import fold_all
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.evaluation.reevaluate import reevaluate
from services.read_models.explanations.finding import explain
from tests.monitors.streams import plant
from tests.streams import START, add_served_model, keep, prediction, table

N_DAYS, N_BROKEN, STEPS = 60, 2, 12
NOW = START + 100 * DAY
PARAMS = {"window": "P1D", "days_between_false_alarms": 10.0}


def rows_of(values: Floats, first_day: int, end_day: int) -> list[dict[str, object]]:
    rows = []
    for hour in range(first_day * 24, end_day * 24):
        window = values[hour : hour + STEPS]
        if hour >= (N_DAYS - N_BROKEN) * 24:
            window = np.column_stack([window[::-1, 0], window[:, 1]])
        features = {"load": window[:, 0].tolist(), "wind": window[:, 1].tolist()}
        rows.append(prediction(START + hour * HOUR, hour, features=features))
    return rows


def served(sessions: sessionmaker[Session], late: range = range(0)) -> UUID:
    model_id = add_served_model(sessions, monitors={"window_profile": PARAMS})
    values = plant(N_DAYS + 1)[:, [0, 2]]
    rows = rows_of(values, 0, N_DAYS)
    behind = [row for i, row in enumerate(rows) if i // 24 in late]
    # What is frozen comes from the first days.
    first = 20 * 24
    in_time = [row for i, row in enumerate(rows) if i // 24 not in late and i >= first]
    baselines = Baselines()
    for some in (rows[:first], in_time, behind):
        if some:
            keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, some), NOW - DAY)
            fold_all(sessions, NOW)
        if some is in_time:
            for day in range(N_DAYS - 5, N_DAYS + 1):
                evaluate_slot(sessions, baselines, model_id, START + day * DAY, NOW)
    reevaluate(sessions, baselines, model_id, NOW)
    return model_id


def findings(sessions: sessionmaker[Session], model_id: UUID) -> list[FindingRow]:
    with read_only(sessions) as session:
        query = select(FindingRow).where(FindingRow.model_id == model_id)
        found = [*session.scalars(query.order_by(FindingRow.as_of))]
        session.expunge_all()
    return found


def test_rows_that_are_turned_round_are_found_named_and_explained(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    model_id = served(sessions)
    found = findings(sessions, model_id)
    assert found[2].outcome == Outcome.OK
    last = found[-1]
    assert last.outcome == Outcome.BREACH
    assert last.cause.startswith("load: ")
    assert last.detail["since"] >= (START + (N_DAYS - N_BROKEN) * DAY).isoformat()
    with read_only(sessions) as session:
        page = explain(session, tmp_path, last.id, None, NOW)
    top = page.features[0]
    assert top.name == last.detail["top"]
    assert top.n == 24
    assert top.n_reference == 24 * (N_DAYS - 1)
    assert top.bars
    assert top.days
    assert not top.hours  # what is kept of a day does not distinguish its hours
    assert page.reference[0].start == START
    replayed = run_backtest(
        sessions, model_id, BacktestRequest(since=START + (N_DAYS - 6) * DAY)
    )
    [record] = replayed.records
    assert record.n_breaches == sum(row.outcome == Outcome.BREACH for row in found)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rows_that_come_late_lead_to_the_same_findings(
    sessions: sessionmaker[Session],
) -> None:
    in_time = findings(sessions, served(sessions))
    with unit_of_work(sessions) as session:
        session.get_one(Model, in_time[0].model_id).name = "in time"
    late = findings(sessions, served(sessions, late=range(30, 33)))
    assert [(row.outcome, row.cause) for row in late] == [
        (row.outcome, row.cause) for row in in_time
    ]
    assert [row.value for row in late] == pytest.approx([row.value for row in in_time])
    assert any(row.rev for row in late)


def test_rows_of_one_step_have_no_inside(sessions: sessionmaker[Session]) -> None:
    model_id = add_served_model(sessions, monitors={"window_profile": {}})
    rows = [prediction(START + hour * HOUR, hour) for hour in range(49)]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows), NOW - DAY)
    fold_all(sessions, NOW)
    evaluate_slot(sessions, Baselines(), model_id, START + DAY, NOW)
    [found] = findings(sessions, model_id)
    assert found.outcome == Outcome.NO_DATA
    assert found.cause == "rows of v1 hold no lists of more than one step"
