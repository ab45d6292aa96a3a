"""A day of more rows than are joined at once: in parts, with the same result."""

import os
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from core.durations import HOUR, MINUTE
from core.schema.feature import Dtype, Feature
from core.schema.rows import Kind
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import Model, RepeatDay, SummaryRow
from lake.partition import hashes, parts
from services.labels import day_parts
from services.labels.error_days import ERRORS
from services.labels.label_join import join
from tests.join.conftest import AT, TODAY, World
from tests.killed import assert_killed
from tests.streams import CONTRACT, keep, label, prediction, table

N = 300
AREAS = ("north", "south")


def _rows(n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    return [
        prediction(
            AT + i * MINUTE,
            prediction_id=f"p{i}" * (1 + i % 3),
            version=f"v{i % 2}",
            shadow=bool(i % 5 == 0),
            entity=None if i % 11 == 0 else f"e{i % 7}",
            output={"load": rng.normal(size=3).tolist()} if i % 13 else None,
            features={"load": [1.0], "wind": [2.0], "area": [AREAS[i % 2]]},
        )
        for i in range(n)
    ]


def _labels(rows: list[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
    by_id = [
        label(
            None, rng.normal(size=k).tolist(), prediction_id=row["prediction_id"], arrived_at=at
        )
        for row in rows[::2]
        for k, at in ((3, AT + 9 * HOUR), (2, AT + int(rng.integers(1, 24)) * HOUR))
    ]
    others = [label(None, [1.0], prediction_id=f"other-{i}") for i in range(N)]
    by_time = [
        label(row["at"] + HOUR, rng.normal(size=2).tolist(), entity=row["entity"])
        for row in rows[::3]
        if row["entity"]
    ]
    return [*by_id, *others, *by_time]


@pytest.mark.parametrize("segment_by", ["", "entity", "area"])
def test_a_day_joined_in_parts_has_the_sums_of_the_whole_day(
    world: World, segment_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    area = Feature(name="area", dtype=Dtype.CATEGORY, vocabulary=AREAS)
    contract = replace(CONTRACT, features=(*CONTRACT.features, area), segment_by=segment_by)
    with unit_of_work(world.sessions) as session:
        session.get_one(Model, world.model_id).contract = contract
    rows = _rows(N, rng)
    again = [row | {"received_at": AT + 5 * HOUR, "output": None} for row in rows[:20]]
    for kind, some in (
        (Kind.PREDICTIONS, rows),
        (Kind.PREDICTIONS, again),
        (Kind.LABELS, _labels(rows, rng)),
    ):
        keep(world.sessions, world.model_id, kind, table(kind, some, contract))
    world.settle()
    whole = _stored(world)
    assert len(whole) >= 4
    assert _repeated(world) == 20

    monkeypatch.setattr(day_parts, "ROWS_OF_PART", 50)
    with unit_of_work(world.sessions) as session:
        positions.mark_dirty(session, world.model_id, [TODAY], 99)
    assert join(world.sessions, world.lake, world.model_id) == 1
    parts = _stored(world)

    assert parts.keys() == whole.keys()
    for key, payload in whole.items():
        found, expected = ERRORS.from_bytes(parts[key]), ERRORS.from_bytes(payload)
        assert found.n_predictions == expected.n_predictions, key
        np.testing.assert_allclose(found.cells, expected.cells, rtol=1e-9, err_msg=str(key))
    assert _repeated(world) == 20


def _stored(world: World) -> dict[tuple[str, str], bytes]:
    with read_only(world.sessions) as session:
        found = session.scalars(
            select(SummaryRow).where(
                SummaryRow.model_id == world.model_id, SummaryRow.stream.like("%errors%")
            )
        )
        return {(row.stream, row.version): row.payload for row in found}


def _repeated(world: World) -> int | None:
    with read_only(world.sessions) as session:
        return session.scalar(select(func.sum(RepeatDay.n)))


def test_equal_texts_have_equal_hashes_and_others_nearly_never() -> None:
    texts = ["", "a", "b", "ab", "ba", "a" * 8, "a" * 9, "é", *map(str, range(100_000))]
    found = hashes(pa.array(texts))
    assert len(set(found.tolist())) == len(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = pa.array([texts[i] for i in order])
    np.testing.assert_array_equal(hashes(shuffled), found[order])
    np.testing.assert_array_equal(hashes(shuffled.slice(500, 300)), found[order][500:800])
    assert hashes(pa.array([], pa.string())).size == 0


def test_hashes_spread_evenly_over_parts() -> None:
    n, n_parts = 200_000, 16
    for texts in ([f"{i:012}" for i in range(n)], [f"key-{i}-suffix" for i in range(n)]):
        counts = np.bincount((hashes(pa.array(texts)) >> np.uint64(8)) % np.uint64(n_parts))
        expected = n / n_parts
        assert abs(counts - expected).max() < 6 * np.sqrt(expected)


def _killed_while_it_joins(folder: str) -> None:
    tempfile.tempdir = folder
    with parts(4) as room:
        room.write("predictions", pa.table({"prediction_id": ["a", "b"]}).to_batches())
        os.kill(os.getpid(), signal.SIGKILL)


def test_parts_of_a_process_that_was_killed_are_removed_by_the_next_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_killed(_killed_while_it_joins, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (abandoned,) = tmp_path.iterdir()
    with parts(1):
        (own,) = {*tmp_path.iterdir()} - {abandoned}
        for lock in tmp_path.glob("*/lock"):
            os.utime(lock, (0, 0))
        with parts(1):
            assert own.exists()
            assert not abandoned.exists()
    assert [*tmp_path.iterdir()] == []
