"""Outputs are evaluated alike however their rows came, and whichever worker died."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase
from core.durations import DAY, HOUR
from core.schema.rows import Kind
from core.window import Window
from db.session import read_only, unit_of_work
from db.tables import Alert, Champion, Finding, FlipRow
from monitors.finding import Outcome
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.evaluation.baseline_cache import Baselines
from services.read_models.explanations.finding import explain
from services.rollouts import set_champion
from tests.conftest import Once
from tests.killed import assert_killed
from tests.late.test_same_alarms import alarms, without_distances
from tests.late.world import BY_SHOP, NOW, Row, World, hours, in_shops, shuffled
from tests.services import crashing
from tests.services.loop import Loop
from tests.services.scraped import metrics
from tests.streams import START, add_version, prediction

pytestmark = pytest.mark.sqlite_first

# One day of the reference, so that the model begins to predict on day 1. The load rises in the
# middle of what is served, three days after the first evaluation with 19 windows behind it.
N_REFERENCE, N_SERVED = 1, 50
NAME = "prediction_drift"
DAYS = hours(N_REFERENCE, N_SERVED)


def world_of(sessions: sessionmaker[Session], lake: Path, name: str) -> World:
    return World(sessions, lake, name, N_REFERENCE, kinds=(NAME,))


def every(days: Sequence[Sequence[Row]]) -> list[Row]:
    return [row for rows in days for row in rows]


def served(world: World, days: Sequence[Sequence[Row]]) -> None:
    """Let the edges be taken from the first day, and the others come at once."""
    world.send(days[0])
    world.work()
    world.send(every(days[1:]))
    world.evaluate_slot()


def served_in_order(sessions: sessionmaker[Session], lake: Path) -> World:
    world = world_of(sessions, lake, "in order")
    served(world, DAYS)
    return world


@pytest.fixture
def in_order(once: Once) -> World:
    made: World = once(served_in_order)
    return made


def outcomes(world: World) -> list[tuple[Outcome, str]]:
    found = sorted((at, row) for (_, at), row in world.findings().items())
    return [(Outcome(str(row[0])), str(row[3])) for _, row in found]


def test_it_learns_from_the_predictions_of_the_version_and_alarms_when_they_change(
    in_order: World,
) -> None:
    found = outcomes(in_order)
    warming_up = [cause for outcome, cause in found if outcome is Outcome.NO_DATA]
    # A season and the window on trial are no windows of the reference.
    assert warming_up[0].startswith("warming up: 0 of 19 windows of 1 day")
    assert len(warming_up) == 20
    assert warming_up[-1].startswith("warming up: 18 of 19")
    verdicts = [outcome for outcome, _ in found[len(warming_up) :]]
    assert verdicts[:4] == [Outcome.OK] * 4
    assert [(flip, at) for _, at, flip, *_ in alarms(in_order)][:1] == [
        (Flip.FIRED.value, START + (N_REFERENCE + N_SERVED // 2 + 1) * DAY)
    ]
    cause = next(cause for outcome, cause in found if outcome is Outcome.BREACH)
    assert cause.startswith("load+")
    detail: Any = in_order.findings()[NAME, START + 40 * DAY][4]
    assert detail["reference"] == {
        "start": f"{START + DAY:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{START + 39 * DAY:%Y-%m-%dT%H:%M:%SZ}",
    }
    assert set(detail["features"]) == {"load+1", "load+2..3"}
    assert detail["features"]["load+1"]["distances"]["psi"] is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rows_that_came_days_late_end_in_the_numbers_of_a_stream_in_order(
    in_order: World, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    changed = world_of(sessions, tmp_path, "late")
    arriving = shuffled(DAYS, N_REFERENCE)
    changed.send(arriving[0])
    changed.work()
    for some in np.array_split(np.arange(1, len(arriving)), 6):
        changed.send(every([arriving[day] for day in some]))
        changed.evaluate_slot()
    assert changed.findings() != in_order.findings()

    assert changed.reevaluate() > 0

    assert changed.summaries() == in_order.summaries()
    assert changed.findings() == in_order.findings()
    assert changed.reevaluate() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_row_into_its_first_days_is_taken_in_by_all_that_is_measured_with_them(
    in_order: World,
) -> None:
    before = in_order.findings()
    wild = [
        (
            Kind.PREDICTIONS,
            prediction(START + 2 * DAY + i * HOUR, 7, output={"load": [90.0] * 3}),
        )
        for i in range(24)
    ]
    in_order.send(wild)

    assert in_order.reevaluate() > 20

    after = in_order.findings()
    assert after[NAME, START + N_SERVED * DAY] != before[NAME, START + N_SERVED * DAY]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_events_in_pieces_and_a_new_worker_for_each_give_the_same_alarms(
    in_order: World, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world, rows = world_of(sessions, tmp_path, "pieces"), every(DAYS)
    for piece in np.array_split(np.arange(len(rows)), 7):  # most end within a day
        world.send([rows[i] for i in piece])
        world.baselines = Baselines()
        world.evaluate_slot()
    assert [alarm[1:] for alarm in alarms(world)] == [alarm[1:] for alarm in alarms(in_order)]
    assert without_distances(world) == without_distances(in_order)


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_is_killed_gives_the_same_alarms(
    in_order: World, sessions: sessionmaker[Session], tmp_path: Path, database_url: str
) -> None:
    world = world_of(sessions, tmp_path, "killed")
    world.send(DAYS[0])
    world.work()
    world.send(every(DAYS[1:]))
    world.work()
    points = (
        "services.evaluation.evaluate_slot evaluate before",
        "services.alerting.alert_transitions observe after",
    )
    for number, point in enumerate(points, start=N_REFERENCE + 1):
        day_end = START + number * DAY
        assert_killed(crashing.evaluate, database_url, world.model_id, day_end, *point.split())
    world.evaluate_slot()
    assert world.findings() == in_order.findings()


def test_a_replay_finds_what_was_found(
    in_order: World, sessions: sessionmaker[Session]
) -> None:
    found = run_backtest(sessions, in_order.model_id, BacktestRequest())

    [record] = found.records
    verdicts = [outcome for outcome, _ in outcomes(in_order)]
    assert record.n_evaluated == len(verdicts) - verdicts.count(Outcome.NO_DATA)
    assert record.n_breaches == verdicts.count(Outcome.BREACH) > 0
    assert (record.promised_days, record.n_without) == (90.0, verdicts.count(Outcome.NO_DATA))
    fired = [at for _, at, flip, *_ in alarms(in_order) if flip == Flip.FIRED]
    assert [episode.since for episode in found.episodes] == fired


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_predictions_of_a_challenger_are_not_counted_for_the_champion(
    in_order: World, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = world_of(sessions, tmp_path, "challenged")
    others: list[Row] = [
        (
            Kind.PREDICTIONS,
            prediction(at, number, output={"load": [999.0, -999.0, 7.0]}, **fields),
        )
        for at in (START + i * HOUR for i in range(24, 24 * N_SERVED))
        for number, fields in enumerate(
            ({"version": "v2", "shadow": True}, {"version": "v1", "shadow": True}), start=5
        )
    ]
    world.send(DAYS[0])
    world.work()
    world.send([*every(DAYS[1:]), *others])
    world.evaluate_slot()
    assert world.findings() == in_order.findings()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_new_champion_is_compared_with_its_own_predictions(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = world_of(sessions, tmp_path, "promoted")
    first = N_REFERENCE + N_SERVED // 2 + 3
    served(world, DAYS[:first])
    assert {alert.phase for alert in world.rows(Alert)} == {Phase.FIRING}

    add_version(sessions, world.model_id, "v2", {})
    with unit_of_work(sessions) as session:
        set_champion.set_champion(session, world.model_id, "v2", 1, NOW)
    assert {alert.phase for alert in world.rows(Alert)} == {Phase.QUIET}
    of_v2 = [
        (kind, row | {"version": "v2"} if kind is Kind.PREDICTIONS else row)
        for kind, row in every(DAYS[first:])
    ]
    world.send(of_v2)
    world.evaluate_slot()

    assert outcomes(world)[first - N_REFERENCE - 1][1] == "v2 has predicted nothing"
    assert outcomes(world)[first + 8][1].startswith("warming up: ")
    assert outcomes(world)[-1] == (Outcome.OK, "")  # it has learned the outputs of v2 by now


def test_an_input_fault_explains_prediction_drift(
    sessions: sessionmaker[Session],
) -> None:
    loop = Loop(sessions, kinds=(NAME, "input_fault"))
    loop.break_input(START + DAY)
    loop.observe(NAME, Outcome.BREACH, START + DAY)
    with read_only(sessions) as session:
        inhibited = session.scalars(select(FlipRow.inhibited).order_by(FlipRow.inhibited)).all()
    assert inhibited == [False, True]


def test_a_finding_is_explained_by_what_was_predicted(
    in_order: World, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    breach = next(row for row in in_order.rows(Finding) if row.outcome is Outcome.BREACH)
    quiet = next(row for row in in_order.rows(Finding) if row.outcome is Outcome.NO_DATA)
    with read_only(sessions) as session:
        explanation = explain(session, tmp_path, breach.id, None, NOW)
        no_explanation = explain(session, tmp_path, quiet.id, None, NOW)
    assert explanation.reference == (Window(START + DAY, breach.as_of - DAY),)
    worst = explanation.features[0]
    known = breach.detail["features"][worst.name]
    assert worst.name == breach.detail["top"]
    assert worst.mean == pytest.approx(known["mean"])
    n_steps = 1 if worst.name == "load+1" else 2
    assert worst.n == 24 * n_steps
    assert worst.n_reference > 20 * worst.n
    assert worst.moved == pytest.approx(known["mean"] - worst.reference_mean)
    assert worst.moved is not None
    assert worst.moved > 0.2  # what is forecast rose in the last hours of that day
    assert sum(bar.current or 0.0 for bar in worst.bars) == pytest.approx(1.0)
    assert no_explanation.features == ()
    assert no_explanation.reference == ()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_drift_of_the_predictions_of_one_segment_is_found_there(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    def opposed(row: dict[str, Any], at: Any) -> dict[str, Any]:
        """Let forecasts for one shop rise by what those for another fall."""
        is_late = at >= START + 30 * DAY
        by = {"b": 4.0, "c": -4.0}.get(row["features"]["shop"][0], 0.0) if is_late else 0.0
        hour = (at - START) // HOUR % 24
        noise = chance.normal(scale=0.3)
        values = [2 * np.sin(2 * np.pi * (hour + k) / 24) + noise + by for k in (1, 2, 3)]
        return row | {"output": None if row["output"] is None else {"load": values}}

    chance = np.random.default_rng(4)
    world = World(sessions, tmp_path, "shops", N_REFERENCE, kinds=(NAME,), contract=BY_SHOP)
    days = [
        [(of, opposed(row, row["at"])) for of, row in rows if of is Kind.PREDICTIONS]
        for rows in in_shops(DAYS[:35])
    ]
    served(world, days)

    found = sorted(world.rows(Finding), key=lambda row: row.as_of)
    breach = next(row for row in found if row.outcome is Outcome.BREACH)
    assert breach.as_of == START + 31 * DAY
    assert breach.detail["top"].endswith(("[shop=b]", "[shop=c]"))
    assert breach.detail["segments"] == {
        "evaluated": ["shop=a", "shop=b", "shop=c"],
        "warming_up": [],
    }
    assert breach.threshold is not None
    assert breach.detail["features"]["load+1"]["score"] < breach.threshold
    with read_only(sessions) as session:
        worst = explain(session, tmp_path, breach.id, None, NOW).features[0]
    assert worst.name == breach.detail["top"]
    assert worst.mean == pytest.approx(breach.detail["features"][worst.name]["mean"])


def test_without_a_champion_or_predictions_there_is_no_data(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = world_of(sessions, tmp_path, "silent")
    with unit_of_work(sessions) as session:
        session.execute(delete(Champion).where(Champion.model_id == world.model_id))
    silent = [(kind, row | {"output": None}) for kind, row in every(DAYS[:4])]
    world.send([row for row in silent if row[0] is Kind.PREDICTIONS])
    world.evaluate_slot()
    assert {cause for _, cause in outcomes(world)} == {"no version serves"}


def test_the_promise_stands_where_it_stands_for_drift(
    in_order: World, sessions: sessionmaker[Session]
) -> None:
    with read_only(sessions) as session:
        found = {metric.name: metric for metric in metrics(session, NOW)}
    promised = found["seqwatch_false_alarm_promised_seconds"].samples
    assert [(one.labels["monitor"], one.value) for one in promised] == [(NAME, 90 * 86_400.0)]
    achieved = found["seqwatch_false_alarm_achieved_seconds"].samples
    assert {one.labels["source"] for one in achieved} == {"reference", "live"}
