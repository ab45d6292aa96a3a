"""What is summed of errors: by unit, season, segment, sign and hour."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.feature import Dtype, Feature
from core.schema.rows import Kind
from core.schema.task import EXPECTED, LABELLED, LOSS, NAIVE
from db.session import read_only
from monitors.baselines.segments import FIRST, MOST, NONE
from services.aggregation.fold import fold_all
from services.labels.error_days import ERRORS, ERRORS_BY_SEGMENT, from_bytes
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from tasks import residual_sums
from tasks.residual_sums import RESIDUALS
from tests import stored
from tests.join.conftest import AT, FORECAST, LATE, World
from tests.streams import (
    CONTRACT,
    START,
    add_model,
    add_version,
    keep,
    label,
    prediction,
    table,
)


def test_errors_are_in_units_of_the_versions_scaler(world: World) -> None:
    add_version(world.sessions, world.model_id, "v1", {"scaler": {"mean": [0.0], "std": [4.0]}})
    world.send(prediction(AT, output=FORECAST))
    world.send_labels(label(AT + HOUR, [3.0, 2.0, 3.0]))
    world.settle()

    assert world.chunk()[:, LOSS].tolist() == [0.5, 0.0, 0.0]


def test_the_naive_forecast_repeats_the_season(
    world: World,
) -> None:
    add_version(world.sessions, world.model_id, "v1", {"season_steps": 2})
    at = START + 4 * HOUR
    world.send(prediction(at, 1, output=FORECAST), prediction(at, 2, output=FORECAST))
    world.send_labels(label(at - HOUR, [10.0, 20.0, 11.0, 22.0, 13.0]))
    world.settle()

    # Steps 1 and 2 are compared with two steps back, step 3 with four.
    assert world.chunk()[:, NAIVE].tolist() == [2.0, 4.0, 6.0]

    world.send_labels(label(at + HOUR, [12.0], arrived_at=at + 9 * HOUR))
    world.settle()
    assert world.chunk()[:, NAIVE].tolist() == [4.0, 4.0, 6.0]


def test_without_a_label_of_a_season_ago_the_naive_error_is_unknown(world: World) -> None:
    world.send(prediction(AT, output=FORECAST))
    world.send_labels(label(AT + HOUR, [1.0]))
    world.settle()

    assert np.isnan(world.chunk()[0, NAIVE])
    assert world.chunk()[1:, NAIVE].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("by", ["entity", "shop"])
def test_errors_are_reported_by_segment(
    sessions: sessionmaker[Session], tmp_path: Path, by: str
) -> None:
    shop = Feature(name="shop", dtype=Dtype.CATEGORY, optional=True)
    contract = replace(CONTRACT, features=(*CONTRACT.features, shop), segment_by=by)
    model_id = add_model(sessions, contract)
    errors = {"a": 3.0, "b": 5.0, None: 9.0}
    rows = [
        prediction(
            START + i * HOUR,
            i,
            entity=name,
            features={"load": [1.0], "wind": [2.0], "shop": None if name is None else [name]},
            output={"load": [value, value, value]},
        )
        for i in range(4)
        for name, value in errors.items()
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
    world.send_labels(label(AT + HOUR, [0.0]), label(AT + 2 * HOUR, [4.0]))
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
