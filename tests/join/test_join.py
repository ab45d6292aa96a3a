"""Join: what was predicted with what happened."""

from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR, SECOND
from core.schema.rows import Kind
from core.schema.task import EXPECTED, LABELLED, LOSS, N_SUMS
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import DirtyDay
from lake.reading import Log
from lake.storage import LakeAstray
from services.aggregation.fold import fold_all
from services.labels import label_join
from services.labels.error_days import ERRORS
from services.labels.label_join import Pace, join, join_all
from services.platform_faults import set_aside
from services.platform_faults.outage import is_outage
from services.retention.archive import archive_all
from tests import stored
from tests.join.conftest import AT, FORECAST, LATE, World
from tests.streams import START, add_version, label, prediction


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
    world.send_labels(*labels) if labels else None
    world.settle()

    sums = world.chunk()

    assert sums[:, EXPECTED].tolist() == [1, 1, 1]
    assert sums[:, LABELLED].tolist() == [error is not None for error in errors]
    assert sums[:, LOSS].tolist() == [error or 0.0 for error in errors]
    assert sums[:, N_SUMS].tolist() == [(error or 0.0) ** 2 for error in errors]


def test_late_labels_replace_the_day(world: World) -> None:
    world.send(prediction(AT, output=FORECAST), prediction(AT + DAY, output=FORECAST))
    assert world.settle() == 2
    world.send_labels(label(AT + DAY + HOUR, [1.0]))
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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", [Kind.PREDICTIONS, Kind.LABELS])
@pytest.mark.parametrize("when", ["before it is opened", "once it is open"])
def test_a_lake_that_goes_away_during_a_join_leaves_the_day_marked(
    world: World, kind: Kind, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send(prediction(AT, prediction_id="p", output=FORECAST))
    world.send_labels(label(AT + HOUR, [1.5]))
    world.settle()
    before = world.chunk()
    with unit_of_work(world.sessions) as session:
        positions.mark_dirty(session, world.model_id, [AT.date()], 99)
    place = world.lake / str(world.model_id) / kind
    away = place.with_name("away")
    if when == "before it is opened":
        place.rename(away)
    else:
        opened = Log

        def log(*given: Any) -> Log:
            found = opened(*given)
            place.rename(away)
            return found

        monkeypatch.setattr(label_join, "Log", log)

    with pytest.raises((OSError, LakeAstray)) as raised:
        join(world.sessions, world.lake, world.model_id)

    assert is_outage(raised.value)
    away.rename(place)
    np.testing.assert_array_equal(world.chunk(), before)
    with read_only(world.sessions) as session:
        assert positions.dirty_days(session, world.model_id) == [
            (world.model_id, AT.date(), 99)
        ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_labels_that_come_all_day_are_joined_now_and_then(world: World) -> None:
    world.send(prediction(AT, prediction_id="p", output=FORECAST))
    world.settle()
    pace = Pace(HOUR)

    def more() -> int:
        world.send_labels(label(AT + HOUR, [1.5]))
        fold_all(world.sessions, LATE)
        archive_all(world.sessions, world.lake, LATE)
        return join_all(world.sessions, world.lake, LATE, pace)

    assert [more(), more(), more()] == [1, 0, 0]
    with read_only(world.sessions) as session:
        assert len(positions.dirty_days(session, world.model_id)) == 1
    assert join(world.sessions, world.lake, world.model_id) == 1  # as before an evaluation
    assert world.chunk()[0, LABELLED] == 1


def test_a_long_join_waits_for_the_next_one_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("services.labels.label_join.monotonic", lambda: clock[0])
    pace, model_id = Pace(10 * SECOND), uuid4()
    assert pace.is_due(model_id)
    for took, wait in ((0.01, 10.0), (6.0, 120.0)):
        pace.joined(model_id, took)
        clock[0] += wait - 1
        assert not pace.is_due(model_id)
        clock[0] += 1
        assert pace.is_due(model_id)
