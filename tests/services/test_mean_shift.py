"""From rows that come in to a finding on a level that moved, however they came."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import REFERENCE, Kind
from db.tables import Finding as FindingRow
from monitors.finding import Outcome
from services.aggregation.fold import fold_all
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.evaluation.reevaluate import reevaluate
from tests.conftest import Once
from tests.monitors.streams import ar1
from tests.streams import START, add_served_model, keep, prediction, table

pytestmark = pytest.mark.sqlite_first

N_REFERENCE, N_SERVED, MOVED = 140, 14, 144
FIRST_SCAN = N_REFERENCE + 3
NOW = START + 400 * DAY


class World:
    """A model with one monitor, and a row an hour; the load moves up for good."""

    def __init__(self, sessions: sessionmaker[Session], name: str) -> None:
        self.sessions = sessions
        self.model_id = add_served_model(
            sessions,
            name=name,
            reference_days=N_REFERENCE,
            monitors={"mean_shift": {"days_between_false_alarms": 30.0}},
        )
        noise = ar1(0.5, ((N_REFERENCE + N_SERVED) * 24, 2), 5)
        noise[MOVED * 24 :, 0] += 2.0
        self.values = np.round((10.0 + noise) * 64) / 64  # sums do not depend on their order

    def send(self, start: int, end: int) -> None:
        """Keep and fold the rows of the days `[start, end)`."""
        rows = [
            prediction(
                START + hour * HOUR,
                version=REFERENCE if hour < N_REFERENCE * 24 else "v1",
                features={"load": [self.values[hour, 0]], "wind": [self.values[hour, 1]]},
            )
            for hour in range(start * 24, end * 24)
        ]
        kind = Kind.PREDICTIONS
        keep(self.sessions, self.model_id, kind, table(kind, rows), NOW - DAY)
        fold_all(self.sessions, NOW)

    def evaluate_slot(self, day: int, baselines: Baselines) -> None:
        evaluate_slot(self.sessions, baselines, self.model_id, START + day * DAY, NOW)

    def findings(self) -> dict[datetime, tuple[object, ...]]:
        with self.sessions() as session:
            rows = session.query(FindingRow).filter_by(model_id=self.model_id).all()
            return {
                row.as_of: (row.outcome, row.value, row.threshold, row.cause, row.detail)
                for row in rows
            }


def sent_at_once(sessions: sessionmaker[Session], _: Path) -> World:
    world, baselines = World(sessions, "at once"), Baselines()
    world.send(0, N_REFERENCE + N_SERVED)
    for day in range(FIRST_SCAN, N_REFERENCE + N_SERVED + 1):
        world.evaluate_slot(day, baselines)
    return world


@pytest.fixture
def at_once(once: Once) -> World:
    made: World = once(sent_at_once)
    return made


def test_a_level_that_moved_is_found_and_named(at_once: World) -> None:
    found = at_once.findings()
    assert found[START + FIRST_SCAN * DAY][0] == Outcome.OK
    outcome, _, _, cause, detail = found[max(found)]
    assert outcome == Outcome.BREACH
    assert str(cause).startswith("load: mean shifted up by +")
    assert isinstance(detail, dict)
    assert (detail["top"], detail["promised_days"]) == ("load", 30.0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_new_worker_each_day_finds_the_same(
    at_once: World, sessions: sessionmaker[Session]
) -> None:
    world = World(sessions, "in pieces")
    world.send(0, FIRST_SCAN - 1)
    for day in range(FIRST_SCAN, N_REFERENCE + N_SERVED + 1):
        world.send(day - 1, day)
        world.evaluate_slot(day, Baselines())  # nothing is remembered
    assert world.findings() == at_once.findings()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_days_that_come_late_end_in_the_same_findings(
    at_once: World, sessions: sessionmaker[Session]
) -> None:
    world, baselines = World(sessions, "late"), Baselines()
    late = N_REFERENCE - 60  # older than what any other monitor reads
    world.send(0, late)
    world.send(late + 1, N_REFERENCE + N_SERVED)
    for day in range(FIRST_SCAN, N_REFERENCE + N_SERVED + 1):
        world.evaluate_slot(day, baselines)
    assert world.findings() != at_once.findings()
    world.send(late, late + 1)
    assert reevaluate(sessions, baselines, world.model_id, NOW).n_revised
    assert world.findings() == at_once.findings()


def test_a_backtest_returns_what_was_found(
    at_once: World, sessions: sessionmaker[Session]
) -> None:
    backtest = run_backtest(
        sessions, at_once.model_id, BacktestRequest(since=START + (FIRST_SCAN - 1) * DAY)
    )
    (record,), (episode,) = backtest.records, backtest.episodes
    found = at_once.findings()
    breaches = [at for at, (outcome, *_) in found.items() if outcome == Outcome.BREACH]
    assert (record.n_evaluated, record.n_breaches) == (len(found), len(breaches))
    assert (episode.since, episode.cause) == (min(breaches), found[min(breaches)][3])
