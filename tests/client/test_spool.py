from pathlib import Path

import pytest
from seqwatch.batch import Batch, Kind, pack
from seqwatch.spool import Spool, SpoolInUse

ROOM = 2**20


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
    spool = Spool(tmp_path if is_on_disk else None, ROOM)
    batches = _batches(5)
    assert all(spool.append(batch) for batch in batches)
    assert spool.n_rows == 5
    assert _drain(spool) == batches
    assert spool.n_rows == 0
    spool.close()


def test_what_was_not_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    batches = _batches(4)
    first = Spool(tmp_path, ROOM)
    for batch in batches[:3]:
        first.append(batch)
    first.close()
    second = Spool(tmp_path, ROOM)
    second.append(batches[3])
    assert _drain(second) == batches
    second.close()
    assert not list(tmp_path.glob("*.spool"))


def test_a_restart_sends_a_segment_again_until_all_of_it_is_acknowledged(
    tmp_path: Path,
) -> None:
    batches = _batches(2)
    first = Spool(tmp_path, ROOM)
    for batch in batches:
        first.append(batch)
    waiting = first.oldest()
    assert waiting is not None
    first.remove(waiting)
    first.close()
    second = Spool(tmp_path, ROOM)
    assert _drain(second) == batches
    second.close()


@pytest.mark.parametrize("n_lost", [1, 5, 40])
def test_a_torn_end_loses_only_the_torn_batch(tmp_path: Path, n_lost: int) -> None:
    batches = _batches(3)
    first = Spool(tmp_path, ROOM)
    for batch in batches:
        first.append(batch)
    first.close()
    (segment,) = tmp_path.glob("*.spool")
    segment.write_bytes(segment.read_bytes()[:-n_lost])
    second = Spool(tmp_path, ROOM)
    assert _drain(second) == batches[:2]
    second.close()


def test_a_damaged_batch_is_not_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOM)
    spool.append(_batches(1)[0])
    (segment,) = tmp_path.glob("*.spool")
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
    spool = Spool(tmp_path if is_on_disk else None, 2 * size)
    assert [spool.append(batch) for batch in batches] == [True, True, False]
    assert _drain(spool) == batches[:2]
    spool.close()


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOM)
    with pytest.raises(SpoolInUse, match="another process"):
        Spool(tmp_path, ROOM)
    spool.close()
    Spool(tmp_path, ROOM).close()


def test_segments_are_rotated_and_deleted_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqwatch.spool.SEGMENT_BYTES", 1)
    spool = Spool(tmp_path, ROOM)
    for batch in _batches(3):
        spool.append(batch)
    assert len(list(tmp_path.glob("*.spool"))) == 3
    waiting = spool.oldest()
    assert waiting is not None
    spool.remove(waiting)
    assert len(list(tmp_path.glob("*.spool"))) == 2
    _drain(spool)
    assert not list(tmp_path.glob("*.spool"))
    spool.close()


def test_a_folder_that_is_gone_leaves_the_batch_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, ROOM)
    (folder / "lock").unlink()
    folder.rmdir()
    batches = _batches(2)
    assert all(spool.append(batch) for batch in batches)
    assert _drain(spool) == batches
    spool.close()


def test_a_postponed_batch_lets_the_others_pass(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOM)
    batches = _batches(3)
    for batch in batches:
        spool.append(batch)
    waiting = spool.oldest()
    assert waiting is not None
    spool.postpone(waiting)
    assert _drain(spool) == [batches[1], batches[2], batches[0]]
    spool.close()
