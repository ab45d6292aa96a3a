"""The same events give the same alarms, however they came and whoever died meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from db.tables import Alert, FlipRow, Monitor
from services.evaluation.baseline_cache import Baselines
from tests.conftest import Once
from tests.killed import assert_killed
from tests.late.world import KINDS, World, hours
from tests.services import crashing
from tests.streams import START

N_SERVED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Monitors, days of reference, and where a worker dies."""

    kinds: Sequence[str]
    n_reference: int
    fires: frozenset[str]
    points: Sequence[str]


CASES = [
    pytest.param(
        Case(
            kinds=KINDS,
            n_reference=24,
            fires=frozenset({"input_drift", "accuracy"}),
            points=(
                "services.evaluation.evaluate_slot evaluate before",
                "services.alerting.alert_transitions observe after",
                "services.rollouts.retraining consider after",
            ),
        ),
        id="each window by itself",
    ),
    pytest.param(
        Case(
            kinds=("mean_shift",),
            n_reference=140,
            fires=frozenset({"mean_shift"}),
            points=(
                "monitors.drift.mean_shift fit after",
                "monitors.drift.mean_shift_evaluation evaluate before",
                "monitors.drift.mean_shift_evaluation evaluate after",
                "services.alerting.alert_transitions observe after",
            ),
        ),
        id="evidence that piles up",
    ),
]


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def alarms(world: World) -> list[tuple[object, ...]]:
    """Return every change of an alert: which, when in event time, to what, and why."""
    names = {monitor.id: monitor.name for monitor in world.rows(Monitor)}
    alerts = {alert.id: names[alert.monitor_id] for alert in world.rows(Alert)}
    return sorted(
        (alerts[flip.alert_id], flip.at, flip.flip.value, flip.cause, flip.inhibited)
        for flip in world.rows(FlipRow)
    )


def without_distances(world: World) -> dict[tuple[str, datetime], tuple[object, ...]]:
    """Return all findings without the distances.

    Bins are frozen from the first values that are folded together; where they
    lie decides nothing, but shows in the fourth digit of what is counted in them.
    """
    plain: dict[tuple[str, datetime], tuple[object, ...]] = {}
    for key, (*rest, detail) in world.findings().items():
        assert isinstance(detail, dict)
        features = detail.get("features", {})
        bare = {
            name: {figure: value for figure, value in one.items() if figure != "distances"}
            for name, one in features.items()
        }
        plain[key] = (*rest, detail | {"features": bare})
    return plain


def evaluated_at_once(sessions: sessionmaker[Session], folder: Path, case: Case) -> World:
    """Return a model whose events all came before the first evaluation."""
    world = a_world(sessions, folder, "at once", case)
    world.send(row for rows in hours(case.n_reference, N_SERVED) for row in rows)
    world.evaluate_slot()
    assert {name for name, *_ in alarms(world)} >= case.fires
    return world


@pytest.fixture
def at_once(once: Once, case: Case) -> World:
    made: World = once(evaluated_at_once, case)
    return made


def a_world(sessions: sessionmaker[Session], folder: Path, name: str, case: Case) -> World:
    return World(sessions, folder, name, case.n_reference, kinds=case.kinds)


@pytest.mark.parametrize(
    ("database_url", "case"),
    [
        *(pytest.param("sqlite", *case.values, id=str(case.id)) for case in CASES),
        # Of evidence that piles up, tests/services/test_mean_shift.py has the other database.
        pytest.param(
            "postgresql", *CASES[0].values, id="on PostgreSQL", marks=pytest.mark.slow
        ),
    ],
    indirect=True,
)
def test_events_in_pieces_and_a_new_worker_each_day(
    at_once: World, sessions: sessionmaker[Session], tmp_path: Path, case: Case
) -> None:
    world = a_world(sessions, tmp_path, "pieces", case)
    days = hours(case.n_reference, N_SERVED)
    world.send(row for rows in days[: case.n_reference] for row in rows)
    for rows in days[case.n_reference :]:
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            world.send(half)
            world.work()
        world.baselines = Baselines()  # nothing is remembered
        world.evaluate_slot()
    assert alarms(world) == alarms(at_once)
    assert without_distances(world) == without_distances(at_once)


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("case", CASES, indirect=True)
def test_a_worker_that_is_killed_every_day(
    at_once: World,
    sessions: sessionmaker[Session],
    tmp_path: Path,
    database_url: str,
    case: Case,
) -> None:
    world = a_world(sessions, tmp_path, "killed", case)
    world.send(row for rows in hours(case.n_reference, N_SERVED) for row in rows)
    world.work()
    for number, point in enumerate(case.points, start=case.n_reference + 1):
        day_end = START + number * DAY
        assert_killed(crashing.evaluate, database_url, world.model_id, day_end, *point.split())
        assert (world.model().evaluated_until or START) < day_end
    world.evaluate_slot()
    assert alarms(world) == alarms(at_once)
    assert world.findings() == at_once.findings()
