import shutil
from pathlib import Path

import pytest
from seqwatch.delivery.batch import Batch, Kind, pack
from seqwatch.delivery.spool import Spool

ROOM = 2**20


def _open(base: Path | None, max_bytes: int = ROOM, max_memory_bytes: int = ROOM) -> Spool:
    spool = Spool(base, max_bytes, max_memory_bytes)
    spool.open()
    return spool


def _batches(count: int) -> list[Batch]:
    return [pack(Kind.PREDICTIONS, [b'{"prediction_id":"p-%d"}' % i]) for i in range(count)]


def _drain(spool: Spool) -> list[Batch]:
    drained = []
    while waiting := spool.oldest():
        batch = spool.read(waiting)
        assert batch is not None
        drained.append(batch)
        spool.remove(waiting)
    return drained


@pytest.mark.parametrize("is_on_disk", [True, False], ids=["on disk", "in memory"])
def test_batches_come_out_in_the_order_they_went_in(tmp_path: Path, is_on_disk: bool) -> None:
    spool = _open(tmp_path if is_on_disk else None)
    batches = _batches(5)
    assert all(spool.append(batch) for batch in batches)
    assert spool.n_rows == 5
    assert _drain(spool) == batches
    assert spool.n_rows == 0
    spool.close()


def test_what_was_not_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    batches = _batches(4)
    first = _open(tmp_path)
    for batch in batches[:3]:
        first.append(batch)
    first.close()
    second = _open(tmp_path)
    second.append(batches[3])
    assert _drain(second) == batches
    second.close()
    assert not list(tmp_path.glob("*/*.spool"))


def test_a_restart_sends_a_segment_again_until_all_of_it_is_acknowledged(
    tmp_path: Path,
) -> None:
    batches = _batches(2)
    first = _open(tmp_path)
    for batch in batches:
        first.append(batch)
    waiting = first.oldest()
    assert waiting is not None
    first.remove(waiting)
    first.close()
    second = _open(tmp_path)
    assert _drain(second) == batches
    second.close()


@pytest.mark.parametrize("n_lost", [1, 5, 40])
def test_a_torn_end_loses_only_the_torn_batch(tmp_path: Path, n_lost: int) -> None:
    batches = _batches(3)
    first = _open(tmp_path)
    for batch in batches:
        first.append(batch)
    first.close()
    (segment,) = tmp_path.glob("*/*.spool")
    segment.write_bytes(segment.read_bytes()[:-n_lost])
    second = _open(tmp_path)
    assert _drain(second) == batches[:2]
    second.close()


def test_a_damaged_batch_is_not_read(tmp_path: Path) -> None:
    spool = _open(tmp_path)
    spool.append(_batches(1)[0])
    (segment,) = tmp_path.glob("*/*.spool")
    stored = bytearray(segment.read_bytes())
    stored[-1] ^= 1
    segment.write_bytes(stored)
    waiting = spool.oldest()
    assert waiting is not None
    assert spool.read(waiting) is None
    spool.close()


@pytest.mark.parametrize("is_on_disk", [True, False], ids=["on disk", "in memory"])
def test_a_full_spool_takes_no_more_and_keeps_what_it_has(
    tmp_path: Path, is_on_disk: bool
) -> None:
    batches = _batches(3)
    size = len(batches[0].to_bytes())
    spool = _open(tmp_path if is_on_disk else None, 2 * size, 2 * size)
    assert [spool.append(batch) for batch in batches] == [True, True, False]
    assert _drain(spool) == batches[:2]
    spool.close()


def test_each_process_takes_a_folder_of_its_own(tmp_path: Path) -> None:
    first, second = _open(tmp_path), _open(tmp_path)
    for spool, batch in zip((first, second), _batches(2), strict=True):
        spool.append(batch)
    assert len(list(tmp_path.glob("*/*.spool"))) == 2
    assert first.n_rows == second.n_rows == 1
    first.close()
    second.close()


def test_what_dead_processes_left_is_adopted_once_each_when_they_are_dead(
    tmp_path: Path,
) -> None:
    batches = _batches(4)
    dead = [_open(tmp_path) for _ in range(3)]
    for spool, batch in zip(dead, batches, strict=False):
        spool.append(batch)
    alive = _open(tmp_path)
    alive.append(batches[3])
    alive.adopt()
    assert alive.n_recovered == 0
    for spool in dead:
        spool.close()
    alive.adopt()
    other = _open(tmp_path)
    other.adopt()
    assert (alive.n_recovered, other.n_recovered) == (3, 0)
    assert {b.batch_id for b in _drain(alive)} == {b.batch_id for b in batches}
    assert not list(tmp_path.glob("*/*.spool"))
    other.close()
    alive.close()


def test_what_an_adopting_process_did_not_send_is_left_to_the_next(tmp_path: Path) -> None:
    first, second = _open(tmp_path), _open(tmp_path)
    batches = _batches(2)
    first.append(batches[0])
    second.append(batches[1])
    first.close()
    second.adopt()
    second.close()
    third = _open(tmp_path)
    third.adopt()
    assert sorted(b.batch_id for b in _drain(third)) == sorted(b.batch_id for b in batches)
    third.close()


def test_a_spool_of_the_first_release_is_adopted(tmp_path: Path) -> None:
    (batch,) = _batches(1)
    first = _open(tmp_path)
    first.append(batch)
    first.close()
    (segment,) = tmp_path.glob("*/*.spool")
    segment.rename(tmp_path / segment.name)
    second = _open(tmp_path)
    second.adopt()
    assert _drain(second) == [batch]
    assert not list(tmp_path.glob("*.spool"))
    second.close()


def test_segments_are_rotated_and_deleted_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqwatch.delivery.spool.SEGMENT_BYTES", 1)
    spool = _open(tmp_path)
    for batch in _batches(3):
        spool.append(batch)
    assert len(list(tmp_path.glob("*/*.spool"))) == 3
    waiting = spool.oldest()
    assert waiting is not None
    spool.remove(waiting)
    assert len(list(tmp_path.glob("*/*.spool"))) == 2
    _drain(spool)
    assert not list(tmp_path.glob("*/*.spool"))
    spool.close()


def test_a_folder_that_is_gone_leaves_the_batch_in_memory_and_bounded(
    tmp_path: Path,
) -> None:
    batches = _batches(3)
    size = len(batches[0].to_bytes())
    spool = _open(tmp_path / "spool", max_memory_bytes=2 * size)
    shutil.rmtree(tmp_path / "spool")
    assert [spool.append(batch) for batch in batches] == [True, True, False]
    assert _drain(spool) == batches[:2]
    assert spool.append(batches[2])
    spool.close()


def test_a_postponed_batch_lets_the_others_pass(tmp_path: Path) -> None:
    spool = _open(tmp_path)
    batches = _batches(3)
    for batch in batches:
        spool.append(batch)
    waiting = spool.oldest()
    assert waiting is not None
    spool.postpone(waiting)
    assert _drain(spool) == [batches[1], batches[2], batches[0]]
    spool.close()
