"""Random days: joined whole, in parts, and by a reference that only reads row after row."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import numpy as np
import pyarrow as pa
import pytest

from core.durations import DAY, HOUR, MINUTE
from core.schema import task
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature
from core.schema.rows import REFERENCE, TIME, Kind
from core.schema.task import LabelKey
from core.schema.zone import Zone
from lake import labels, tables
from lake.labels import Labels
from lake.matching import actuals_by_entity, first_received
from lake.reading import Log
from services.aggregation.segments import grown
from services.labels import day_parts
from services.labels.day_parts import columns, of_day
from services.labels.label_match import lag_of
from tasks.forecast import TASK as NUMBERS
from tests.plugins.seqwatch_test_plugins.tagging import TASK as LISTS
from tests.streams import CONTRACT, label, prediction, table

DATE = date(2026, 3, 29)  # 23 hours in Berlin
TARGETS = ("load", "heat")
AREAS = ("north", "süd", "")
WORDS = ("up", "down")
TEXTS = (
    "a",
    "ü",
    "日本",
    "x" * 200,
    "é" * 60,
    "12345678",
    "123456789",
    "e\u0301",
    "\U0001f600",
)
SEASON = 3  # steps

T = TypeVar("T")
Row = dict[str, Any]
Cell = tuple[float | None, datetime]  # a value, and when it arrived


class Day:
    """Random predictions and labels around one local day."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.is_lists = bool(seed % 4 == 3)
        area = Feature(name="area", dtype=Dtype.CATEGORY, vocabulary=AREAS[:2], optional=True)
        self.contract = Contract(
            features=(Feature(name="load"), area),
            targets=TARGETS,
            label_map=WORDS if self.is_lists else (),
            step=self.pick([HOUR, 7 * MINUTE, timedelta(seconds=1), 9 * HOUR]),
            input_length=4,
            horizon=int(self.rng.integers(1, 5)),
            zone=self.pick(["UTC", "Europe/Berlin", "Pacific/Auckland"]),
            segment_by=self.pick(["", "entity", "area"]),
        )
        base = LISTS if self.is_lists else NUMBERS
        lacks = {LabelKey.INTERVAL} if self.is_lists else set()
        self.task = replace(base, keys=frozenset({*LabelKey} - lacks))
        self.window = Zone(self.contract.zone).bounds(DATE)

    def pick(self, values: Sequence[T]) -> T:
        return values[int(self.rng.integers(len(values)))]

    def text(self, prefix: str, n: int) -> str:
        return prefix + self.pick(TEXTS) + str(int(self.rng.integers(n)))

    def moment(self) -> datetime:
        """Return a time at which a prediction may be made: within the day, or just not."""
        span = self.window.end - self.window.start
        if self.rng.random() < 0.1:
            return self.pick([self.window.start, self.window.end, self.window.start - MINUTE])
        step = min(self.contract.step, HOUR)
        jitter = timedelta(microseconds=int(self.rng.integers(3)))
        return self.window.start + int(self.rng.integers(span // step)) * step + jitter

    def values(self, n: int) -> list[Any]:
        if self.is_lists:
            return [self.pick(WORDS) for _ in range(n)]
        bad = [None, float("nan"), float("inf")]
        return [
            self.pick(bad) if self.rng.random() < 0.2 else self.rng.normal() for _ in range(n)
        ]

    def lists(self, n: int) -> Row:
        return {
            name: None if self.rng.random() < 0.1 else self.values(int(self.rng.integers(n)))
            for name in TARGETS
        }

    def predictions(self, n: int) -> list[Row]:
        made = []
        for i in range(n):
            at, rng = self.moment(), self.rng
            is_step = rng.random() < 0.5
            day = "" if self.window.start <= at < self.window.end else "of another day "
            row = prediction(
                at,
                prediction_id=day
                + (self.text("", n) if rng.random() < 0.7 else self.pick(TEXTS)),
                version=REFERENCE if rng.random() < 0.05 else self.pick(["v1", "v2"]),
                entity=None if rng.random() < 0.2 else self.text("", 2),
                session_id=self.text("s", 2) if is_step else None,
                step_index=int(rng.integers(4)) if is_step else None,
                shadow=bool(rng.random() < 0.3),
                features={"load": [1.0], "area": [self.pick(AREAS)]},
                output=None if rng.random() < 0.1 else self.lists(self.contract.horizon + 2),
                received_at=self.window.start + i * HOUR / 7,
            )
            made.append(row)
        return made

    def labels(self, n: int, of: list[Row]) -> list[Row]:
        return [self.label(i, self.pick(of)) for i in range(n)]

    def label(self, i: int, about: Row) -> Row:
        rng, step = self.rng, self.contract.step
        row: Row = label(None, []) | {
            "actual": self.lists(self.contract.horizon + 3),
            "arrived_at": self.window.start + int(rng.permutation(50)[0]) * DAY + i * MINUTE,
            "received_at": self.window.start + self.pick([-3, 0, 1, 400]) * DAY + i * HOUR,
        }
        keys = [key for key in LabelKey if key in self.task.keys and rng.random() < 0.4]
        if LabelKey.PREDICTION_ID in keys:
            row["prediction_id"] = about["prediction_id"]
        if LabelKey.SESSION_STEP in keys:
            row |= {name: about[name] for name in ("session_id", "step_index")}
        if LabelKey.TARGET_AT in keys or LabelKey.INTERVAL in keys:
            off = (
                0
                if self.is_lists
                else int(rng.integers(-SEASON - 4, self.contract.horizon + 3))
            )
            row |= {"entity": about["entity"], "target_at": about["at"] + off * step}
            if rng.random() < 0.1:
                row["target_at"] += self.pick([-90, 90]) * DAY
        if LabelKey.INTERVAL in keys:
            row["target_end"] = row["target_at"] + int(rng.integers(1, 5)) * step / 2
        return row


def write(day: Day, root: Path, model_id: UUID, kind: Kind, rows: list[Row]) -> None:
    for i in range(3):
        some = table(kind, rows[i::3], day.contract)
        delta = tables.create_table(root, model_id, kind, day.contract)
        tables.append(delta, tables.stamped(kind, day.contract, some), i + 1)


class Reference:
    """The join, as it is defined: every label beside every prediction."""

    def __init__(self, day: Day, predictions: list[Row], found: list[Row]) -> None:
        self.contract, self.is_lists = day.contract, day.is_lists
        inside = [
            row
            for row in predictions
            if day.window.start <= row["at"] < day.window.end and row["version"] != REFERENCE
        ]
        self.since = min((row["received_at"] for row in inside), default=day.window.end) - DAY
        self.rows: dict[str, Row] = {}
        for row in sorted(inside, key=lambda row: row["received_at"]):
            self.rows.setdefault(row["prediction_id"], row)
        self.n_repeated = len(inside) - len(self.rows)
        self.found = sorted(found, key=lambda row: (row["arrived_at"], row["received_at"]))

    def values(self, row: Row) -> list[list[float]]:
        """Return the value of each step and target."""
        steps, times = range(self.contract.horizon), self.times(row)
        return [
            [self.last(self.cells(row, step, times[step], name)) for name in TARGETS]
            for step in steps
        ]

    def naive(self, row: Row, lag: list[timedelta]) -> list[list[float]]:
        return [
            [self.last(self.at(row, at - lag[step], name)) for name in TARGETS]
            for step, at in enumerate(self.times(row))
        ]

    def whole(self, row: Row) -> Row | None:
        last = None
        for one in self.found:
            is_at = one["target_at"] == row["at"] and self.is_of(one, row, "entity")
            if self.is_named(one, row) or is_at:
                last = one["actual"]
        return last

    def times(self, row: Row) -> list[datetime]:
        step = self.contract.step
        return [row["at"] + (i + 1) * step for i in range(self.contract.horizon)]

    def cells(self, row: Row, step: int, at: datetime, name: str) -> Iterator[Cell]:
        for one in self.found:
            values = one["actual"][name] or []
            if self.is_named(one, row) and step < len(values):
                yield values[step], one["arrived_at"]
            end = one.get("target_end")
            is_inside = end is not None and one["target_at"] <= at < end
            if is_inside and self.is_of(one, row, "entity") and values:
                yield values[0], one["arrived_at"]
        yield from self.at(row, at, name)

    def at(self, row: Row, at: datetime, name: str) -> Iterator[Cell]:
        for one in self.found:
            if one.get("target_end") is None and one["target_at"] is not None:
                for i, value in enumerate(one["actual"][name] or []):
                    when = one["target_at"] + i * self.contract.step
                    if when == at and self.is_of(one, row, "entity"):
                        yield value, one["arrived_at"]

    def is_named(self, one: Row, row: Row) -> bool:
        by_step = (
            self.is_of(one, row, "session_id")
            and one.get("step_index") is not None
            and one["step_index"] == row["step_index"]
        )
        is_one = self.is_of(one, row, "prediction_id") or by_step
        return is_one and one["received_at"] >= self.since

    @staticmethod
    def is_of(one: Row, row: Row, name: str) -> bool:
        return one.get(name) is not None and one[name] == row[name]

    @staticmethod
    def last(cells: Iterator[Cell]) -> float:
        there = [(v, at) for v, at in cells if v is not None and isfinite(v)]
        return max(there, key=lambda cell: cell[1])[0] if there else float("nan")


def check(day: Day, root: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(task, "of", lambda _: day.task)
    predictions = day.predictions(int(day.rng.integers(1, 40)))
    found = day.labels(int(day.rng.integers(0, 80)), predictions)
    model_id = uuid4()
    write(day, root, model_id, Kind.PREDICTIONS, predictions)
    if found:
        write(day, root, model_id, Kind.LABELS, found)
    reference, contract = Reference(day, predictions, found), day.contract
    of_table = table(Kind.PREDICTIONS, predictions, contract)
    names = grown(of_table, contract, {})
    lag = lag_of(contract, SEASON)
    back = timedelta(microseconds=int(lag.max(initial=0)))
    n_parts = []
    for size in (1_000_000, 7, 1):
        monkeypatch.setattr(day_parts, "ROWS_OF_PART", size)
        ids, n_repeated, n = list[str](), 0, 0
        for part in of_day(Log(root, model_id), contract, names, day.window, back):
            n_repeated, n = n_repeated + part.n_repeated, n + 1
            ids += part.rows["prediction_id"].to_pylist()
            for version, shadow, first, n_rows in part.groups():
                some = part.rows.slice(first, n_rows)
                assert set(some["version"].to_pylist()) == {version}
                assert set(some["shadow"].to_pylist()) == {shadow}
                compare(reference, part.labels, some, first, lag, names)
        assert sorted(ids) == sorted(reference.rows), size
        assert n_repeated == reference.n_repeated
        n_parts.append(n)
    if reference.rows:
        history = Log(root, model_id)
        rows = history.predictions(day.window, columns(contract), day_parts._SERVED)
        rows, _ = first_received(rows)
        read = labels.read(
            history, contract, rows, labels.span(contract, rows, 0 if day.is_lists else lag)
        )
        compare(reference, Labels(contract, rows, read), rows, 0, lag, names)
    return n_parts[-1]


def compare(
    reference: Reference, of: Labels, rows: pa.Table, start: int, lag: Any, names: Any
) -> None:
    n, contract = rows.num_rows, reference.contract
    expected = [reference.rows[name] for name in rows["prediction_id"].to_pylist()]
    for row, one in zip(expected, rows.to_pylist(), strict=True):
        for name in ("at", "entity", "output", "version", "shadow", "received_at"):
            assert repr(row[name]) == repr(one[name]) or row[name] == one[name], name
        if "segment" in one:
            text = (
                row["features"]["area"][0] if contract.segment_by == "area" else row["entity"]
            )
            assert names.get(one["segment"]) == (text if text in names.values() else None)
    if reference.is_lists:
        found = of.lists(start, n)
        whole = [None] * n if found is None else found[0].to_pylist()
        assert whole == [reference.whole(row) for row in expected]
        return
    values, _ = of.values(start, n)
    np.testing.assert_array_equal(values, [reference.values(row) for row in expected])
    before = of.before(lag, start, n)
    lags = [timedelta(microseconds=int(each)) for each in lag]
    naive = np.array([reference.naive(row, lags) for row in expected])
    np.testing.assert_array_equal(
        np.full_like(naive, np.nan) if before is None else before, naive
    )


@pytest.mark.parametrize(
    "seeds",
    [
        range(24),
        *(
            pytest.param(range(i, i + 60), marks=pytest.mark.slow)
            for i in (24, 84, 144, 204, 264)
        ),
    ],
    ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}",
)
def test_a_random_day_is_joined_as_the_reference_joins_it(
    seeds: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_parts = []
    for seed in seeds:
        try:
            n_parts.append(check(Day(seed), tmp_path, monkeypatch))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    assert max(n_parts) > 5


def test_labels_of_very_many_entities_at_any_microsecond_are_each_found() -> None:
    n, year = 300_000, 400 * DAY // timedelta(microseconds=1)
    contract = replace(CONTRACT, step=DAY, horizon=400)
    rng = np.random.default_rng(0)
    entities = pa.array([f"e{i}" for i in range(n)])
    when, values = rng.integers(0, year, n), rng.normal(size=n)
    lists = pa.ListArray.from_arrays(pa.array(np.arange(n + 1), pa.int32()), pa.array(values))
    columns = {"entity": entities, "actual": pa.StructArray.from_arrays([lists], ["load"])}
    times = dict.fromkeys(("target_at", "arrived_at", "received_at"), pa.array(when, TIME))
    found = actuals_by_entity([pa.table(columns | times)], contract, entities)
    at, _ = found.at(np.arange(n), when[:, None])
    np.testing.assert_array_equal(at[:, 0, 0], values)
    off, _ = found.at(np.arange(n), when[:, None] + 1)
    assert np.isnan(off).all()
