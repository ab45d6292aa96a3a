"""How many rows a second does one API process acknowledge, each of them on disk?

Starts the real server on an empty database and loads it from this process:
both share the machine's cores. `python -m benchmarks.ingest --help`.
"""

import argparse
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from sqlalchemy.orm import sessionmaker

from benchmarks.bar import Bar, report
from benchmarks.load import MARKER, Measured, Shape, load, load_at
from core.clock import utcnow
from core.durations import MINUTE
from core.schema.contract import Contract
from core.schema.feature import Feature
from db.migrate import upgrade
from db.session import connect, unit_of_work
from services.access.api_keys import create_key
from services.models.registry import Registration, register

N_FEATURES = 8
N_ROWS = 1000
N_BODIES = 16  # with values of their own
BARS = {
    "JSON, 1 row": 3_000,
    "JSON, 1,000 rows": 150_000,
    "Arrow, 1,000 rows": 1_000_000,
}
HALF = 1_500  # single rows a second, at which the latency is evaluated
BAR_P99 = 25  # ms
FEATURES = [f"feature_{i}" for i in range(N_FEATURES)]
CONTRACT = Contract(
    features=tuple(Feature(name=name) for name in FEATURES),
    targets=("load",),
    step=MINUTE,
    input_length=1,
    horizon=1,
)
HEADER = (
    f"{'body':<18} {'rows/s':>10} {'bar':>10} {'MB/s':>8} {'p50 ms':>8} {'p99 ms':>8} "
    f"{'CPU µs/row':>12}"
)
START = datetime(2026, 1, 1, tzinfo=UTC)


PATH = "/v1/models/bench/predictions"
AS_JSON, AS_ARROW = "application/json", "application/vnd.apache.arrow.stream"


def rows(n: int, seed: int) -> list[dict[str, Any]]:
    """Return `n` predictions with values of their own."""
    values = np.random.default_rng(seed).uniform(size=(n, N_FEATURES + 1))
    return [
        {
            "prediction_id": f"{MARKER.decode()}-{i:04d}",
            "version": "v1",
            "at": (START + timedelta(seconds=i)).isoformat(),
            "entity": f"meter-{i % 50}",
            "features": dict(zip(FEATURES, values[i, 1:].round(6).tolist(), strict=True)),
            "output": {"load": [round(float(values[i, 0]), 6)]},
            "latency_seconds": 0.004,
        }
        for i in range(n)
    ]


def json_body(n: int, seed: int) -> bytes:
    """Return one row as it is, or many as a batch."""
    made = rows(n, seed)
    return json.dumps(made[0] if n == 1 else {"rows": made}).encode()


def column_body(n: int, seed: int) -> bytes:
    """Return the same rows as JSON, column by column."""
    made = rows(n, seed)
    plain = ("prediction_id", "version", "at", "entity", "latency_seconds")
    columns: dict[str, Any] = {name: [row[name] for row in made] for name in plain}
    columns["features"] = {k: [row["features"][k] for row in made] for k in FEATURES}
    columns["output"] = {"load": [row["output"]["load"] for row in made]}
    return json.dumps({"columns": columns}).encode()


def arrow_body(n: int, seed: int) -> bytes:
    """Return the same rows as an Arrow IPC stream."""
    made = rows(n, seed)
    table = pa.table(
        {
            "prediction_id": [row["prediction_id"] for row in made],
            "version": ["v1"] * n,
            "at": pa.array([START + timedelta(seconds=i) for i in range(n)]),
            "entity": [row["entity"] for row in made],
            **{f"features.{k}": [row["features"][k] for row in made] for k in FEATURES},
            "output.load": [row["output"]["load"] for row in made],
            "latency_seconds": [0.004] * n,
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def shape(name: str, n_rows: int, n_connections: int) -> Shape:
    """Return a kind of request; its name holds the format."""
    is_arrow = name.startswith("Arrow")
    body = arrow_body if is_arrow else column_body if "columns" in name else json_body
    return Shape(
        name=name,
        path=PATH,
        content_type=AS_ARROW if is_arrow else AS_JSON,
        bodies=tuple(body(n_rows, seed) for seed in range(min(n_connections, N_BODIES))),
        n_rows=n_rows,
        n_connections=n_connections,
    )


def shapes() -> list[Shape]:
    """Return the three kinds of request, in the order in which they are measured."""
    sizes = [(1, 128), (N_ROWS, 6), (N_ROWS, 64)]
    return [shape(name, *size) for name, size in zip(BARS, sizes, strict=True)]


@contextmanager
def server(folder: Path, database_url: str | None = None) -> Iterator[tuple[int, str, int]]:
    """Run the API on a new database; yield its port, a key, and its process id."""
    url = database_url or f"sqlite:///{folder / 'bench.sqlite'}"
    engine = connect(url)
    upgrade(engine)
    with unit_of_work(sessionmaker(engine)) as session:
        register(session, Registration(name="bench", contract=CONTRACT), utcnow())
        token = create_key(session, "bench", ["ingest"], None, utcnow())
    engine.dispose()
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "api"],
        env={
            **os.environ,
            "SEQWATCH_DATABASE_URL": url,
            "SEQWATCH_PORT": str(port),
            "SEQWATCH_LAKE": str(folder / "lake"),
            "SEQWATCH_ARTIFACTS": str(folder / "artifacts"),
            "SEQWATCH_MAX_BACKLOG_BYTES": str(64 * 2**30),
        },
    )
    try:
        _wait_for(port, process)
        yield port, token, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < give_up:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server did not start")


def flushes_per_second(folder: Path) -> float:
    """Return how often this disk takes 4 KiB for good: the limit without group commit."""
    with (folder / "flush").open("wb", buffering=0) as file:
        started = time.monotonic()
        for _ in range(200):
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
        return 200 / (time.monotonic() - started)


def bar(shape: Shape, measured: Measured) -> Bar:
    """Return the throughput of one kind of request beside its limit."""
    return Bar(
        name=f"ingest: {shape.name}",
        figure=len(measured.latencies) * shape.n_rows / measured.seconds,
        unit="rows/s",
        at_least=BARS[shape.name],
    )


def line(shape: Shape, measured: Measured, cpu_seconds: float) -> str:
    """Return one line of the table."""
    microseconds = 1e6 * cpu_seconds / max(1, measured.n_answered * shape.n_rows)
    rate = len(measured.latencies) * shape.n_rows / measured.seconds
    p50, p99 = (1000 * measured.percentile(percent) for percent in (50, 99))
    refused = f"  {measured.n_refused} refused: {measured.first_refusal}" * bool(
        measured.n_refused
    )
    megabytes = rate / shape.n_rows * len(shape.bodies[0]) / 1e6
    return (
        f"{shape.name:<18} {rate:>10,.0f} {BARS[shape.name]:>10,} {megabytes:>8.1f} "
        f"{p50:>8.1f} {p99:>8.1f} {microseconds:>12.2f}{refused}"
    )


def latency_line(measured: Measured) -> str:
    """Return the line about single rows at half of the load that they are built for."""
    p50, p99, worst = (1000 * measured.percentile(percent) for percent in (50, 99, 100))
    return (
        f"  at {HALF:,} a second, from the moment each was due: p50 {p50:.1f} ms, "
        f"p99 {p99:.1f} ms (bar {BAR_P99}), worst {worst:.1f} ms"
        + f", {measured.n_refused} refused"
        * bool(measured.n_refused)
    )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--database-url", help="default: SQLite in a temporary folder")
    parser.add_argument("--only", help="measure the shapes whose name starts so")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"disk: {flushes_per_second(Path(folder)):,.0f} flushes/s of 4 KiB")
        print(f"cores: {multiprocessing.cpu_count()}, shared by server and load generator")
        print(HEADER)
        with server(Path(folder), options.database_url) as (port, token, pid):
            process = psutil.Process(pid)
            for shape in shapes():
                if options.only and not shape.name.startswith(options.only):
                    continue
                before = sum(process.cpu_times()[:2])
                measured = load(shape, port, token, seconds=options.seconds)
                used = sum(process.cpu_times()[:2]) - before
                print(line(shape, measured, used), flush=True)
                report(bar(shape, measured))
                if shape.n_rows == 1:
                    at_half = load_at(shape, port, token, rate=HALF, seconds=options.seconds)
                    print(latency_line(at_half), flush=True)
                    p99 = 1000 * at_half.percentile(99)
                    name = f"ingest: p99 at {HALF:,} rows/s"
                    report(Bar(name=name, figure=p99, unit="ms", at_most=BAR_P99))


if __name__ == "__main__":
    main()
