"""Unpacking costs linear time, and no key waits for all that another has sent."""

import asyncio
import gzip
import os
import time
from typing import Any
from uuid import uuid4

import pytest

from api.ingestion.ingest import Unpacker
from core.errors import Busy
from services.access.rate_limits import Allowed, BodyLimiter, Reservation
from services.ingest.formats.decompress import Packing, unpack

EMPTY = gzip.compress(b"")
ALLOWED = Allowed(
    body_bytes=2**25, rows=1, rows_per_second=0.0, burst_rows=0.0, waiting_bytes=2**27
)


def seconds_of(packed: bytes, packing: Packing) -> float:
    started = time.process_time()
    unpack(packed, packing, 2**25)
    return time.process_time() - started


@pytest.mark.parametrize(
    ("packing", "piece"),
    [
        pytest.param(Packing.GZIP, EMPTY, id="empty members"),
        pytest.param(Packing.GZIP, gzip.compress(b"[1]"), id="small members"),
        pytest.param(Packing.ZSTD, bytes.fromhex("28b52ffd2000010000"), id="empty frames"),
        pytest.param(Packing.ZSTD, bytes.fromhex("502a4d1800000000"), id="frames to skip"),
    ],
)
def test_unpacking_takes_linear_time(packing: Packing, piece: bytes) -> None:
    n = 3 * 2**20 // len(piece)
    few = min(seconds_of(piece * (n // 8), packing) for _ in range(3))
    assert seconds_of(piece * n, packing) < 8 * 4 * few + 0.1


def test_all_members_are_read() -> None:
    packed = b"".join(gzip.compress(b"%d," % i) + EMPTY for i in range(1000))
    assert unpack(packed, Packing.GZIP, 2**20) == b"".join(b"%d," % i for i in range(1000))


def test_a_body_waits_for_no_more_than_one_of_every_other_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[bytes] = []

    def note(body: bytes, packing: Packing, max_bytes: int) -> bytes:
        order.append(body[:1])
        return body

    monkeypatch.setattr("api.ingestion.ingest.unpack", note)
    monkeypatch.setattr("api.ingestion.ingest.N_UNPACKING", 1)  # threads run in any order

    async def come() -> None:
        unpacker, limiter = Unpacker(), BodyLimiter(2**30)
        one, other = uuid4(), uuid4()

        async def send(key: Any, name: bytes) -> None:
            await unpacker(name * 10_000, Packing.GZIP, Reservation(limiter, key, ALLOWED))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(send(one, b"1"))
            await asyncio.sleep(0)
            tasks.create_task(send(other, b"2"))
        assert unpacker._turns == {}

    asyncio.run(come())
    assert order.index(b"2") <= 2


def test_what_was_unpacked_needs_room_too() -> None:
    limiter = BodyLimiter(2**22)
    packed = gzip.compress(os.urandom(3 * 2**18).hex().encode())

    async def come(reservation: Reservation) -> None:
        await Unpacker()(packed, Packing.GZIP, reservation)

    first, second = (Reservation(limiter, uuid4(), ALLOWED) for _ in range(2))
    asyncio.run(come(first))
    with pytest.raises(Busy):
        asyncio.run(come(second))
    first.release()
    asyncio.run(come(second))
    second.release()
    assert limiter.n_bytes == 0
