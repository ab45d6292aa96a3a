"""A small Arrow body that would be large is refused before it is unpacked."""

import random
import struct

import pyarrow as pa
import pytest

from core.errors import Malformed, TooLarge
from services.ingest.formats.arrow_sizes import refuse_bombs

LIMIT = 2**20


def body(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


LARGE = pa.array([0.0] * 1_000_000)
WORDS = pa.array(["x" * 2**22, "y"]).dictionary_encode()


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize(
    "column",
    [
        pytest.param(LARGE, id="numbers"),
        pytest.param(pa.array([["z" * 2**21]]), id="text in lists"),
        pytest.param(WORDS, id="a dictionary"),
    ],
)
def test_a_bomb_is_refused(compression: str, column: pa.Array) -> None:
    small = body(pa.table({"x": column}), compression)
    assert len(small) < LIMIT
    with pytest.raises(TooLarge):
        refuse_bombs(small, LIMIT)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_what_fits_is_let_through(compression: str | None) -> None:
    table = pa.table({"x": [float(i) for i in range(100)], "y": ["word", None] * 50})
    refuse_bombs(body(table, compression), LIMIT)


def test_the_sum_is_what_arrow_unpacks() -> None:
    table = pa.table({"x": pa.array(range(100_000), pa.int64())})
    packed = body(table, "zstd")
    refuse_bombs(packed, 800_000)
    with pytest.raises(TooLarge):
        refuse_bombs(packed, 799_999)


def test_columns_that_all_name_the_same_bytes_count_each() -> None:
    """Nothing is compressed: sixteen columns in the bytes of one, until they are copied."""
    n, n_columns = 10_000, 16
    honest = body(pa.table({f"c{i}": [0.5] * n for i in range(n_columns)}))
    shared = bytearray(honest)
    for i in range(1, n_columns):
        at = honest.rindex(struct.pack("<qq", i * 8 * n, 8 * n))  # where they are, how long
        shared[at : at + 8] = bytes(8)
    length = struct.pack("<q", n_columns * 8 * n)
    assert honest.count(length) == 1
    head = honest.rindex(b"\xff\xff\xff\xff") - n_columns * 8 * n  # before the mark of the end
    small = bytes(shared).replace(length, struct.pack("<q", 8 * n))
    small = small[:head] + small[head : head + 8 * n] + honest[-8:]

    [batch] = pa.ipc.open_stream(small)
    assert batch.column(15).to_pylist() == [0.5] * n
    assert len(small) < 100_000
    refuse_bombs(small, n_columns * 8 * n)
    with pytest.raises(TooLarge):
        refuse_bombs(small, n_columns * 8 * n - 1)


def test_headers_that_point_elsewhere_are_refused_and_nothing_else_happens() -> None:
    rng, whole = random.Random(1), body(pa.table({"x": LARGE[:1000]}), "zstd")
    refused = 0
    for _ in range(3000):
        changed = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.2 else whole)
        for _ in range(rng.randrange(1, 4)):
            if changed:
                changed[rng.randrange(len(changed))] = rng.choice((0, 1, 127, 128, 255))
        try:
            refuse_bombs(bytes(changed), LIMIT)
        except (Malformed, TooLarge):
            refused += 1
    assert refused > 100
