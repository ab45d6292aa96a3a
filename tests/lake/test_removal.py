"""What nobody can read any more is removed from a table, what anybody may read stays."""

import json
import os
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from deltalake import DeltaTable

from core.clock import utcnow
from core.durations import DAY, HOUR
from core.lake_root import LakeRoot
from core.schema.rows import Kind
from lake import erase, storage, tables, upkeep
from tests.streams import CONTRACT, START, prediction, table

LATER = 3 * DAY


class Place:
    """The predictions of one model."""

    def __init__(self, root: Path) -> None:
        self._root, self._model_id, self._n = root, uuid4(), 0
        tables.create_table(root, self._model_id, Kind.PREDICTIONS, CONTRACT)
        self.folder = root / str(self._model_id) / "predictions"

    def table(self) -> DeltaTable:
        found = tables.open_table(self._root, self._model_id, Kind.PREDICTIONS)
        assert found is not None
        return found

    def append(self, n: int = 1, n_days: int = 1) -> DeltaTable:
        newest = self.table()
        for _ in range(n):
            self._n += 1
            rows = [prediction(START + (self._n % n_days) * DAY, self._n)]
            of = tables.stamped(Kind.PREDICTIONS, CONTRACT, table(Kind.PREDICTIONS, rows))
            tables.append(newest := self.table(), of, self._n)
        return newest

    def files(self) -> set[str]:
        return {f"{p.parent.name}/{p.name}" for p in self.folder.glob("day=*/*")}

    def log(self) -> set[str]:
        return {p.name for p in self.folder.glob("_delta_log/*")}

    def n_rows(self, version: int | None = None) -> int:
        """Return what a reader without this platform finds."""
        return int(DeltaTable(str(self.folder), version=version).to_pyarrow_table().num_rows)

    def age(self, by: timedelta) -> None:
        """Let all that there is be written and removed so long ago."""
        then = (utcnow() - by).timestamp()
        for path in self.folder.rglob("*"):
            if path.suffix == ".json":
                actions = [json.loads(line) for line in path.read_text().splitlines()]
                for action in actions:
                    if "remove" in action:
                        action["remove"]["deletionTimestamp"] = int(then * 1000)
                path.write_text("".join(json.dumps(action) + "\n" for action in actions))
            if path.is_file():
                os.utime(path, (then, then))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "lake")


def test_pinned_versions_stay_readable_by_any_reader_through_months_of_upkeep(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "EVERY", 8)
    pinned: dict[int, int] = {}
    for i in range(1, 221):
        newest = place.append(n_days=3)
        if i in (5, 96, 104, 150):
            pinned[newest.version()] = i
        if newest.version() % 40 == 0:
            place.age(LATER)
            newest = place.table()
        upkeep.tidy(newest, lambda: [*pinned, 10_000], utcnow())
    assert {version: place.n_rows(version) for version in pinned} == pinned
    assert place.n_rows() == 220
    assert len(place.files()) < 220
    assert len(place.log()) < 220


def forget_removed(place: Place) -> None:
    """Compact, and write a checkpoint when Delta has forgotten what was removed."""
    assert upkeep.compact(place.table()) == 1
    place.age(LATER)
    place.table().create_checkpoint()
    place.append()


def test_files_that_the_log_has_forgotten_are_removed_unless_a_version_is_pinned(
    place: Place,
) -> None:
    pinned = place.append(20).version()
    (place.folder / "day=2026-01-05/part-of-a-dead-writer.parquet").write_bytes(b"")
    forget_removed(place)
    (place.folder / "day=2026-01-05/part-of-a-writer.parquet").write_bytes(b"")

    upkeep.drop(place.table(), [pinned], utcnow())
    assert place.n_rows(pinned) == 20
    assert "day=2026-01-05/part-of-a-dead-writer.parquet" not in place.files()

    upkeep.drop(place.table(), [], utcnow())
    assert len(place.files()) == 3  # the compacted one, the newest, and that of a writer
    assert place.n_rows() == 21


def test_files_of_deleted_days_are_removed_although_the_log_has_forgotten_them(
    place: Place,
) -> None:
    place.append(20)
    forget_removed(place)

    tomorrow = (START + DAY).date()
    assert erase.delete_days(place.table(), tomorrow) == 21
    assert erase.drop_files(place.table(), tomorrow) == 22
    assert place.files() == set()
    assert erase.drop_files(place.table(), tomorrow) == 0


def test_a_checkpoint_that_was_just_written_replaces_no_entries_yet(place: Place) -> None:
    place.append(30)
    place.age(LATER)
    entries = place.log()
    place.table().create_checkpoint()

    upkeep.drop(place.table(), [], utcnow())
    assert entries <= place.log()

    upkeep.drop(place.table(), [], utcnow() + upkeep.READABLE + HOUR)
    assert not entries & place.log() - {"00000000000000000030.json"}


def test_an_erasure_keeps_what_it_counts_by(place: Place) -> None:
    newest = place.append(upkeep.EVERY)
    place.age(LATER)
    place.table().create_checkpoint()
    entries = place.log()
    upkeep.tidy(newest, lambda: None, utcnow() + DAY)
    assert entries <= place.log()


def test_files_of_a_dead_writer_are_removed_wherever_the_lake_is(
    lake_root: LakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "READABLE", timedelta(0))
    model_id, kind = uuid4(), Kind.PREDICTIONS
    of = tables.create_table(lake_root, model_id, kind, CONTRACT)
    for number in (1, 2, 3):
        of = tables.create_table(lake_root, model_id, kind, CONTRACT)
        rows = table(kind, [prediction(START, number)])
        tables.append(of, tables.stamped(kind, CONTRACT, rows), number)
    with storage.file_system(of).open_output_stream("day=2026-01-05/part-0.parquet") as file:
        file.write(b"")
    assert len(erase.files(of)) == 4
    assert upkeep.drop(of, [], utcnow() + HOUR) == 1
    assert len(erase.files(of)) == 3
    again = tables.create_table(lake_root, model_id, kind, CONTRACT)
    assert (tables.last_group(again), again.to_pyarrow_table().num_rows) == (3, 3)
