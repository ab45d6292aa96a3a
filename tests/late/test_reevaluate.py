"""Rows in any order: after re-evaluation, every number is what it would have been in order."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import Kind
from db.queries.log import recompute_marks
from db.session import unit_of_work
from db.tables import Alert, FlipRow, RepeatDay, Rollout
from monitors.finding import Outcome
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines, Key
from services.evaluation.evaluate_slot import evaluate_slot
from services.evaluation.reevaluate import reevaluate
from tests.conftest import Once
from tests.killed import assert_killed
from tests.late import crashing
from tests.late.world import BY_SHOP, KINDS, NOW, Row, World, hours, in_shops, shuffled
from tests.services.loop import at_once
from tests.streams import START, prediction

pytestmark = pytest.mark.sqlite_first

N_REFERENCE, N_SERVED = 24, 9


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_evaluated_by_segment_does_not_depend_on_when_rows_come(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    days = in_shops(hours(N_REFERENCE, N_SERVED))
    kinds = ("input_drift", "accuracy", "prediction_drift")
    in_order = World(sessions, tmp_path, "in order", N_REFERENCE, 1, kinds, BY_SHOP)
    for some in (days[: N_REFERENCE // 2], days[N_REFERENCE // 2 :]):
        in_order.send(row for rows in some for row in rows)
        in_order.work()
    in_order.evaluate_slot()
    changed = World(sessions, tmp_path, "late", N_REFERENCE, 1, kinds, BY_SHOP)
    live(changed, shuffled(days, N_REFERENCE))
    assert changed.reevaluate() > 0

    assert changed.summaries() == in_order.summaries()
    assert changed.findings() == in_order.findings()
    drifts = [row for (name, _), row in in_order.findings().items() if name == "input_drift"]
    details: list[Any] = [row[4] for row in drifts]
    assert details[-1]["segments"] == {
        "evaluated": ["shop=a", "shop=b", "shop=c"],
        "warming_up": [],
    }
    assert {"load", "wind", "load [shop=b]"} <= details[-1]["features"].keys()


def live(world: World, days: Sequence[Sequence[Row]]) -> None:
    """Let days pass one by one, each evaluated when it has closed."""
    first, n_reference = world.n_reference // 2, world.n_reference
    for part in (days[:first], days[first:n_reference]):
        world.send(row for rows in part for row in rows)
        world.work()  # the edges are taken from the first
    for rows in days[n_reference:]:
        world.send(rows)
        world.evaluate_slot()


@pytest.mark.parametrize(
    ("n_reference", "n_served", "drift_days"),
    [
        pytest.param(N_REFERENCE, N_SERVED, 1, id="drift, accuracy and quality"),
        pytest.param(200, 40, 7, id="every monitor", marks=pytest.mark.slow),
    ],
)
def test_rows_that_came_days_late_end_in_the_numbers_of_a_stream_in_order(
    sessions: sessionmaker[Session],
    tmp_path: Path,
    n_reference: int,
    n_served: int,
    drift_days: int,
) -> None:
    days = hours(n_reference, n_served)
    in_order = World(sessions, tmp_path, "in order", n_reference, drift_days)
    for some in (days[: n_reference // 2], days[n_reference // 2 :]):
        in_order.send(row for rows in some for row in rows)
        in_order.work()
    in_order.evaluate_slot()
    assert in_order.reevaluate() == 0
    assert in_order.revised() == []

    changed = World(sessions, tmp_path, "late", n_reference, drift_days)
    live(changed, shuffled(days, n_reference))
    before = changed.findings()
    assert before != in_order.findings()
    assert changed.late_days() != []
    assert changed.reevaluate() > 0

    assert changed.summaries() == in_order.summaries()
    assert changed.findings() == in_order.findings()
    assert changed.reevaluate() == 0
    until = changed.model().evaluated_until
    assert until is not None
    assert [row for row in changed.late_days() if row.day < until.date()] == []
    assert len(before) == len(KINDS) * (n_served - 1)
    outcomes = {outcome for outcome, *_ in changed.findings().values()}
    assert {Outcome.OK, Outcome.BREACH} <= outcomes


def evaluated(sessions: sessionmaker[Session], folder: Path, *names: str) -> list[World]:
    """Return models with days that were evaluated in order; the newest closed day is day 31."""
    worlds = [World(sessions, folder / "lake", name, N_REFERENCE) for name in names]
    for world in worlds:
        world.send(row for rows in hours(N_REFERENCE, N_SERVED) for row in rows)
        world.evaluate_slot()
    return worlds


@pytest.fixture
def world(once: Once) -> World:
    [made] = once(evaluated, "grid")
    assert isinstance(made, World)
    return made


@pytest.fixture
def twins(once: Once) -> list[World]:
    made: list[World] = once(evaluated, "grid", "twin")
    return made


def failures(day: int, n: int = 40) -> list[Row]:
    """Return predictions of one event day that failed: their batch comes late."""
    at = START + day * DAY + 7 * HOUR
    features = {"load": [2.0], "wind": [None]}
    return [
        (
            Kind.PREDICTIONS,
            prediction(
                at + i * timedelta(seconds=1),
                i,
                prediction_id=f"late-{day}-{i}",
                features=features,
                status="error",
                output=None,
            ),
        )
        for i in range(n)
    ]


def quality_of(world: World, day: int) -> tuple[object, ...]:
    return world.findings()["data_quality", START + (day + 1) * DAY]


def test_a_revised_finding_keeps_its_first_values_and_notifies_nobody(world: World) -> None:
    before, alerts = world.findings(), [(a.phase, a.streak) for a in world.rows(Alert)]
    flips, rollouts = len(world.rows(FlipRow)), len(world.rows(Rollout))
    world.send(failures(25))

    assert world.reevaluate() > 0

    assert quality_of(world, 25)[0] == Outcome.BREACH
    [row] = [
        r for r in world.revised() if r.outcome is Outcome.BREACH and r.detail.get("flaws")
    ]
    assert (row.rev, row.revised_at) == (1, NOW)
    outcome, value, threshold, cause, detail = before["data_quality", START + 26 * DAY]
    assert row.first == {
        "outcome": outcome,
        "value": value,
        "threshold": threshold,
        "cause": cause,
        "detail": detail,
    }
    assert [(a.phase, a.streak) for a in world.rows(Alert)] == alerts
    assert (len(world.rows(FlipRow)), len(world.rows(Rollout))) == (flips, rollouts)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_looking_again_without_news_changes_nothing(world: World) -> None:
    world.send(failures(25))
    world.reevaluate()
    before = world.findings(), [(r.id, r.rev) for r in world.revised()]
    world.send(failures(25))  # the same ids again: served twice, and summarised twice
    world.reevaluate()
    world.reevaluate()
    assert world.reevaluate() == 0
    assert all(row.rev <= 2 for row in world.revised())
    assert before[1] != []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_evaluation_at_a_time_ends_where_all_at_once_do(twins: list[World]) -> None:
    world, twin = twins
    for one, at_a_time in ((world, 1), (twin, 40)):
        one.send([*failures(24), *failures(28)])
        one.reevaluate(at_a_time)
        assert one.late_days() == []
    assert world.findings() == twin.findings()


def test_rows_into_a_closed_day_mark_it_and_rows_into_an_open_one_do_not(world: World) -> None:
    open_day = N_REFERENCE + N_SERVED - 1
    world.send(failures(open_day))
    fold_all(world.sessions, NOW)
    assert world.late_days() == []
    world.send(failures(open_day - 1))
    fold_all(world.sessions, NOW)
    assert [row.day for row in world.late_days()] == [(START + (open_day - 1) * DAY).date()]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_labels_that_came_after_the_evaluation_are_taken_in(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = World(sessions, tmp_path, "grid", N_REFERENCE)
    days = hours(N_REFERENCE, N_SERVED)
    held_back = [row for rows in days for row in rows if row[0] is Kind.LABELS]
    world.send(row for rows in days for row in rows if row[0] is not Kind.LABELS)
    world.evaluate_slot()
    assert {world.findings()["accuracy", START + 30 * DAY][0]} == {Outcome.NO_DATA}

    world.send(held_back)
    world.reevaluate()

    outcomes = {row[0] for (name, _), row in world.findings().items() if name == "accuracy"}
    assert Outcome.BREACH in outcomes
    assert {row.outcome for row in world.revised()} == {Outcome.OK, Outcome.BREACH}


class Interrupted(Baselines):
    """While a day is evaluated, rows come into it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def of(self, key: Key, fit: Callable[[], Any]) -> Any:
        if self._world is not None:
            world, self._world = self._world, None  # type: ignore[assignment]
            world.send(failures(N_REFERENCE))
            fold_all(world.sessions, NOW)
        return super().of(key, fit)


def test_rows_that_come_while_a_day_is_evaluated_are_not_lost(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = World(sessions, tmp_path, "grid", N_REFERENCE)
    world.send(row for rows in hours(N_REFERENCE, N_SERVED)[: N_REFERENCE + 2] for row in rows)
    world.work()
    first = START + (N_REFERENCE + 1) * DAY
    assert evaluate_slot(sessions, Interrupted(world), world.model_id, first, NOW) == len(KINDS)
    assert quality_of(world, N_REFERENCE)[0] == Outcome.OK
    assert len(world.late_days()) == 1
    world.reevaluate()
    assert quality_of(world, N_REFERENCE)[0] == Outcome.BREACH


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_came_before_the_first_evaluation_is_no_reason_for_a_second(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    world = World(sessions, tmp_path, "grid", N_REFERENCE)
    days = hours(N_REFERENCE, N_SERVED)
    world.send(row for rows in days for row in rows)
    world.work()
    world.send(failures(25))
    world.work()
    assert world.late_days() != []
    world.evaluate_slot()
    assert world.late_days() == []
    assert world.reevaluate() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_reference_that_got_late_rows_is_learnt_again(world: World) -> None:
    threshold = world.findings()["input_drift", START + 30 * DAY][2]
    at = START + 15 * DAY
    irregular = [
        (
            Kind.PREDICTIONS,
            prediction(
                at + i * HOUR,
                version="reference",
                output=None,
                features={"load": [40.0 + 7 * (i % 3)], "wind": [9.0]},
            ),
        )
        for i in range(24)
    ]
    world.send(irregular)
    world.reevaluate()
    again = world.findings()["input_drift", START + 30 * DAY]
    assert again[2] != threshold
    with unit_of_work(world.sessions) as session:
        recompute_marks.mark(session, world.model_id, [(START + 25 * DAY).date()])
    world.baselines = Baselines()
    assert world.reevaluate() == 0  # a worker that starts afresh finds the same


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            "services.evaluation.reevaluate _save after",
            id="in the middle of saving an evaluation",
        ),
        *(
            pytest.param(
                f"services.evaluation.reevaluate {point}", id=name, marks=pytest.mark.slow
            )
            for point, name in {
                "_reevaluate_slot before": "before the first evaluation",
                "_reevaluate_slot after": "after the first evaluation",
                "_settle before": "with all evaluations saved",
                "_settle after": "before the marks are off",
            }.items()
        ),
    ],
)
def test_a_worker_that_dies_while_it_reevaluates_loses_nothing(
    twins: list[World], point: str, database_url: str
) -> None:
    world, twin = twins
    for one in (world, twin):
        one.send(failures(25))
        one.work()
    twin.reevaluate()
    assert_killed(crashing.work, database_url, world.model_id, *point.split())
    assert world.late_days() != []
    world.reevaluate()
    assert world.findings() == twin.findings()
    assert world.late_days() == []
    assert [row.rev for row in world.revised()] == [row.rev for row in twin.revised()]


def test_ids_that_were_sent_again_are_counted_once_a_day_each(world: World) -> None:
    again = failures(25, n=5)
    world.send(again)
    world.work()
    world.send(again)
    world.send(again[:2])
    world.work()
    assert {(row.day, row.n) for row in world.rows(RepeatDay)} == {
        ((START + 25 * DAY).date(), 7)
    }


def test_two_workers_that_evaluate_again_at_once_revise_once(world: World) -> None:
    world.send(failures(25))
    world.work()
    evaluation = partial(reevaluate, world.sessions, world.baselines, world.model_id, NOW)
    results = at_once(evaluation, evaluation)
    assert [one for one in results if isinstance(one, Exception)] == []
    world.reevaluate()
    assert world.late_days() == []
    assert {row.rev for row in world.revised()} == {1}
