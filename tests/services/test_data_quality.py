"""From rows that come in to a finding on the quality of a day, and to who is notified."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature
from core.schema.rows import REFERENCE, Kind
from db.queries.log import contract_violations, row_counters
from db.session import read_only, unit_of_work
from db.tables import Delivery, FlipRow, Model, Rollout
from db.tables import Finding as FindingRow
from monitors.data_quality.flaws import DataQualityDetail, Fact, Flaw
from monitors.finding import Outcome
from services.aggregation.fold import fold_all
from services.evaluation import backtest
from services.evaluation.backtest import BacktestRequest
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from tests.services.loop import Loop
from tests.streams import START, add_served_model, keep, prediction, table

pytestmark = pytest.mark.sqlite_first

N_REFERENCE, N_SERVED = 24, 10
NOW = START + 400 * DAY
CONTRACT = Contract(
    features=(
        Feature(name="load"),
        Feature(name="wind"),
        Feature(name="area", dtype=Dtype.CATEGORY, vocabulary=("north", "south", "moon")),
    ),
    targets=("load",),
    step=HOUR,
    input_length=4,
    horizon=3,
)
AREAS = ("north", "south")


class Site:
    """A model with a reference, and days of rows that were served."""

    def __init__(self, sessions: sessionmaker[Session], kind: str = "data_quality") -> None:
        self.sessions = sessions
        params = {"window": "P1D", "season": "PT24H"} if kind == "input_drift" else {}
        self.model_id = add_served_model(
            sessions, CONTRACT, reference_days=N_REFERENCE, monitors={kind: params}
        )
        self.chance = np.random.default_rng(4)

    def rows(self, day: int) -> list[dict[str, Any]]:
        version = REFERENCE if day < N_REFERENCE else "v1"
        return [
            prediction(
                START + day * DAY + hour * HOUR,
                version=version,
                features={
                    "load": [float(self.chance.normal(10, 1)) for _ in range(2)],
                    "wind": [float(self.chance.normal(5, 1)) for _ in range(2)],
                    "area": [AREAS[hour % 2]] * 2,
                },
            )
            for hour in range(24)
        ]

    def send(self, rows: Iterable[dict[str, Any]]) -> None:
        keep(
            self.sessions,
            self.model_id,
            Kind.PREDICTIONS,
            table(Kind.PREDICTIONS, [*rows], CONTRACT),
            NOW - DAY,
        )

    def serve(self, last_day: list[dict[str, Any]]) -> None:
        """Send all days, the last of them as it is given."""
        for day in range(N_REFERENCE + N_SERVED - 1):
            self.send(self.rows(day))
        self.send(last_day)
        fold_all(self.sessions, NOW)

    def today(self) -> list[dict[str, Any]]:
        return self.rows(N_REFERENCE + N_SERVED - 1)

    def evaluate_slot(self) -> FindingRow:
        """Evaluate the days before, then the last; return what was found on it."""
        baselines = Baselines()
        for day in range(N_REFERENCE, N_REFERENCE + N_SERVED):
            evaluate_slot(self.sessions, baselines, self.model_id, START + (day + 1) * DAY, NOW)
        with read_only(self.sessions) as session:
            found = session.query(FindingRow).order_by(FindingRow.as_of.desc()).first()
            session.expunge_all()
            assert found is not None
            return found


@pytest.fixture
def site(sessions: sessionmaker[Session]) -> Site:
    return Site(sessions)


def without(row: dict[str, Any], feature: str) -> dict[str, Any]:
    return {**row, "features": {**row["features"], feature: [None, None]}}


def in_area(row: dict[str, Any], area: str) -> dict[str, Any]:
    return {**row, "features": {**row["features"], "area": [area] * 2}}


def test_days_like_those_of_the_reference_are_no_fault(site: Site) -> None:
    site.serve(site.today())
    found = site.evaluate_slot()
    assert (found.outcome, found.cause) == (Outcome.OK, "")
    assert set(found.detail["quality"]) == {"load", "wind", "area"}
    assert found.detail["rows"] == 24


DAYS = [
    pytest.param(
        lambda rows: [without(row, "wind") for row in rows[:20]] + rows[20:],
        "wind",
        "missing",
        id="a feature that is missing",
    ),
    pytest.param(lambda rows: rows[:9], "load", "in 15 h", id="rows stop at nine"),
    pytest.param(
        lambda rows: [*rows[:-1], in_area(rows[-1], "moon")],
        "area",
        "unknown to the reference",
        id="a category that the contract allows and nobody has seen",
    ),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("change", "feature", "words"), DAYS)
def test_a_day_that_is_incomplete_is_reported(
    site: Site, change: Any, feature: str, words: str
) -> None:
    site.serve(change(site.today()))
    found = site.evaluate_slot()
    assert found.outcome is Outcome.BREACH
    assert feature in found.cause
    assert words in found.cause


def test_rows_that_were_refused_or_came_twice_are_facts_of_their_day(site: Site) -> None:
    day = (START + (N_REFERENCE + N_SERVED - 1) * DAY).date()
    site.serve(site.today())
    with unit_of_work(site.sessions) as session:
        contract_violations.add(session, {(site.model_id, day, "range"): 6})
        row_counters.set_repeated(session, site.model_id, day, 3)
    found = site.evaluate_slot()
    assert found.outcome is Outcome.BREACH
    assert found.cause == (
        "20.0% of the rows refused: out of range; 12.5% of the rows are duplicates"
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_half_or_double_the_rows_of_a_weekday_are_no_fault(
    sessions: sessionmaker[Session],
) -> None:
    """The weekday must have been served twice before there is a baseline."""
    site = Site(sessions)
    for day in range(N_REFERENCE + 22):
        site.send(site.rows(day))
    many = [
        {**row, "prediction_id": f"{row['prediction_id']}-{copy}"}
        for copy in range(6)
        for row in site.rows(N_REFERENCE + 23)
    ]
    twice = [
        {**row, "prediction_id": f"{row['prediction_id']}-{copy}"}
        for copy in range(2)
        for row in site.rows(N_REFERENCE + 22)
    ]
    site.send([*twice, *many])
    fold_all(sessions, NOW)
    baselines = Baselines()
    for day in range(N_REFERENCE, N_REFERENCE + 24):
        evaluate_slot(sessions, baselines, site.model_id, START + (day + 1) * DAY, NOW)
    with read_only(sessions) as session:
        outcomes = {
            row.as_of: (row.outcome, row.cause) for row in session.query(FindingRow).all()
        }
    assert outcomes[START + (N_REFERENCE + 23) * DAY] == (Outcome.OK, "")
    assert outcomes[START + (N_REFERENCE + 24) * DAY] == (
        Outcome.BREACH,
        "144 rows, baseline 24",
    )


def test_a_replay_finds_what_was_found(site: Site) -> None:
    site.serve([without(row, "wind") for row in site.today()])
    found = site.evaluate_slot()
    with unit_of_work(site.sessions) as session:
        session.get_one(Model, site.model_id).watermark = START + 60 * DAY
    replayed = backtest.run_backtest(
        site.sessions,
        site.model_id,
        BacktestRequest(until=START + (N_REFERENCE + N_SERVED) * DAY),
    )
    [episode] = replayed.episodes
    assert (episode.kind, episode.cause, episode.inhibited) == (
        "data_quality",
        found.cause,
        False,
    )


def flaws(*features: str | None) -> DataQualityDetail:
    return DataQualityDetail(
        flaws=tuple(
            Flaw(fact=Fact.MISSING, feature=feature, value=1.0, baseline=0.0, limit=0.1)
            for feature in features
        )
    )


@pytest.mark.parametrize(
    ("features", "is_notified"),
    [
        pytest.param(("load",), False, id="of the broken feature alone: it has paged already"),
        pytest.param(("load", "wind"), True, id="of another feature too"),
        pytest.param((None,), True, id="of the rows"),
    ],
)
def test_what_an_input_fault_has_notified_is_not_notified_again(
    sessions: sessionmaker[Session], features: tuple[str | None, ...], is_notified: bool
) -> None:
    loop = Loop(sessions, kinds=("input_fault", "data_quality"))
    loop.listen("ticket")
    loop.break_input(START + DAY)
    loop.observe("data_quality", Outcome.BREACH, START + DAY, flaws(*features))
    inhibited = {row.reason: row.inhibited for row in loop.all(FlipRow)}
    assert len(loop.all(Delivery)) == is_notified
    assert sorted(row.inhibited for row in loop.all(FlipRow)) == sorted(
        [False, not is_notified]
    )
    assert inhibited
    assert loop.all(Rollout) == []


def test_drift_reports_how_far_each_feature_is_away(sessions: sessionmaker[Session]) -> None:
    site = Site(sessions, "input_drift")
    moved = [
        {
            **row,
            "features": {**row["features"], "load": [10 + v for v in row["features"]["load"]]},
        }
        for row in site.today()
    ]
    site.serve(moved)
    found = site.evaluate_slot()
    load, wind = (found.detail["features"][name]["distances"] for name in ("load", "wind"))
    assert load["wasserstein"] == pytest.approx(10, abs=0.5)
    assert load["ks"] > 0.99
    assert wind["ks"] < 0.35
    assert load["psi"] > 4 > 1 > wind["psi"]
