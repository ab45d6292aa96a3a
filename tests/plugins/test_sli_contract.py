"""The contract of every registered SLI: cells, events, and counts that add up."""

import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from core.errors import Unprocessable
from core.schema.events import EVENT_TYPES
from core.schema.rows import Kind, Status
from core.window import Window
from lake.lists import Ints
from monitors.slo import cells, sli
from monitors.slo.cells import ERROR_CELL, N_PLACES, STRIDE, CellCounts, Cells
from monitors.slo.sli import SLIS, Event, SliKind, SliUnit
from services.aggregation import segments, serving
from tests.streams import CONTRACT, event, prediction, table

pytestmark = pytest.mark.usefixtures("plugins")

START = datetime(2026, 1, 5, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(hours=3))
WIDTH = timedelta(minutes=5)
NAMES = [
    *("availability", "latency", "short_queue", "queue_length", "cost"),
    *("cold_start", "model_load", "state_restore", "saturation", "out_of_memory", "restarts"),
]
# Other parameters than the defaults.
OTHERS: dict[str, dict[str, Any]] = {
    "availability": {"degraded": "bad"},
    "latency": {"slower_than": "PT0.01S"},
    "short_queue": {"longest": 40},
    "queue_length": {"longer_than": 40},
    "cost": {"more_than": 0.2},
    "cold_start": {"slower_than": "PT2S"},
    "model_load": {"slower_than": "PT2S"},
    "state_restore": {"slower_than": "PT2S"},
    "saturation": {"cpu": 0.7, "memory": 0.95},
    "out_of_memory": {},
    "restarts": {},
}


def rows(n: int = 400, *, is_empty: bool = False) -> pa.Table:
    """Return rows in any order; many columns of an empty one hold nothing."""
    chance = np.random.default_rng(7)
    found = []
    for i in range(n):
        at = START + timedelta(seconds=float(chance.integers(0, 3 * 3600)))
        fields: dict[str, Any] = {}
        if not is_empty:
            fields = {
                "status": str(chance.choice([*Status])),
                "latency_seconds": [None, 0.0, 0.1, 0.999, 1.0, 1e9][chance.integers(6)],
                "queue_length": [None, 0, 1, 10, 33, 2**40, -5][chance.integers(7)],
                "batch_size": int(chance.integers(1, 64)),
                "cold_start": bool(chance.random() < 0.1),
                "cost": float(chance.gamma(2.0, 0.1)),
                "worker": ["a", "b", None][chance.integers(3)],
                "session_id": f"s{i % 7}",
            }
        found.append(prediction(at, i, **fields))
    return table(Kind.PREDICTIONS, found, CONTRACT)


def events(n: int = 400, *, is_empty: bool = False) -> pa.Table:
    """Return events in any order; those that are empty are of a type that no SLI counts."""
    chance = np.random.default_rng(8)
    types = ["deploy"] if is_empty else [*EVENT_TYPES]
    found = []
    for i in range(n):
        at = START + timedelta(seconds=float(chance.integers(0, 3 * 3600)))
        found.append(
            event(
                at,
                i,
                type=str(chance.choice(types)),
                duration_seconds=[0.0, 0.9, 1.0, 4.0, 1e9][chance.integers(5)],
                cpu_share=[None, 0.0, 0.7, 0.85, 1.0][chance.integers(5)],
                memory_share=[None, 0.2, 0.96][chance.integers(3)],
                queue_length=[None, 0, 17, 2**40][chance.integers(4)],
            )
        )
    return table(Kind.EVENTS, found)


def rows_of(name: str, n: int = 400, *, is_empty: bool = False) -> pa.Table:
    kinds = sli.find(name).cells.kinds
    return (events if Kind.PREDICTIONS not in kinds else rows)(n, is_empty=is_empty)


def times(of: pa.Table) -> Ints:
    found: Ints = of["at"].cast(pa.int64()).to_numpy()
    return found


def counted(name: str, of: pa.Table) -> CellCounts:
    kind = Kind.EVENTS if "event_id" in of.column_names else Kind.PREDICTIONS
    found = serving.count(of, times(of), kind)
    none = np.zeros(0, dtype=np.int64)
    return found.get(sli.find(name).stream.name, CellCounts(keys=none, counts=none))


def by_event(name: str, found: CellCounts, **params: Any) -> np.ndarray[Any, Any]:
    kind = sli.find(name)
    slices, counts = kind.by_slice(found.within(WINDOW), sli.parse(name, params))
    parts = (WINDOW.end - WINDOW.start) // WIDTH
    by_part = np.zeros((parts, 3), dtype=np.int64)
    np.add.at(by_part, cells.bins_of(slices, WINDOW, WIDTH), counts)
    return by_part.T


def test_every_sli_is_under_contract() -> None:
    assert {*SLIS.names()} - {"raising"} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_its_parameters_survive_being_stored_and_can_be_hashed(name: str) -> None:
    for given in ({}, OTHERS[name]):
        params = sli.parse(name, given)
        assert sli.parse(name, json.loads(json.dumps(msgspec.to_builtins(params)))) == params
        assert hash(params) == hash(sli.parse(name, given))
    assert (sli.find(name).name, bool(sli.find(name).question)) == (name, True)
    with pytest.raises(Unprocessable, match=f"{name}: no nonsense; known: "):
        sli.parse(name, {"nonsense": 1})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_empty", [False, True])
def test_each_prediction_has_one_cell_and_each_cell_at_most_one_event(
    name: str, is_empty: bool
) -> None:
    kind, of = sli.find(name), rows_of(name, is_empty=is_empty)
    found = counted(name, of)
    assert found.cells.max(initial=0) < kind.cells.n, "no cell of an error"
    assert found.counts.sum() <= of.num_rows
    for given in ({}, OTHERS[name]):
        events = kind.events(sli.parse(name, given))
        assert {*events[: kind.cells.n].tolist()} <= {*Event}
        assert events[ERROR_CELL] == Event.UNKNOWN
        summed = by_event(name, found, **given)
        assert (summed >= 0).all()
        assert summed.sum() <= of.num_rows


@pytest.mark.parametrize("name", NAMES)
def test_counts_add_up_however_rows_are_split_and_ordered(name: str) -> None:
    of, kind = rows_of(name), sli.find(name)
    whole = counted(name, of)
    turned = of.take(np.random.default_rng(1).permutation(of.num_rows))
    parts = [turned.slice(0, 1), turned.slice(1, 99), turned.slice(100), turned.slice(0, 0)]
    again = cells.merged([counted(name, part) for part in parts])
    assert np.array_equal(again.keys, whole.keys)
    assert np.array_equal(again.counts, whole.counts)
    blobs = [
        kind.stream.to_bytes(hour)
        for part in parts
        for _, hour in kind.stream.split(counted(name, part))
    ]
    stored = kind.stream.from_many(blobs)
    assert np.array_equal(stored.keys, whole.keys)
    assert np.array_equal(stored.counts, whole.counts)


@pytest.mark.parametrize("name", NAMES)
def test_no_prediction_gives_no_count(name: str) -> None:
    found = counted(name, rows_of(name, 0))
    assert found.keys.size == 0
    assert not by_event(name, found).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_counts_of_segments_add_up_to_the_total_of_predictions(name: str) -> None:
    of, kind = rows_of(name), sli.find(name)
    places = np.arange(of.num_rows) % 5
    of = of.append_column(segments.PLACE, pa.array(places))
    found = counted(name, of)
    assert {*found.places.tolist()} <= {*range(5)}
    places_of = [by_event(name, found.of_place(place)) for place in range(N_PLACES)]
    apart = np.sum(places_of, axis=0)
    total = by_event(name, found)
    if kind.unit is not SliUnit.TIME_SLICES:
        assert np.array_equal(apart, total)
    else:
        assert (apart.sum(axis=0) >= total.sum(axis=0)).all(), "one slice, several segments"


BAD_CELLS = {
    "too few": lambda columns: np.zeros(columns.n - 1, np.int64),
    "no integers": lambda columns: np.zeros(columns.n),
    "beyond the last": lambda columns: np.full(columns.n, 3),
    "below -1": lambda columns: np.full(columns.n, -2),
    "nothing": lambda columns: None,
}


@pytest.mark.parametrize("what", BAD_CELLS)
def test_what_is_no_cell_is_the_cell_of_an_error(
    what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad: Any = BAD_CELLS[what]
    given = {"bad": Cells(columns=("status",), n=3, cell=bad)}
    monkeypatch.setattr(sli, "counted", lambda _: given)
    of = rows(20)
    assert {*serving.count(of, times(of))["bad"].cells.tolist()} == {ERROR_CELL}
    assert "stream bad: 20 rows are unknown" in caplog.text
    assert "cell must return" in caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"columns": ("load",)}, "no column load; known: pred", id="no column"),
        pytest.param({"n": 0}, "1 to 255 cells, not 0", id="no cell"),
        pytest.param({"n": 256}, "1 to 255 cells, not 256", id="too many"),
    ],
)
def test_cells_that_cannot_be_counted_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cells(**{"columns": ("status",), "n": 1, "cell": lambda columns: columns.n, **given})


def test_rows_that_are_not_counted_leave_no_key() -> None:
    found = cells.summarise(np.array([0, 1, 2]), np.array([-1, 0, -1]))
    assert (found.keys.size, found.counts.tolist()) == (1, [1])


def test_cells_that_an_sli_has_no_more_ask_for_a_rebuild() -> None:
    fewer = SliKind(
        name="fewer",
        question="?",
        params=type(sli.parse("availability", {})),
        cells=Cells(columns=("status",), n=1, cell=lambda columns: np.zeros(columns.n, int)),
        classify=lambda _: np.full(1, Event.GOOD),
    )
    found = cells.summarise(times(rows(3)), np.array([0, 1, 0]))
    with pytest.raises(Unprocessable, match="rebuild stream sli_fewer"):
        fewer.count(found, sli.parse("availability", {}))


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        pytest.param(b"", "cut short", id="nothing"),
        pytest.param(b"\x01" * 40, "format 1, not 3", id="another format"),
        pytest.param(b"\x03\x01\x01\0" + b"\1" * 12, "cut short", id="fewer keys than stated"),
        pytest.param(b"\x02\x07\x01\0" + b"\1" * 12, "cut short", id="numbers of seven bytes"),
    ],
)
def test_what_is_no_count_is_refused(blob: bytes, message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        cells.from_many([blob])


def test_rows_in_any_order_are_counted_together() -> None:
    at = np.repeat(np.arange(5) * 3_600_000_000, 3) + np.tile([0, 10_000_000, 3_500_000_000], 5)
    whole = cells.summarise(at, np.arange(at.size) * 11 % 200, np.arange(at.size) % 3)
    blobs = [cells.to_bytes(part) for _, part in cells.stream("x").split(whole)]
    again = cells.from_many([*blobs[::-1], blobs[2]])
    assert np.array_equal(again.keys, whole.keys)
    assert again.counts.tolist() == [1] * 6 + [2] * 3 + [1] * 6


def in_format_2(found: CellCounts) -> bytes:
    """Return what format 2 stored: steps of 4 bytes between keys, and counts of 1."""
    steps = np.diff(found.keys, prepend=found.keys[:1]).astype("<u4")
    head = struct.pack("<BBBxqI", 2, 4, 1, found.keys[0], found.keys.size)
    return head + steps.tobytes() + found.counts.astype("<u1").tobytes()


def test_counts_of_the_format_before_are_still_read() -> None:
    at = np.repeat(np.arange(4) * 3_600_000_000, 2) + np.tile([0, 3_500_000_000], 4)
    whole = cells.summarise(at, np.arange(at.size) * 31 % 256, np.arange(at.size) % 3)
    first, *rest = (part for _, part in cells.stream("x").split(whole))
    again = cells.from_many([cells.to_bytes(first), *map(in_format_2, rest)])
    assert np.array_equal(again.keys, whole.keys)
    assert again.counts.tolist() == whole.counts.tolist()


def test_keys_far_apart_are_kept_exactly() -> None:
    at = np.array([0, 9_999_999, 10_000_000, 3_599_000_000]) + 1_767_571_200_000_000
    found = cells.summarise(at, np.array([0, STRIDE - 1, 0, 7]), np.array([0, 31, 5, 1]))
    [(start, hour)] = cells.stream("x").split(found)
    assert start == START
    again = cells.from_many([cells.to_bytes(hour)])
    assert np.array_equal(again.keys, found.keys)
    assert again.places.tolist() == [0, 31, 5, 1]
    assert again.cells.tolist() == [0, 255, 0, 7]
