"""How many prediction rows per second do fold and archive take, on one core?

Run: `python -m benchmarks.fold [--rows 400000]`. Rows carry 8 features of
length 1 and no output (the plainest service), then 7 channels of 6 steps with
forecasts of 24 x 7 (the example's). Then the statistics alone, from arrays to
summaries: a million values of an hour, a day and ninety days; and the memory that
ten million rows take.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import NUMBERS, TIME, Kind, prediction_schema
from db.migrate import upgrade
from db.session import connect, unit_of_work
from db.tables import Model
from monitors.summaries.summary import N, empty, freeze, merge
from monitors.summaries.values import Column, summarise
from services.aggregation.fold import fold_all
from services.ingest import persist
from services.retention.archive import archive_all

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=30)
ENTRY = 20_000  # rows of one group commit
BAR = 25  # million values a second become summaries
MOST_MEMORY = 250  # MiB


def contract(n_features: int, n_targets: int, horizon: int) -> Contract:
    return Contract(
        features=tuple(Feature(name=f"f{i}") for i in range(n_features)),
        targets=tuple(f"t{i}" for i in range(n_targets)),
        step=HOUR,
        input_length=96,
        horizon=horizon,
    )


def rows(of: Contract, n: int, length: int, horizon: int, seed: int) -> pa.Table:
    """Return `n` predictions, spread over a day."""
    rng = np.random.default_rng(seed)
    schema = prediction_schema(of)

    def lists(k: int) -> pa.ListArray:
        offsets = np.arange(n + 1, dtype=np.int32) * k
        return pa.ListArray.from_arrays(offsets, rng.normal(size=n * k))

    def struct(names: tuple[str, ...], k: int) -> pa.StructArray:
        fields = [pa.field(name, NUMBERS) for name in names]
        return pa.StructArray.from_arrays([lists(k) for _ in names], fields=fields)

    at = np.datetime64(START.replace(tzinfo=None), "us") + rng.integers(
        0, 86_400_000_000, n
    ).astype("timedelta64[us]")
    columns = {
        "prediction_id": pa.array([f"{seed}:{i}" for i in range(n)]),
        "version": pa.array(["v1"] * n),
        "at": pa.array(at).cast(TIME),
        "entity": pa.array([f"e{i % 500}" for i in range(n)]),
        "features": struct(of.feature_names, length),
        "output": struct(of.targets, horizon) if horizon else None,
        "status": pa.array(["ok"] * n),
        "shadow": pa.array([False] * n),
        "latency_seconds": pa.array(rng.gamma(2.0, 0.01, n)),
        "received_at": pa.array([START] * n, TIME),
    }
    arrays = [
        found if (found := columns.get(field.name)) is not None else pa.nulls(n, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def keep(sessions: sessionmaker[Session], model_id: UUID, table: pa.Table) -> None:
    with unit_of_work(sessions) as session:
        persist.keep(session, model_id, Kind.PREDICTIONS, table, START)


@contextmanager
def platform(of: Contract) -> Iterator[tuple[sessionmaker[Session], UUID, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/seqwatch.sqlite")
        upgrade(engine)
        sessions = sessionmaker(engine)
        with unit_of_work(sessions) as session:
            model = Model(name="m", contract=of, created_at=START)
            session.add(model)
            session.flush()
            model_id = model.id
        yield sessions, model_id, Path(folder) / "lake"
        engine.dispose()


def measure(
    title: str, shape: tuple[int, int, int], n: int, length: int
) -> tuple[float, float]:
    """Print and return how many rows per CPU second are folded, and archived."""
    of, horizon = contract(*shape), shape[2] if length > 1 else 0
    with platform(of) as (sessions, model_id, lake):
        for seed in range(max(n // ENTRY, 1)):
            keep(sessions, model_id, rows(of, ENTRY, length, horizon, seed))
        started, cpu = time.monotonic(), time.process_time()
        folded = fold_all(sessions, NOW)
        fold_wall, fold_cpu = time.monotonic() - started, time.process_time() - cpu
        started, cpu = time.monotonic(), time.process_time()
        archived = archive_all(sessions, lake, NOW)
        lake_wall, lake_cpu = time.monotonic() - started, time.process_time() - cpu
        print(
            f"{title:34} fold {folded / fold_wall:9,.0f} rows/s "
            f"({folded / fold_cpu:9,.0f} per CPU s)   "
            f"archive {archived / lake_wall:9,.0f} rows/s "
            f"({archived / lake_cpu:9,.0f} per CPU s)"
        )
    return folded / fold_cpu, archived / lake_cpu


def hold(
    title: str, shape: tuple[int, int, int], n: int, length: int, limits: tuple[int, int]
) -> None:
    """Measure, and hold the rates against limits: half of what two quiet machines gave."""
    rates = measure(title, shape, n, length)
    for step, rate, limit in zip(("fold", "archive"), rates, limits, strict=True):
        report(Bar(name=f"{step}: {title}", figure=rate, unit="rows/CPU s", at_least=limit))


def carried() -> None:
    """Print how many rows one core folds and archives, by features (docs/limits.md)."""
    for n_features in (8, 32, 128):
        title = f"{n_features} features x 1 step"
        rates = [
            measure(title, (n_features, 1, 24), 1_600_000 // n_features, 1) for _ in range(3)
        ]
        fold, archive = (max(each) for each in zip(*rates, strict=True))
        both = 1 / (1 / fold + 1 / archive)
        print(
            f"{title}: {both:,.0f} rows per CPU s, {both * 86_400 / 2:.2g} a day at half load"
        )


def measure_summaries(hours: int, n: int = 100_000, n_features: int = 10) -> None:
    """Print how many values a second become summaries, the best of five times."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n_features, n))
    edges = freeze({f"f{i}": row for i, row in enumerate(values)})
    for title, chunks in (
        ("in order", np.arange(n) * hours // n),
        ("in any order", rng.integers(0, hours, n)),
    ):
        columns = [
            Column(values=row, chunks=chunks, repeats=np.zeros(n, np.bool_)) for row in values
        ]
        seconds = []
        for _ in range(5):
            cpu = time.process_time()
            summarise(columns, edges)
            seconds.append(time.process_time() - cpu)
        rate = values.size / min(seconds) / 1e6
        name = f"fold: statistics of {hours} hours, {title}"
        report(Bar(name=name, figure=rate, unit="10^6 values/s", at_least=BAR))
        print(f"{hours:5} hours, {title:21}  {rate:6.1f} million values per CPU s (bar {BAR})")


def measure_memory(
    n_rows: int = 10_000_000, n_features: int = 20, batch: int = 100_000
) -> None:
    """Print what a process holds at most that summarises so many rows as they come."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n_features, batch))
    edges = freeze({f"f{i}": row for i, row in enumerate(values)})
    whole, flags = empty(n_features, edges.values.shape[1] + 1), np.zeros(batch, np.bool_)
    for hour in range(n_rows // batch):
        rng.standard_normal(out=values)
        chunks = np.full(batch, hour % 24)
        columns = [Column(values=row, chunks=chunks, repeats=flags) for row in values]
        whole = merge(whole, summarise(columns, edges))
    assert whole.moments[:, 0, N].sum() == n_rows
    # Not getrusage: what the process that started this one had held would count too.
    status = Path("/proc/self/status").read_text()
    most = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(
        f"{n_rows:,} rows of {n_features} features: {most:.0f} MiB at most (bar {MOST_MEMORY})"
    )
    name = f"fold: memory, {n_rows:,} rows"
    report(Bar(name=name, figure=most, unit="MiB", at_most=MOST_MEMORY))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--memory", action="store_true", help="nothing but memory")
    parser.add_argument("--carried", action="store_true", help="rows by features, and no bar")
    given = parser.parse_args()
    if given.carried:
        carried()
        return
    if given.memory:
        measure_memory()
        return
    n = given.rows
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, as for the bar
    hold("8 features x 1 step, no output", (8, 1, 24), n, 1, (300_000, 220_000))
    hold("7 channels x 6 steps, 24 x 7 ahead", (7, 7, 24), n // 10, 6, (50_000, 40_000))
    for hours in (1, 24, 90 * 24):
        measure_summaries(hours)
    # A process of its own: the rest has held more.
    subprocess.run([sys.executable, "-m", "benchmarks.fold", "--memory"], check=True)


if __name__ == "__main__":
    main()
