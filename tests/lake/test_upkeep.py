"""Upkeep: few files and a short log, and every state that must stay readable does."""

from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from core.clock import utcnow
from core.durations import DAY, HOUR, MINUTE
from core.schema.rows import Kind
from core.window import Window
from lake import log_files, tables, upkeep
from lake.reading import Log, Snapshot
from tests.lake.test_lake import Place
from tests.streams import START, prediction

ALWAYS = Window(START, START + 30 * DAY)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def grow(place: Place, n: int, *, first: int = 1, pinned: tuple[int, ...] = ()) -> DeltaTable:
    """Append groups of one row, a quarter of an hour apart, as the archive does."""
    for number in range(first, first + n):
        at = START + number * 15 * MINUTE
        place.append(Kind.PREDICTIONS, [prediction(at, number)], number)
        upkeep.tidy(place.table(), lambda: pinned, utcnow())
    return place.table()


def folder(table: DeltaTable) -> Path:
    return Path(table.table_uri.removeprefix("file://"))


def on_disk(table: DeltaTable) -> int:
    return len([*folder(table).glob("day=*/*.parquet")])


def log_of(table: DeltaTable) -> list[Path]:
    return [*(folder(table) / log_files.LOG).iterdir()]


def n_checkpoints(table: DeltaTable) -> int:
    return len([path for path in log_of(table) if ".checkpoint." in path.name])


def ids(place: Place, snapshot: Snapshot | None = None) -> list[str]:
    log = place.log() if snapshot is None else place.log(snapshot)
    rows = log.predictions(ALWAYS, ["prediction_id"])
    assert rows is not None
    return sorted(rows["prediction_id"].to_pylist())


def test_a_day_of_appends_every_quarter_of_an_hour_leaves_few_files(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = grow(place, 100)
    assert on_disk(table) >= 100

    upkeep.compact(table)
    monkeypatch.setattr(upkeep, "READABLE", timedelta(0))  # they were replaced just now
    upkeep.drop(place.table(), (), utcnow())

    assert len(place.table().file_uris()) <= 8  # of three event days and a bit
    assert on_disk(place.table()) == len(place.table().file_uris())
    assert len(ids(place)) == 100
    assert sum(path.stat().st_size for path in log_of(table)) < 1_000_000


def test_entries_of_the_log_go_after_a_day_but_for_what_opens_the_newest_state(
    place: Place,
) -> None:
    table = grow(place, 205)
    assert n_checkpoints(table) >= 2
    before = len(log_of(table))

    upkeep.drop(table, (), utcnow())
    assert len(log_of(table)) == before
    upkeep.drop(table, (), utcnow() + 2 * DAY)

    assert len(log_of(table)) < before / 2
    assert len(ids(place)) == 205
    grow(place, 3, first=206)
    assert len(ids(place)) == 208


def test_a_state_that_a_training_learnt_from_stays_readable(place: Place) -> None:
    grow(place, 40)
    pinned = place.log().snapshot
    assert pinned.predictions is not None
    then = ids(place, pinned)
    table = grow(place, 110, first=41, pinned=(pinned.predictions,))

    upkeep.drop(table, (pinned.predictions,), utcnow() + 2 * DAY)

    assert ids(place, pinned) == then
    assert len(then) == 40
    assert len(ids(place)) == 150
    again = DeltaTable(table.table_uri, version=pinned.predictions)
    assert again.to_pyarrow_table().num_rows == 40


def test_files_that_a_reader_may_still_read_stay_for_hours(place: Place) -> None:
    grow(place, upkeep.EVERY - 2)
    reader = place.log()
    assert isinstance(reader, Log)
    table = grow(place, 8, first=upkeep.EVERY - 1)

    upkeep.drop(table, (), utcnow() + HOUR)

    rows = reader.predictions(ALWAYS, ["prediction_id"])
    assert rows is not None
    assert rows.num_rows == upkeep.EVERY - 2


def test_the_newest_day_is_compacted_once_it_is_crowded(place: Place) -> None:
    for number in range(1, upkeep.CROWDED_NEWEST + 1):
        assert upkeep.compact(place.table()) == 0 if number > 1 else True
        place.append(Kind.PREDICTIONS, [prediction(START, number)], number)

    assert upkeep.compact(place.table()) == 1
    assert tables.files_by_day(place.table())[START.date()] == 1
    assert len(ids(place)) == upkeep.CROWDED_NEWEST
