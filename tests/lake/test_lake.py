"""The lake: what was archived can be read again, as it was."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from deltalake import DeltaTable

from core.clock import utcnow
from core.durations import DAY, HOUR
from core.lake_root import LakeRoot
from core.schema.rows import Kind
from core.window import Window
from lake import tables, upkeep
from lake.reading import Log, Snapshot
from lake.series import training_series
from tests.streams import CONTRACT, START, label, prediction, table


class Place:
    """Where one model's log is."""

    def __init__(self, root: LakeRoot) -> None:
        self.root, self.model_id = root, uuid4()

    def table(self, kind: Kind = Kind.PREDICTIONS) -> DeltaTable:
        return tables.create_table(self.root, self.model_id, kind, CONTRACT)

    def append(self, kind: Kind, rows: Sequence[Any], group_no: int = 1) -> None:
        tables.append(
            self.table(kind), tables.stamped(kind, CONTRACT, table(kind, rows)), group_no
        )

    def log(self, snapshot: Snapshot | None = None) -> Log:
        return Log(self.root, self.model_id, snapshot)


@pytest.fixture
def place(lake_root: LakeRoot) -> Place:
    return Place(lake_root)


def hours(*offsets: float) -> list[datetime]:
    return [START + offset * HOUR for offset in offsets]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(0, 48, [0, 23.5, 24, 47], id="two days"),
        pytest.param(0.5, 24, [23.5], id="from within a day to midnight, end not included"),
        pytest.param(24, 24.1, [24], id="start included"),
        pytest.param(48, 500, [], id="nothing there"),
    ],
)
def test_a_window_of_predictions(
    place: Place, start: float, end: float, expected: list[float]
) -> None:
    place.append(Kind.PREDICTIONS, [prediction(at) for at in hours(0, 23.5, 24, 47)])

    rows = place.log().predictions(Window(*hours(start, end)), ["at"])

    assert rows is not None
    assert sorted(rows["at"].to_pylist()) == hours(*expected)


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        pytest.param(0, 1, False, id="before"),
        pytest.param(23, 23.5, True, id="its first step"),
        pytest.param(95, 96, True, id="its last step, three days on"),
        pytest.param(96, 99, False, id="after"),
    ],
)
def test_a_label_is_found_by_any_of_its_steps(
    place: Place, start: float, end: float, *, found: bool
) -> None:
    place.append(Kind.LABELS, [label(START + 23 * HOUR, [1.0] * 73)])

    rows = place.log().labels(Window(*hours(start, end)), ["target_at"])

    assert rows is not None
    assert rows.num_rows == found


def test_an_event_between_two_milliseconds_is_not_lost(place: Place) -> None:
    at = START + timedelta(microseconds=1_999)
    place.append(Kind.PREDICTIONS, [prediction(at)])
    place.append(Kind.LABELS, [label(at, [1.0])])
    window = Window(at, at + timedelta(microseconds=1))

    predicted = place.log().predictions(window, ["at"])
    labelled = place.log().labels(window, ["target_at"])

    assert predicted is not None
    assert labelled is not None
    assert (predicted.num_rows, labelled.num_rows) == (1, 1)


def test_before_the_first_archive_there_is_nothing(place: Place) -> None:
    window = Window(START, START + DAY)
    assert place.log().predictions(window, ["at"]) is None
    assert place.log().labels(window, ["actual"]) is None


def test_a_pinned_log_stays_as_it_was_through_appends_and_tidying(place: Place) -> None:
    for group_no in range(1, 6):
        place.append(Kind.PREDICTIONS, [prediction(START, group_no)], group_no)
    pinned, window = place.log(), Window(START, START + 9 * DAY)
    for group_no in range(6, upkeep.EVERY + 4):
        place.append(Kind.PREDICTIONS, [prediction(START + DAY, group_no)], group_no)
        upkeep.tidy(place.table(), lambda: [pinned.snapshot.predictions or 0], utcnow())

    delta = place.table()
    again = place.log(pinned.snapshot)
    now, then = (log.predictions(window, ["at"]) for log in (place.log(), again))

    assert now is not None
    assert then is not None
    assert (now.num_rows, then.num_rows) == (upkeep.EVERY + 3, 5)
    assert tables.files_by_day(delta)[START.date()] == 1
    assert tables.last_group(delta) == upkeep.EVERY + 3


_INPUT = (Kind.PREDICTIONS, CONTRACT)


def test_a_table_that_many_make_at_once_is_made_once(place: Place) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: place.table(), range(6)))

    assert [delta.version() for delta in made] == [0] * 6
    assert place.log().snapshot == Snapshot(predictions=0)


def test_groups_that_another_archiver_appended_are_refused(place: Place) -> None:
    delta = place.table()
    place.append(Kind.PREDICTIONS, [prediction(START, 1)], 1)

    with pytest.raises(tables.LakeMoved, match="group 1 is in the log already"):
        tables.append(
            delta,
            tables.stamped(*_INPUT, table(Kind.PREDICTIONS, [prediction(START, 1)])),
            1,
        )
    assert tables.last_group(place.table()) == 1


def inputs(*load: float | None, **fields: Any) -> dict[str, Any]:
    return {"features": {"load": list(load), "wind": [0.0]}, **fields}


nan = float("nan")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([prediction(START, **inputs(7.0))], [[7, nan, nan]], id="one value"),
        pytest.param(
            [prediction(START + 2 * HOUR, **inputs(1.0, None, 3.0))],
            [[1, nan, 3]],
            id="the last of a list is at its row's time",
        ),
        pytest.param(
            [prediction(START + 4 * HOUR, **inputs(1.0, 2.0, 3.0, 4.0, 5.0))],
            [[1, 2, 3]],
            id="a list that ends after the window",
        ),
        pytest.param(
            [
                prediction(START, 2, **inputs(9.0, received_at=START + HOUR)),
                prediction(START, 1, **inputs(5.0)),
                prediction(START, 3, **inputs(None, received_at=START + 2 * HOUR)),
            ],
            [[9, nan, nan]],
            id="received last wins, a missing value corrects nothing",
        ),
        pytest.param(
            [
                prediction(START, **inputs(5.0)),
                prediction(START, **inputs(9.0, received_at=START + HOUR)),
            ],
            [[5, nan, nan]],
            id="the same id again is left out",
        ),
        pytest.param(
            [
                prediction(START, **inputs(5.0), shadow=True),
                prediction(START, 1, **inputs(6.0)),
            ],
            [[6, nan, nan]],
            id="shadows are left out",
        ),
        pytest.param(
            [
                prediction(START, **inputs(5.0, entity="b")),
                prediction(START + HOUR, **inputs(6.0, entity="a")),
                prediction(START + HOUR, 1, **inputs(7.0, entity=None)),
            ],
            [[nan, 7, nan], [nan, 6, nan], [5, nan, nan]],
            id="entities by name, no name first",
        ),
    ],
)
def test_inputs_on_a_grid(place: Place, rows: list[Any], expected: list[list[float]]) -> None:
    place.append(Kind.PREDICTIONS, rows)

    series = training_series(place.log(), CONTRACT, Window(START, START + 3 * HOUR))

    np.testing.assert_array_equal(series.inputs[..., 0], expected)
    assert np.isnan(series.targets).all()
    assert series.n_repeated == len(rows) - len({row["prediction_id"] for row in rows})


def test_targets_on_a_grid(place: Place) -> None:
    place.append(Kind.PREDICTIONS, [prediction(START, prediction_id="p")])
    place.append(
        Kind.LABELS,
        [
            label(START - HOUR, [1.0, 2.0, 3.0, 4.0]),
            label(START + HOUR, [8.0], arrived_at=START + 9 * HOUR),
            label(None, [nan, 9.0], prediction_id="p", arrived_at=START + 8 * HOUR),
            label(START, [7.0], entity="unknown"),
        ],
    )

    series = training_series(place.log(), CONTRACT, Window(START, START + 4 * HOUR))

    np.testing.assert_array_equal(series.targets[..., 0], [[2, 8, 9, nan]])


def test_nothing_archived_is_an_empty_series(place: Place) -> None:
    series = training_series(place.log(), CONTRACT, Window(START, START + 3 * HOUR))

    assert (series.entities, series.inputs.shape) == ((), (0, 3, 2))
    assert series.targets.shape == (0, 3, 1)
