"""Scores of sessions, by which two versions are compared."""

from typing import Any
from uuid import UUID

import pytest

from core.durations import HOUR
from db.session import unit_of_work
from db.tables import Rollout
from retrain.rollout import Phase
from tests.join.conftest import AT, World
from tests.streams import START, add_version, label, prediction


def open_canary(world: World) -> UUID:
    base = add_version(world.sessions, world.model_id, "v1", {"scaler": {"std": [2.0]}})
    challenger = add_version(world.sessions, world.model_id, "v2", {"scaler": {"std": [9.0]}})
    with unit_of_work(world.sessions) as session:
        rollout = Rollout(
            model_id=world.model_id,
            idempotency_key="k",
            reason="input_drift",
            phase=Phase.CANARY,
            base_id=base,
            challenger_id=challenger,
            champion_rev=1,
            requested_at=START,
            not_before=START,
            created_at=START,
        )
        session.add(rollout)
        session.flush()
        return rollout.id


def both(session_id: str, at: Any, old: float, new: float, **fields: Any) -> list[Any]:
    """Return one moment of a session, served by v1 and shadowed by v2."""
    same = {"session_id": session_id, **fields}
    return [
        prediction(
            at,
            prediction_id=f"{session_id}:{at}:{version}",
            version=version,
            output={"load": [value] * 3},
            shadow=version == "v2",
            **same,
        )
        for version, value in (("v1", old), ("v2", new))
    ]


def test_both_versions_are_scored_on_the_same_cells_and_in_one_measure(world: World) -> None:
    open_canary(world)
    world.send(*both("s1", AT, 3.0, 2.0), *both("s1", AT + HOUR, 5.0, 2.0))
    world.send(*both("s2", AT, 1.0, 1.0, entity="e2"))
    world.send_labels(label(AT + HOUR, [1.0, 1.0]))
    world.settle()

    one, two = world.scores()

    # s1 has 3 labelled cells of its 6: two at the first moment, one at the second.
    assert one.loss_champion == pytest.approx((1 + 1 + 2) / 3)
    assert one.loss_challenger == pytest.approx(0.5)
    assert (one.n_expected, one.n_labelled, one.served_by) == (2, 1, "v1")
    assert (two.loss_champion, two.n_labelled) == (None, 0)


def test_a_session_over_midnight_is_one_session_of_its_first_day(world: World) -> None:
    open_canary(world)
    late = START + 23 * HOUR
    world.send(*both("s", late, 1.0, 1.0))
    world.settle()
    world.send(*both("s", late + 3 * HOUR, 1.0, 1.0))
    world.settle()
    world.send_labels(label(late + HOUR, [1.0] * 6))
    world.settle()

    [score] = world.scores()

    assert score.day == START.date()
    assert (score.n_expected, score.n_labelled, score.loss_champion) == (2, 2, 0.0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            both("s", AT, 1.0, 1.0)[:1], [], id="the challenger never saw the session"
        ),
        pytest.param(both("s", AT, 1.0, 1.0)[1:], [], id="nothing of the session was served"),
        pytest.param(
            [both("s", AT, 1.0, 1.0)[0], both("s", AT + HOUR, 1.0, 1.0)[1]],
            [("v1", 0, 0)],
            id="different moments are no pair",
        ),
        pytest.param(
            [{**row, "shadow": not row["shadow"]} for row in both("s", AT, 1.0, 1.0)],
            [("v2", 1, 0)],
            id="served by the challenger",
        ),
        pytest.param(
            [{**row, "status": "timeout", "output": None} for row in both("s", AT, 1.0, 1.0)],
            [("v1", 0, 1)],
            id="a failed shadow hurts nobody, a failed answer does",
        ),
        pytest.param(
            [{**row, "session_id": None} for row in both("s", AT, 1.0, 1.0)],
            [],
            id="no session",
        ),
    ],
)
def test_which_sessions_are_scored(
    world: World, rows: list[Any], expected: list[tuple[str, int, int]]
) -> None:
    open_canary(world)
    world.send(*rows)
    world.settle()

    found = [(s.served_by, s.n_expected, s.n_failed) for s in world.scores()]

    assert found == expected
