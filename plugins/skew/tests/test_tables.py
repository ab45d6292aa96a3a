"""Two tables that cannot be compared are refused by row and column, never by value."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from core.durations import MINUTE
from core.errors import AppError, TooLarge, Unprocessable
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature
from monitors.diagnosis import DiagnosisRequest, Table
from seqwatch_skew.faults import Fault
from seqwatch_skew.skew import MAX_COLUMNS, MAX_VALUES, SKEW, Compared

CONTRACT = Contract(
    features=(Feature(name="load"), Feature(name="kind", dtype=Dtype.CATEGORY)),
    targets=("load",),
    step=15 * MINUTE,
    input_length=24,
    horizon=2,
    scaler={"load": (20.0, 5.0)},
)
SECRET = 73_131.25
LOAD = np.random.default_rng(11).normal(20, 5, 60).tolist()
MANY: list[Any] = [0.0] * (MAX_VALUES + 1)


def compare(
    offline: dict[str, list[Any]],
    online: dict[str, list[Any]],
    contract: Contract | None = None,
    at: list[datetime] | None = None,
    **params: object,
) -> Compared:
    request = DiagnosisRequest(
        offline=Table(name="offline", columns=offline),
        online=Table(name="online", columns=online),
        at=at,
        contract=contract,
    )
    return SKEW.run(params, request)


def columns(column: list[Any], n: int = 1) -> dict[str, list[Any]]:
    return {f"c{i}": column for i in range(n)}


@pytest.mark.parametrize(
    ("offline", "online", "error", "message"),
    [
        pytest.param({}, {}, Unprocessable, "no column", id="nothing"),
        pytest.param({"load": []}, {"load": []}, Unprocessable, "no row", id="no row"),
        pytest.param({"load": LOAD}, {}, Unprocessable, "same columns", id="one side"),
        pytest.param(
            {"load": LOAD}, {"load": LOAD[1:]}, Unprocessable, "same number", id="rows"
        ),
        pytest.param({"x": LOAD}, {"x": LOAD}, Unprocessable, "x; known", id="unknown"),
        pytest.param(
            {"kind": LOAD}, {"kind": LOAD}, Unprocessable, "kind; known", id="category"
        ),
        pytest.param(
            {"load": [1.0]}, {"load": [[SECRET, 1.0]]}, Unprocessable, "up to 2", id="steps"
        ),
        pytest.param(
            {"load": [1.0]}, {"load": [SECRET * 1e96]}, Unprocessable, "row 0", id="beyond"
        ),
        pytest.param({"load": MANY}, {"load": MANY}, TooLarge, "100000", id="many rows"),
        pytest.param(
            {"load": [[1.0] * 1_001] + [[1.0]] * 99},
            {"load": [1.0] * 100},
            TooLarge,
            "longest row",
            id="one long row",
        ),
    ],
)
def test_a_refusal_names_the_place(
    offline: Any, online: Any, error: type[AppError], message: str
) -> None:
    with pytest.raises(error) as refused:
        compare(offline, online, CONTRACT)
    assert message in str(refused.value)
    assert "7313" not in str(refused.value)


def test_columns_and_values_are_bounded_together() -> None:
    for table in (columns([1.0], MAX_COLUMNS + 1), columns(MANY[: MAX_VALUES // 2], 3)):
        with pytest.raises(TooLarge):
            compare(table, table)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 2.0, float("nan")])
def test_a_tolerance_that_tolerates_nothing_or_all_is_refused(tolerance: float) -> None:
    with pytest.raises(Unprocessable, match="tolerance"):
        compare({"a": LOAD}, {"a": LOAD}, tolerance=tolerance)


def test_times_are_one_for_each_row() -> None:
    at = [datetime(2026, 1, 1, tzinfo=UTC)]
    with pytest.raises(Unprocessable, match="one time"):
        compare({"load": LOAD}, {"load": LOAD}, CONTRACT, at)


def test_the_contract_defines_how_far_apart_the_steps_of_a_window_are() -> None:
    windows = np.random.default_rng(1).normal(size=(10, 24)).tolist()
    late = [[None] * 8 + window[:-8] for window in windows]  # two hours of quarters
    [found] = compare({"load": windows}, {"load": late}, CONTRACT).features
    assert [fault.fault for fault in found.faults] == [Fault.TIME_ZONE]


def test_a_target_has_the_scaler_of_its_name() -> None:
    twice = [(value - 20) / 5 for value in LOAD]
    [found] = compare({"output.load": LOAD}, {"output.load": twice}, CONTRACT).features
    assert [fault.fault for fault in found.faults] == [Fault.DOUBLE_SCALING]


def test_windows_of_any_length_are_filled_up() -> None:
    ragged: list[Any] = [LOAD[: 3 + i % 5] for i in range(60)]
    online = [[1000 * value for value in row] for row in ragged]
    [found] = compare({"load": ragged}, {"load": online}).features
    assert (found.n, found.n_missing) == (sum(map(len, ragged)), 0)
    assert [fault.fault for fault in found.faults] == [Fault.UNIT]


def test_several_entities_at_one_time_are_compared_where_they_stand() -> None:
    at = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i // 2) for i in range(60)]
    online = [1000 * value for value in LOAD]
    [found] = compare({"load": LOAD}, {"load": online}, CONTRACT, at).features
    assert [fault.fault for fault in found.faults] == [Fault.UNIT]
