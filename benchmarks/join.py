"""What does it cost to join a late day of predictions with their labels, in CPU and memory?

Run: `python -m benchmarks.join [--rows 2500000 10000000] [--by id entity]`. A day is written
straight into the lake; then its labels arrive, in another order. They name predictions by their
id, or an entity and a moment. Each size is measured in a process of its own.
"""

import argparse
import itertools
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from benchmarks.fold import START, contract, platform, rows
from core.durations import DAY
from core.schema.contract import Contract
from core.schema.rows import TIME, Kind, label_schema
from core.window import Window
from db.queries import summaries
from db.queries.log import positions
from db.session import unit_of_work
from lake import tables
from services.labels.error_days import ERRORS
from services.labels.label_join import join

PART = 500_000  # rows of one file
SECONDS = {1_000_000: 1.5, 2_500_000: 3.0, 10_000_000: 12.0}  # of CPU, at most
MOST_MEMORY = 1_000  # MB, of the largest
STEP_US = 3_600_000_000
N_ENTITIES = 500


def predictions(of: Contract, n: int, part: int) -> pa.Table:
    """Return one file of predictions of one version."""
    made = rows(of, n, 1, of.horizon, part)
    return made.set_column(
        made.schema.get_field_index("prediction_id"),
        made.schema.field("prediction_id"),
        pa.array([f"{part:04}:{i:012}" for i in range(n)]),
    )


def labels(of: Contract, about: pa.Table, by: str, seed: int) -> pa.Table:
    """Return a label for each prediction, in any order."""
    rng, n = np.random.default_rng(seed), about.num_rows
    about = about.take(rng.permutation(n))
    lists = pa.ListArray.from_arrays(
        np.arange(n + 1, dtype=np.int32) * of.horizon, rng.normal(size=n * of.horizon)
    )
    names = [*of.targets]
    arrived = pa.array([START + 2 * DAY] * n, TIME)
    given = {"actual": pa.StructArray.from_arrays([lists] * len(names), names=names)}
    given |= {"arrived_at": arrived, "received_at": arrived}
    if by == "id":
        given["prediction_id"] = about["prediction_id"]
    else:
        ahead = about["at"].cast(pa.int64()).to_numpy() + STEP_US
        given["entity"], given["target_at"] = about["entity"], pa.array(ahead).cast(TIME)
    schema = label_schema(of)
    return pa.table(
        [given.get(each.name, pa.nulls(n, each.type)) for each in schema], schema=schema
    )


def fill(
    sessions: sessionmaker[Session], model_id: UUID, lake: Path, of: Contract, n: int, by: str
) -> None:
    """Write a day of predictions and its labels, and mark the day."""
    for kind in Kind:
        tables.create_table(lake, model_id, kind, of)
    for part in range(-(-n // PART)):
        made = predictions(of, min(PART, n - part * PART), part)
        for kind, table in (
            (Kind.PREDICTIONS, made),
            (Kind.LABELS, labels(of, made, by, part)),
        ):
            place = tables.open_table(lake, model_id, kind)
            assert place is not None
            tables.append(place, tables.stamped(kind, of, table), part + 1)
    with unit_of_work(sessions) as session:
        positions.mark_dirty(session, model_id, [START.date()], 1)


def measure(n: int, by: str, horizon: int) -> None:
    """Print CPU time and memory of the join of one day."""
    of = contract(2, 1, horizon)
    with platform(of) as (sessions, model_id, lake):
        child = [sys.executable, "-m", "benchmarks.join", "--fill", str(lake)]
        given = [str(model_id), str(n), by, str(horizon), str(sessions.kw["bind"].url)]
        subprocess.run([*child, *given], check=True)
        began, wall = time.process_time(), time.monotonic()
        assert join(sessions, lake, model_id) == 1
        cpu, wall = time.process_time() - began, time.monotonic() - wall
        with sessions() as session:
            stored = summaries.rows(session, [ERRORS], model_id, [Window(START, START + DAY)])
        day = ERRORS.from_bytes(stored[0].payload)
        assert day.n_predictions == n, day.n_predictions
    status = Path("/proc/self/status").read_text()
    most = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(
        f"{n:11,} rows by {by}, {horizon} steps: {cpu:6.2f} s CPU, {wall:6.2f} s,"
        f" {most:,.0f} MB, sums {np.nansum(day.cells):.6f}"
    )
    limit = SECONDS.get(n)
    if limit is not None and horizon == 1:
        of_rows = f"{n:,} rows" if by == "id" else f"{n:,} rows by entity"
        report(Bar(name=f"join: {of_rows}", figure=cpu, unit="CPU s", at_most=limit))
        name = f"join: memory of {of_rows}"
        report(Bar(name=name, figure=most, unit="MB", at_most=MOST_MEMORY))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_500_000, 10_000_000])
    keys = ["id", "entity"]
    parser.add_argument("--by", choices=keys, nargs="+", default=keys)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--one", action="store_true", help="in this process")
    parser.add_argument("--fill", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill:
        lake, model_id, n, by, horizon, url = given.fill
        fill(
            sessionmaker(create_engine(url)),
            UUID(model_id),
            Path(lake),
            contract(2, 1, int(horizon)),
            int(n),
            by,
        )
    elif given.one:
        measure(given.rows[0], given.by[0], given.steps)
    else:
        for n, by in itertools.product(given.rows, given.by):
            child = [sys.executable, "-m", "benchmarks.join", "--one", "--rows", str(n)]
            subprocess.run([*child, "--by", by, "--steps", str(given.steps)], check=True)


if __name__ == "__main__":
    main()
