"""How long does drift over 90 days of 20 features take, from SQL to the finding?

Run: `python -m benchmarks.drift`. The bar is 100 ms. The time does not depend
on traffic: 50 predictions an hour or 50 million make the same rows. What the
monitor learns from the reference is kept between evaluations, and timed apart.

Then from raw arrays, two windows of 100,000 rows each: to edges, summaries and
all distances (bar 100 ms), and from the summaries alone (10 ms). Evidently's
report on the same arrays beside it, where `make bench-peers` has installed it.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import REFERENCE
from core.window import Window
from db.migrate import upgrade
from db.queries import summaries, summary_layouts
from db.session import connect, read_only, unit_of_work
from db.tables import Model
from monitors.drift import input_drift, input_drift_baseline
from monitors.false_alarms.warm_up import WarmingUp
from monitors.statistics import all_distances
from monitors.summaries.hourly import Hourly, hourly
from monitors.summaries.streams import INPUT
from monitors.summaries.summary import Edges, Floats, Summary, chunk_at, freeze
from monitors.summaries.totals import totals
from monitors.summaries.values import Column, summarise

Found = TypeVar("Found")

START = datetime(2025, 1, 1, tzinfo=UTC)
REFERENCE_DAYS, CURRENT_DAYS, N_FEATURES, PER_HOUR = 365, 90, 20, 50
NAMES = tuple(f"f{i}" for i in range(N_FEATURES))
N_RAW = 100_000
PEER = Path(".peers/evidently/bin/python")
SCRIPT = Path(__file__).parent / "peers" / "evidently_drift.py"


def fill(sessions: sessionmaker[Session]) -> UUID:
    """Store summaries of a daily season with noise."""
    contract = Contract(
        features=tuple(Feature(name=name) for name in NAMES),
        targets=("y",),
        step=HOUR,
        input_length=1,
        horizon=1,
    )
    rng = np.random.default_rng(1)
    with unit_of_work(sessions) as session:
        model = Model(name="m", contract=contract, created_at=START)
        session.add(model)
        session.flush()
        edges = freeze({name: rng.normal(size=5000) for name in NAMES})
        summary_layouts.freeze(session, model.id, edges, START)
        for version, first, n_days in (
            (REFERENCE, 0, REFERENCE_DAYS),
            ("v1", REFERENCE_DAYS, CURRENT_DAYS),
        ):
            hours = np.arange(n_days * 24) + chunk_at(START) + first * 24
            chunks = np.repeat(hours, PER_HOUR)
            season = np.sin(chunks / 24 * 2 * np.pi)
            columns = [
                Column(
                    values=season + rng.normal(size=chunks.size),
                    chunks=chunks,
                    repeats=np.zeros(chunks.size, dtype=bool),
                )
                for _ in NAMES
            ]
            summaries.add(session, model.id, [(INPUT, version, summarise(columns, edges))])
        return model.id


def read(
    sessions: sessionmaker[Session], model_id: UUID, start: datetime, end: datetime
) -> Hourly:
    with read_only(sessions) as session:
        found = summaries.read(session, INPUT, model_id, [Window(start, end)])
    assert found is not None
    return hourly(found, NAMES, start, end)


def timed(title: str, act: Callable[[], Found], limit: float | None = None) -> Found:
    """Print the median and the worst of eleven runs, and hold the median against a limit."""
    found, took = act(), []
    for _ in range(11):
        began = time.perf_counter()
        found = act()
        took.append((time.perf_counter() - began) * 1000)
    print(f"{title:52} {statistics.median(took):7.1f} ms   worst {max(took):7.1f} ms")
    if limit is not None:
        median = statistics.median(took)
        report(Bar(name=f"drift: {title}", figure=median, unit="ms", at_most=limit))
    return found


def distances_of(reference: Floats, current: Floats) -> all_distances.Distances:
    """Go the whole way, `(feature, row)` arrays to distances."""
    edges = freeze(dict(zip(NAMES, reference, strict=True)))
    return all_distances.between(
        totals(folded(current, edges)), totals(folded(reference, edges)), edges
    )


def folded(values: Floats, edges: Edges) -> Summary:
    """Summarise rows of one hour."""
    hour, flags = (
        np.zeros(values.shape[1], dtype=np.int64),
        np.zeros(values.shape[1], dtype=bool),
    )
    return summarise([Column(values=row, chunks=hour, repeats=flags) for row in values], edges)


def measure_raw() -> None:
    """Compare two windows of raw values, and let Evidently do so too."""
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(N_FEATURES, N_RAW))
    current = rng.normal(0.1, size=(N_FEATURES, N_RAW))
    what = f"{N_RAW:,} x {N_FEATURES} against as many"
    timed(f"{what}, raw", lambda: distances_of(reference, current), 100.0)
    edges = freeze(dict(zip(NAMES, reference, strict=True)))
    now, baseline = folded(current, edges), folded(reference, edges)
    timed(
        f"{what}, folded",
        lambda: all_distances.between(totals(now), totals(baseline), edges),
        10.0,
    )
    if not PEER.exists():
        print("no .peers/evidently: `make bench-peers` installs it")
        return
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/reference.npy", reference.T)
        np.save(f"{folder}/current.npy", current.T)
        subprocess.run(
            [PEER, SCRIPT, folder], env={**os.environ, "DO_NOT_TRACK": "1"}, check=True
        )


def main() -> None:
    measure_raw()
    middle = START + timedelta(days=REFERENCE_DAYS)
    end = middle + timedelta(days=CURRENT_DAYS)
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/seqwatch.sqlite")
        upgrade(engine)
        sessions = sessionmaker(engine)
        model_id = fill(sessions)
        params = input_drift_baseline.InputDriftParams()

        def learn() -> input_drift_baseline.InputDriftBaseline | WarmingUp:
            return input_drift_baseline.fit(read(sessions, model_id, START, middle), params)

        baseline = timed(f"learn from {REFERENCE_DAYS} days of reference, once", learn)
        finding = timed(
            f"one look at {CURRENT_DAYS} days of {N_FEATURES} features",
            lambda: input_drift.evaluate(baseline, read(sessions, model_id, middle, end), end),
            100.0,
        )
        print(f"finding: {finding.outcome}")
        engine.dispose()


if __name__ == "__main__":
    main()
