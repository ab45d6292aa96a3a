"""Bodies that nobody would send, to a real server: no crash, no 500, no hang, bounded memory.

Run: `python -m tests.fuzz.bodies --minutes 10 --seed 1`
"""

import argparse
import gzip
import json
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pyarrow as pa

from services.ingest.batch import Format
from tests.chaos.stage import Stage

HANG_SECONDS = 20.0  # on a machine that others use too
MOST_MIB = 600  # resident, of the API
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**63 - 1)

Body = tuple[str, bytes, dict[str, str]]


def _rows(n: int) -> list[dict[str, Any]]:
    return [
        {
            "prediction_id": f"p-{i}",
            "version": "v1",
            "at": "2026-01-08T12:00:00Z",
            "entity": f"e{i % 3}",
            "features": {"load": [float(i)], "wind": [1.0, None, 3.0]},
            "output": {"load": [1.0, 2.0, 3.0]},
            "status": "ok",
        }
        for i in range(n)
    ]


def _arrow(rows: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, rows.schema, options=options) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue().to_pybytes())


def seeds() -> list[Body]:
    """Return bodies that are right, or right but for their types, to start from."""
    rows = _rows(20)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = pa.Table.from_pylist(rows)
    found: list[Body] = []
    arrow = [_arrow(table, compression) for compression in (None, "lz4", "zstd")]
    arrow += [_arrow(each) for each in unexpected_tables(table)]
    found += [(Format.ARROW.value, body, {}) for body in arrow]
    for content in ({"rows": rows}, {"columns": columns}, rows[0]):
        found.append((Format.JSON.value, json.dumps(content).encode(), {}))
        if "msgpack" in {form.name.lower() for form in Format}:
            packed = msgspec.msgpack.encode(content)
            found.append(("application/msgpack", packed, {}))
    zipped = {"Content-Encoding": "gzip"}
    found.append((Format.JSON.value, gzip.compress(found[-1][1]), zipped))
    return found


def unexpected_tables(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the table with columns of types that a sender may come up with."""
    n, ids = table.num_rows, table["prediction_id"].combine_chunks()
    numbers = pa.array([float(i) for i in range(n)])
    places = pa.array([*range(n)], pa.int32())
    unexpected = [
        ids.dictionary_encode(),
        pa.array(ids.to_pylist(), pa.large_string()),
        pa.array(ids.to_pylist(), pa.string_view()),
        pa.RunEndEncodedArray.from_arrays(pa.array([n], pa.int32()), pa.array(["p"])),
        pa.UnionArray.from_dense(pa.array([0] * n, pa.int8()), places, [ids]),
        pa.array([None] * n, pa.null()),
        pa.array([[(str(i), 1)] for i in range(n)], pa.map_(pa.string(), pa.int64())),
        pa.array([b"abcd"] * n, pa.binary(4)),
        pa.array([*range(n)], pa.duration("s")),
        pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "x", "y"), ids),
        pa.array([[[1.0]]] * n, pa.list_(pa.list_(pa.float64()))),
        pa.ListViewArray.from_arrays(
            pa.array([*range(n)], pa.int32()), pa.array([1] * n, pa.int32()), numbers
        ),
    ]
    at = table.schema.get_field_index("prediction_id")
    for column in unexpected:
        yield table.set_column(at, "prediction_id", column)
        yield (
            table.drop_columns(["features"])
            .append_column("features.load", column)
            .append_column("features.wind", column)
        )


def _flip(rng: random.Random, body: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return body


def _truncate(rng: random.Random, body: bytearray) -> bytearray:
    return body[: rng.randrange(len(body))]


def _length(rng: random.Random, body: bytearray) -> bytearray:
    form = rng.choice(("<B", "<H", "<I", "<Q", ">H", ">I", ">Q"))
    size = struct.calcsize(form)
    if len(body) <= size:
        return body
    value = rng.choice(EDGES) % (1 << (8 * size))
    step = rng.choice((1, 4, 8))
    at = rng.randrange(len(body) - size) // step * step
    body[at : at + size] = struct.pack(form, value)
    return body


def _splice(rng: random.Random, body: bytearray) -> bytearray:
    start, end = sorted(rng.randrange(len(body)) for _ in range(2))
    at = rng.randrange(len(body))
    return body[:at] + body[start:end] + body[at + rng.randrange(len(body) - at) :]


MUTATIONS: tuple[Callable[[random.Random, bytearray], bytearray], ...] = (
    _flip,
    _truncate,
    _length,
    _length,
    _splice,
)


def bombs() -> Iterator[Body]:
    """Yield small bodies that would be large, or deep."""
    for compression in ("zstd", "lz4"):
        flat = pa.table({"features.load": pa.array([0.0] * 8_000_000)})
        yield Format.ARROW.value, _arrow(flat, compression), {}
    deep = 100_000
    yield Format.JSON.value, b'{"rows":' + b"[" * deep + b"]" * deep + b"}", {}
    yield Format.JSON.value, b'{"rows":[' + b"{}," * 5_000_000 + b"{}]}", {}
    zeros = gzip.compress(b'{"rows":[' + b"0," * 100_000_000 + b"0]}", 9)
    yield Format.JSON.value, zeros, {"Content-Encoding": "gzip"}
    yield "application/msgpack", b"\x91" * deep + b"\xc0", {}
    yield "application/msgpack", b"\x81\xa4rows\xdd\xff\xff\xff\xff", {}
    yield "application/msgpack", b"\x81\xa4rows\xc6\x7f\xff\xff\xff", {}
    nested = pa.float64()
    for _ in range(200):
        nested = pa.list_(nested)
    yield Format.ARROW.value, _arrow(pa.table({"features.load": pa.array([], nested)})), {}


def bodies(rng: random.Random) -> Iterator[Body]:
    """Yield the seeds, the bombs, and then mutations without end."""
    start = seeds()
    yield from start
    yield from bombs()
    while True:
        kind, body, headers = rng.choice(start)
        mutated = bytearray(body)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            mutated = rng.choice(MUTATIONS)(rng, mutated) or bytearray(b"\0")
        yield kind, bytes(mutated), headers


def attack(
    url: str, key: str, pid: int, seconds: float, seed: int, keep: Path | None = None
) -> tuple[Counter[int], int]:
    """Send bodies for a while; return the answers by status, and the largest memory in MiB.

    Raises
    ------
    AssertionError
        On the first 5xx but 503, on a hang, on a death, on too much memory.
    """
    rng, answers, most = random.Random(seed), Counter[int](), 0
    process, until = psutil.Process(pid), time.monotonic() + seconds
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=HANG_SECONDS) as api:
        for kind, body, more in bodies(rng):
            if time.monotonic() > until:
                break
            if keep is not None:
                keep.write_bytes(body)  # what was sent last, should it be the last
            feed = rng.choice(("predictions", "predictions", "labels", "reference", "events"))
            answer = api.post(
                f"/v1/models/load/{feed}", content=body, headers={"Content-Type": kind, **more}
            )
            answers[answer.status_code] += 1
            assert answer.status_code in range(200, 500) or answer.status_code == 503, (
                f"{answer.status_code} on {kind}: {body[:200]!r}"
            )
            most = max(most, process.memory_info().rss // 2**20)
            assert most < MOST_MIB, f"{most} MiB after {kind}: {body[:200]!r}"
    assert process.is_running()
    return answers, most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seqwatch-fuzz-") as place:
        folder = Path(place)
        stage = Stage(folder, f"sqlite:///{folder / 'seqwatch.sqlite'}")
        try:
            stage.open(n_workers=0, with_host=False)
            pid = stage.processes["api"].pid
            last = Path(tempfile.gettempdir()) / "seqwatch-fuzz-last"
            answers, most = attack(
                stage.url, stage.key, pid, given.minutes * 60, given.seed, last
            )
        finally:
            stage.stop()
    sys.stdout.write(
        f"{answers.total():,} bodies in {given.minutes:g} minutes, at most {most} MiB: "
        f"{', '.join(f'{status} x {n:,}' for status, n in sorted(answers.items()))}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
