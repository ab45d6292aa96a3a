"""What does an evaluation of 1,000 SLOs over 90 days cost, of 200 models?

Run: `python -m benchmarks.slo [--models 200]`. Each model has five SLOs of up to 90 days and
a prediction each second: hours of 76 days, and slices of ten seconds of the last 14. The first
calls read all histories; then every ten seconds of event time the open hour of each model has
grown, and the SLOs are evaluated: in quiet, and in an outage of every model at once.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch
from uuid import UUID

import numpy as np
from sqlalchemy import insert, update
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from benchmarks.open_tables import cpu
from benchmarks.statements import statements
from core.schema.rows import Kind
from core.streams import Level
from db.migrate import upgrade
from db.queries import summary_series
from db.queries.upsert import upsert
from db.session import connect, unit_of_work
from db.tables import Model, Stream, SummaryRow
from monitors.slo import cells
from monitors.slo.cells import CellCounts
from monitors.slo.serving import SERVING
from services.evaluation.by_clock import live
from services.evaluation.by_clock.live import LiveMonitors
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from tests.streams import add_model

DAY, HOUR, SLICE = timedelta(days=1), timedelta(hours=1), timedelta(seconds=10)
END = datetime(2026, 6, 1, 12, tzinfo=UTC)
N_DAYS, N_FINE = 90, 14
SLOS = (
    {"sli": "availability", "objective": 0.999, "period": "P90D"},
    {"sli": "availability", "objective": 0.99, "period": "P30D"},
    {"sli": "latency", "objective": 0.99, "period": "P90D"},
    {"sli": "latency", "objective": 0.95, "sli_params": {"slower_than": "PT0.1S"}},
    {"sli": "availability", "objective": 0.99, "calendar": "month"},
)


def hour_of(start: datetime, n_slices: int = 360, failed: int = 0) -> CellCounts:
    """Return an hour with ten predictions in each slice, in three cells of latency."""
    seconds = int(start.timestamp()) + np.repeat(np.arange(n_slices) * 10, 4)
    of = np.tile([30, 31, 32, 73 + 30], n_slices)
    counts = np.tile([5, 3, 2, 0], n_slices)
    if failed:
        counts[-4 * failed :] = np.tile([0, 0, 0, 10], failed)
    found = cells.summarise(seconds * 1_000_000, of)
    return CellCounts(keys=found.keys[counts > 0], counts=counts[counts > 0])


def rows_of(series_id: int) -> Iterator[dict[str, object]]:
    """Yield the rows of summaries of a model."""
    for i in range(N_DAYS * 24):
        start = END - (N_DAYS * 24 - i) * HOUR
        found, level = hour_of(start), Level.SLICE
        if start < END - N_FINE * DAY:
            found, level = cells.as_one_slice(found, start), Level.HOUR
        yield {
            "series_id": series_id,
            "start": start,
            "level": level,
            "payload": SERVING.to_bytes(found),
            "publication": None,
        }


def _series(session: Session, models: list[UUID]) -> list[int]:
    """Return the key of the rows of each model."""
    keys = [(of, SERVING.name, "v1") for of in models]
    found = summary_series.ids(session, keys)
    return [found[key] for key in keys]


def fill(sessions: sessionmaker[Session], n_models: int) -> list[UUID]:
    """Add the models with their SLOs and their rows."""
    found = []
    for i in range(n_models):
        model_id = add_model(sessions, name=f"m{i}")
        found.append(model_id)
        with unit_of_work(sessions) as session:
            for number, params in enumerate(SLOS):
                plan = MonitorPlan(name=f"slo{number}", kind="burn_rate", params=params)
                monitor_config.put(session, model_id, plan)
            rows = [*rows_of(_series(session, [model_id])[0])]
            session.connection().execute(insert(SummaryRow.__table__), rows)  # type: ignore[arg-type]
            model = session.get_one(Model, model_id)
            model.watermark = model.last_arrival_at = END
            stream = session.get(Stream, (model_id, Kind.PREDICTIONS))
            if stream is None:
                session.add(Stream(model_id=model_id, kind=Kind.PREDICTIONS, folded=1))
    return found


def grow(
    sessions: sessionmaker[Session], models: list[UUID], n_slices: int, failed: int
) -> datetime:
    """Write the open hour of every model as it is after some slices."""
    now = END + n_slices * SLICE
    payload = SERVING.to_bytes(hour_of(END, n_slices, failed))
    value = {"start": END, "level": Level.SLICE, "payload": payload, "publication": None}
    with unit_of_work(sessions) as session:
        series = _series(session, models)
        upsert(session, SummaryRow, [{"series_id": of, **value} for of in series])
        session.execute(update(Stream).values(folded=Stream.folded + 1))
        session.execute(update(Model).values(watermark=now - timedelta(seconds=1)))
    return now


def measure(folder: Path, n_models: int) -> list[Bar]:
    """Read all histories, then evaluate in quiet and in an outage."""
    engine = connect(f"sqlite:///{folder}/seqwatch.sqlite")
    upgrade(engine)
    sessions = sessionmaker(engine, expire_on_commit=False)
    models = fill(sessions, n_models)
    seconds: list[float] = []
    clock = [0.0]
    evaluated = LiveMonitors(sessions)
    n_slos = len(SLOS) * n_models
    with patch.object(live, "monotonic", lambda: clock[0]):
        now = grow(sessions, models, 1, 0)
        with cpu(seconds):
            for _ in range(n_models // 10 + 1):
                clock[0] += 10
                evaluated.run(now)
        sys.stdout.write(f"all histories read: {seconds[0]:.1f} s of CPU\n")
        n_bytes = evaluated._slis.n_bytes
        sys.stdout.write(f"kept in memory: {n_bytes / n_slos / 1e3:.0f} kB per SLO\n")
        quiet, outage = list[float](), list[float]()
        reads = 0
        for n in range(2, 60):
            now = grow(sessions, models, n, max(0, n - 30))
            clock[0] += 10
            with cpu(seconds), statements(engine) as sent:
                evaluated.run(now)
            (quiet if n <= 30 else outage).append(seconds[-1])
            if n == 10:
                reads = sum(one.lstrip().startswith("SELECT") for one in sent)
                sys.stdout.write(f"an evaluation in quiet: {reads} statements\n")
    sys.stdout.write(
        f"{n_slos} SLOs: {np.median(quiet):.3f} s of CPU in quiet, "
        f"{np.median(outage):.3f} in an outage of all, at most {max(quiet + outage):.3f}\n"
    )
    each = 1e3 / n_slos
    return [
        Bar(
            name="slo: an evaluation in quiet",
            figure=float(np.median(quiet)) * each,
            unit="ms of CPU per SLO",
            at_most=1.0,
        ),
        Bar(
            name="slo: an evaluation in an outage of all",
            figure=float(np.median(outage)) * each,
            unit="ms of CPU per SLO",
            at_most=1.0,
        ),
        Bar(name="slo: statements", figure=reads, unit="per evaluation", at_most=20),
        Bar(
            name="slo: histories in memory",
            figure=n_bytes / n_slos / 1e3,
            unit="kB per SLO",
            at_most=100,
        ),
    ]


def main() -> int:
    """Print the figures; 0 when each bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    given = parser.parse_args()
    with TemporaryDirectory() as made:
        bars = measure(Path(made), given.models)
    are_met = [report(bar) for bar in bars]
    return 0 if all(are_met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
