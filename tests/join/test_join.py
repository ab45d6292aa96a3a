"""Join: what was predicted with what happened."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from core.schema.feature import Dtype, Feature
from core.schema.rows import Kind
from core.schema.task import EXPECTED, LABELLED, LOSS, N_SUMS, NAIVE
from core.streams import Stream
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import DirtyDay, Rollout, SessionScore
from monitors.baselines.segments import FIRST, MOST, NONE
from retrain.rollout import Phase
from services.aggregation.fold import PATIENCE, fold_all
from services.labels.error_days import ERRORS, ERRORS_BY_SEGMENT, DaySums, from_bytes
from services.labels.label_join import join, join_all
from services.platform_faults import set_aside
from services.retention.archive import archive_all
from tasks import residual_sums
from tasks.residual_sums import RESIDUALS
from tests import stored
from tests.streams import (
    CONTRACT,
    HOUR,
    START,
    add_model,
    add_version,
    keep,
    label,
    prediction,
    table,
)

LATE = START + PATIENCE
DAY = timedelta(days=1)
TODAY = START.date()


class World:
    """One model with its lake."""

    def __init__(self, sessions: sessionmaker[Session], lake: Path) -> None:
        self.sessions, self.lake = sessions, lake
        self.model_id = add_model(sessions)

    def send(self, *rows: dict[str, Any]) -> None:
        keep(self.sessions, self.model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows))

    def tell(self, *rows: dict[str, Any]) -> None:
        keep(self.sessions, self.model_id, Kind.LABELS, table(Kind.LABELS, rows))

    def settle(self) -> int:
        fold_all(self.sessions, LATE)
        archive_all(self.sessions, self.lake, LATE)
        return join_all(self.sessions, self.lake, LATE)

    def chunk(self, day: date = TODAY) -> NDArray[np.float64]:
        found = self.stored(ERRORS, day)
        assert isinstance(found, DaySums)
        return found.cells  # one target: (step, sum)

    def residuals(self, day: date = TODAY) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.stored(RESIDUALS, day)
        return found

    def stored(self, stream: Stream[Any], day: date) -> Any:
        with read_only(self.sessions) as session:
            found = {
                row.start.date(): stream.from_bytes(row.payload)
                for row in stored.rows(session, stream, self.model_id, "v1")
            }
        return found[day]

    def scores(self) -> list[SessionScore]:
        with read_only(self.sessions) as session:
            query = select(SessionScore).order_by(SessionScore.session_id)
            found = session.scalars(query).all()
            session.expunge_all()
            return [*found]


@pytest.fixture
def world(sessions: sessionmaker[Session], tmp_path: Path) -> World:
    return World(sessions, tmp_path / "lake")


AT = START + 12 * HOUR
FORECAST = {"load": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("labels", "errors"),
    [
        pytest.param([], [None, None, None], id="no label, no error"),
        pytest.param([label(AT + HOUR, [1.5])], [0.5, None, None], id="the first step"),
        pytest.param(
            [label(AT + HOUR, [1.0, 0.0, 0.0])], [0.0, 2.0, 3.0], id="a list spans steps"
        ),
        pytest.param(
            [label(AT - 2 * HOUR, [9.0, 9.0, 9.0, 1.0, 2.5])],
            [0.0, 0.5, None],
            id="a list that began earlier",
        ),
        pytest.param([label(AT + 4 * HOUR, [1.0])], [None] * 3, id="beyond the horizon"),
        pytest.param(
            [label(AT + 1.5 * HOUR, [1.0])], [None] * 3, id="only the exact time will do"
        ),
        pytest.param([label(AT + HOUR, [1.0], entity="e2")], [None] * 3, id="another entity"),
        pytest.param(
            [label(None, [2.0, 2.0, 2.0], prediction_id="p")],
            [1.0, 0.0, 1.0],
            id="a label names the prediction",
        ),
        pytest.param(
            [
                label(AT + HOUR, [5.0, 5.0], arrived_at=AT + 9 * HOUR),
                label(AT + HOUR, [1.0, None], arrived_at=AT + 8 * HOUR),
                label(AT + HOUR, [2.0, None], arrived_at=AT + 10 * HOUR),
            ],
            [1.0, 3.0, None],
            id="the latest arrival corrects, value by value",
        ),
        pytest.param(
            [
                label(AT + HOUR, [7.0, 7.0], arrived_at=AT + 9 * HOUR),
                label(None, [1.0], prediction_id="p", arrived_at=AT + 10 * HOUR),
            ],
            [0.0, 5.0, None],
            id="by prediction after by time",
        ),
        pytest.param(
            [
                label(AT + HOUR, [7.0], arrived_at=AT + 9 * HOUR),
                label(None, [1.0], prediction_id="p", arrived_at=AT + 8 * HOUR),
            ],
            [6.0, None, None],
            id="by time after by prediction",
        ),
    ],
)
def test_a_label_finds_its_steps(
    world: World, labels: list[Any], errors: list[float | None]
) -> None:
    world.send(prediction(AT, prediction_id="p", output=FORECAST))
    world.tell(*labels) if labels else None
    world.settle()

    sums = world.chunk()

    assert sums[:, EXPECTED].tolist() == [1, 1, 1]
    assert sums[:, LABELLED].tolist() == [error is not None for error in errors]
    assert sums[:, LOSS].tolist() == [error or 0.0 for error in errors]
    assert sums[:, N_SUMS].tolist() == [(error or 0.0) ** 2 for error in errors]


def test_errors_are_in_units_of_the_versions_scaler(world: World) -> None:
    add_version(world.sessions, world.model_id, "v1", {"scaler": {"mean": [0.0], "std": [4.0]}})
    world.send(prediction(AT, output=FORECAST))
    world.tell(label(AT + HOUR, [3.0, 2.0, 3.0]))
    world.settle()

    assert world.chunk()[:, LOSS].tolist() == [0.5, 0.0, 0.0]


def test_the_naive_forecast_repeats_the_season(
    world: World,
) -> None:
    add_version(world.sessions, world.model_id, "v1", {"season_steps": 2})
    at = START + 4 * HOUR
    world.send(prediction(at, 1, output=FORECAST), prediction(at, 2, output=FORECAST))
    world.tell(label(at - HOUR, [10.0, 20.0, 11.0, 22.0, 13.0]))
    world.settle()

    # Steps 1 and 2 look two steps back, step 3 looks four.
    assert world.chunk()[:, NAIVE].tolist() == [2.0, 4.0, 6.0]

    world.tell(label(at + HOUR, [12.0], arrived_at=at + 9 * HOUR))
    world.settle()
    assert world.chunk()[:, NAIVE].tolist() == [4.0, 4.0, 6.0]


def test_without_a_label_of_a_season_ago_the_naive_error_is_unknown(world: World) -> None:
    world.send(prediction(AT, output=FORECAST))
    world.tell(label(AT + HOUR, [1.0]))
    world.settle()

    assert np.isnan(world.chunk()[0, NAIVE])
    assert world.chunk()[1:, NAIVE].tolist() == [0.0, 0.0]


def test_late_labels_replace_the_day(world: World) -> None:
    world.send(prediction(AT, output=FORECAST), prediction(AT + DAY, output=FORECAST))
    assert world.settle() == 2
    world.tell(label(AT + DAY + HOUR, [1.0]))
    assert world.settle() == 1
    assert world.settle() == 0

    assert world.chunk()[:, LABELLED].tolist() == [0, 0, 0]
    assert world.chunk((START + DAY).date())[:, LABELLED].tolist() == [1, 0, 0]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("again", "n_expected"),
    [
        pytest.param({}, 1, id="the same id counts once"),
        pytest.param({"prediction_id": "q"}, 2, id="another id is another prediction"),
        pytest.param({"prediction_id": "q", "shadow": True}, 1, id="a shadow counts apart"),
        pytest.param({"prediction_id": "q", "version": "v2"}, 1, id="so does a version"),
        pytest.param(
            {"prediction_id": "q", "output": None, "status": "error"}, 1, id="no output"
        ),
    ],
)
def test_what_is_expected(world: World, again: dict[str, Any], n_expected: int) -> None:
    world.send(prediction(AT, prediction_id="p"))
    world.send(prediction(AT, **{"prediction_id": "p", "received_at": LATE, **again}))
    world.settle()

    assert world.chunk()[:, EXPECTED].tolist() == [n_expected] * 3


def test_past_input_is_not_joined(world: World) -> None:
    world.send(prediction(AT), prediction(AT, 1, version="reference", output=None))
    world.settle()

    with read_only(world.sessions) as session:
        assert [row.version for row in stored.rows(session, ERRORS)] == ["v1"]


def test_a_day_that_was_marked_again_meanwhile_is_not_saved(world: World) -> None:
    world.send(prediction(AT))
    fold_all(world.sessions, LATE)
    archive_all(world.sessions, world.lake, LATE)
    day = START.date()

    class Meanwhile(sessionmaker[Session]):
        """Marks the day again between the join's reading and its saving."""

        def begin(self) -> Any:
            with unit_of_work(world.sessions) as session:
                session.execute(update(DirtyDay).values(rev=99))
            return super().begin()

    meanwhile = Meanwhile(world.sessions.kw["bind"])
    assert not join(meanwhile, world.lake, world.model_id)
    with read_only(world.sessions) as session:
        assert stored.rows(session, ERRORS) == []
        assert [mark[1:] for mark in positions.dirty_days(session)] == [(day, 99)]
    assert join(world.sessions, world.lake, world.model_id) == 1


def test_units_that_cannot_be_read_are_an_error_and_the_mark_stays(world: World) -> None:
    add_version(world.sessions, world.model_id, "v1", {"scaler": {"std": [1.0, 2.0]}})
    world.send(prediction(AT))

    world.settle()

    with read_only(world.sessions) as session:
        (aside,) = set_aside.of_model(session, world.model_id)
        assert "scaler.std needs 1 positive numbers" in aside.error
        assert len(positions.dirty_days(session)) == 1


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
    world.tell(label(AT + HOUR, [1.0, 1.0]))
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
    world.tell(label(late + HOUR, [1.0] * 6))
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


@pytest.mark.parametrize("by", ["entity", "shop"])
def test_errors_are_told_by_segment(
    sessions: sessionmaker[Session], tmp_path: Path, by: str
) -> None:
    shop = Feature(name="shop", dtype=Dtype.CATEGORY, optional=True)
    contract = replace(CONTRACT, features=(*CONTRACT.features, shop), segment_by=by)
    model_id = add_model(sessions, contract)
    said = {"a": 3.0, "b": 5.0, None: 9.0}
    rows = [
        prediction(
            START + i * HOUR,
            i,
            entity=name,
            features={"load": [1.0], "wind": [2.0], "shop": None if name is None else [name]},
            output={"load": [value, value, value]},
        )
        for i in range(4)
        for name, value in said.items()
    ]
    rows = [row | {"prediction_id": f"p{i}"} for i, row in enumerate(rows)]
    again = rows[0] | {"features": {"load": [1.0], "wind": [2.0], "shop": ["b"]}}
    for some in (rows, [again | {"received_at": START + 9 * HOUR}]):
        keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, some, contract))
    labels = [
        label(None, [1.0], prediction_id=row["prediction_id"])
        for row in rows
        if row["prediction_id"] != "p3"
    ]
    keep(sessions, model_id, Kind.LABELS, table(Kind.LABELS, labels, contract))
    fold_all(sessions, LATE)
    archive_all(sessions, tmp_path, LATE)
    assert join_all(sessions, tmp_path, LATE) == 1

    with read_only(sessions) as session:
        [apart] = stored.rows(session, ERRORS_BY_SEGMENT, model_id, "v1")
        [whole] = stored.rows(session, ERRORS, model_id, "v1")
        cells = from_bytes(apart.payload).cells.reshape(FIRST + MOST, 1, 5)
        total = from_bytes(whole.payload).cells.sum(axis=0, keepdims=True)
    a, b, none = FIRST, FIRST + 1, NONE
    assert cells[[a, b, none], 0, EXPECTED].tolist() == [12, 12, 12]
    assert cells[[a, b, none], 0, LABELLED].tolist() == [3, 4, 4]  # the first step, but of p3
    assert cells[[a, b, none], 0, LOSS].tolist() == [3 * 2, 4 * 4, 4 * 8]
    np.testing.assert_allclose(cells.sum(axis=0)[:, :NAIVE], total[:, :NAIVE])


def test_errors_are_kept_with_their_sign_and_hour_part_by_part_of_the_horizon(
    world: World,
) -> None:
    add_version(world.sessions, world.model_id, "v1", {"scaler": {"std": [2.0]}})
    world.send(
        prediction(AT, prediction_id="p", output=FORECAST),
        prediction(AT + HOUR, prediction_id="q", output=FORECAST),
    )
    world.tell(label(AT + HOUR, [0.0]), label(AT + 2 * HOUR, [4.0]))
    world.settle()

    first, rest = world.residuals()

    hours = np.flatnonzero(first[residual_sums.N])
    assert hours.tolist() == [12, 13]  # when they were made
    assert first[residual_sums.SUM][hours].tolist() == [0.5, -1.5]
    assert rest[residual_sums.SUM][hours].tolist() == [-1.0, 0.0]
    assert [part[residual_sums.EXPECTED] for part in (first, rest)] == [2, 4]
    assert [part[residual_sums.N].sum() for part in (first, rest)] == [2, 1]
    assert first[residual_sums.CENTRED] == 1.0**2 + 1.0**2  # from the mean error of -0.5


def test_a_day_without_a_forecast_has_no_residuals(world: World) -> None:
    world.send(prediction(AT, output=None, status="error"))
    world.settle()
    with read_only(world.sessions) as session:
        assert stored.rows(session, ERRORS) != []
        assert stored.rows(session, RESIDUALS) == []
