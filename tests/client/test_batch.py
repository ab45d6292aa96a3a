import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqwatch.copies import settle
from seqwatch.delivery import batch as batches
from seqwatch.delivery.batch import Batch, Kind, encode, pack


@pytest.fixture(params=["with msgspec", "without"], autouse=True)
def _encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setattr(batches, "_fast", None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(float("nan"), b"null", id="not-a-number is missing"),
        pytest.param([1.0, float("nan")], b"[1.0,null]", id="also inside a list"),
        pytest.param(np.array([1.0, np.nan]), b"[1.0,null]", id="also inside an array"),
        pytest.param(np.array([1, 2]), b"[1,2]", id="arrays are lists"),
        pytest.param(np.float32(0.5), b"0.5", id="numpy numbers are numbers"),
        pytest.param(float("inf"), b"Infinity", id="infinity is for the API to refuse"),
        pytest.param(
            datetime(2026, 1, 2, tzinfo=UTC), b'"2026-01-02T00:00:00+00:00"', id="times"
        ),
    ],
)
def test_a_row_is_encoded_in_json(value: object, text: bytes) -> None:
    assert _encoded({"x": value}) == b'{"x":' + text + b"}"


def _encoded(row: dict[str, object]) -> bytes:
    """Encode a row as it is logged."""
    settle(row)
    return encode(row)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="an object"),
        pytest.param(datetime(2026, 1, 2), id="a time without a zone"),  # noqa: DTZ001
        pytest.param(b"bytes", id="bytes"),
    ],
)
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        _encoded({"x": value})


@pytest.mark.parametrize("write", [encode, settle])
def test_what_holds_itself_is_refused_without_a_deep_stack(
    write: Callable[[dict[str, object]], object],
) -> None:
    knot: list[object] = []
    knot.append(knot)
    depth = deepest = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal depth, deepest
        depth += (event == "call") - (event == "return")
        deepest = max(deepest, depth)

    sys.setprofile(count)
    try:
        with pytest.raises((ValueError, RecursionError)):
            write({"x": knot})
    finally:
        sys.setprofile(None)
    assert deepest < 200


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers()), min_size=1))
def test_a_spooled_batch_is_read_as_it_was_written(rows: list[dict[str, object]]) -> None:
    batch = pack(Kind.LABELS, [encode(row) for row in rows])
    again = Batch.from_bytes(batch.to_bytes())
    assert again == batch
    assert json.loads(again.body) == {"batch_id": batch.batch_id, "rows": rows}
