"""What does one run of job `evaluate` cost: one closed event day of one model?

Run: `python -m benchmarks.evaluation_run [--models 1 10 50] [--profile]`. Each model has 8
features, a row every 30 s, a grain of 15 minutes, its default monitors, 90 days of served rows
with labels, and a reference of a year, which is learnt before anything is measured. Runs go
through ticker, queue and worker. CPU time and SQL statements of the job, those of ticker
and queue apart. `--profile` adds the ten most expensive functions and statements.
"""

import argparse
import cProfile
import os
import pstats
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine, Uuid, event, insert, literal, select, update
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, MINUTE, SECOND
from core.policy import Policy
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import REFERENCE, TIME, Kind, label_schema, prediction_schema
from core.settings import Settings
from core.window import Window
from db.migrate import upgrade
from db.queries.queue.runs import Claim
from db.session import connect, unit_of_work
from db.tables import Champion, Model, Stream, SummaryLayout, SummaryRow, Version
from jobs.ticker import Ticker, closed_days
from jobs.wiring import jobs
from jobs.worker import Job, Queue, Worker
from services.aggregation.fold import fold_all
from services.evaluation import schedule
from services.ingest import persist
from services.labels.label_join import join_all
from services.models import monitor_config
from services.retention.archive import archive_all

START = datetime(2025, 1, 1, tzinfo=UTC)
REFERENCE_DAYS, SERVED_DAYS, N_FEATURES = 120, 90, 8
MIDDLE = START + REFERENCE_DAYS * DAY
END = MIDDLE + SERVED_DAYS * DAY
N_DAYS = 9  # of each model: the first learns, the others are measured
CPU_MS, STATEMENTS, GROWTH = 40, 15, 1.2
CONTRACT = Contract(
    features=tuple(Feature(name=f"f{i}") for i in range(N_FEATURES)),
    targets=("y",),
    step=15 * MINUTE,
    input_length=1,
    horizon=1,
)


def predictions(version: str, first: datetime, n: int, every: timedelta) -> pa.Table:
    """Return rows of a daily season with noise, and forecasts of one step."""
    rng = np.random.default_rng(int(first.timestamp()))
    at = _times(first, n, every)
    season = np.sin(2 * np.pi * (at.astype(np.int64) % (DAY // _US)) / (DAY // _US))
    offsets = np.arange(n + 1, dtype=np.int32)
    schema = prediction_schema(CONTRACT)

    def struct(name: str, n_columns: int) -> pa.StructArray:
        lists = [
            pa.ListArray.from_arrays(offsets, season + rng.normal(size=n))
            for _ in range(n_columns)
        ]
        return pa.StructArray.from_arrays(lists, fields=[*schema.field(name).type])

    columns = {
        "prediction_id": pa.array([f"{version}-{first:%j}-{i}" for i in range(n)]),
        "version": pa.array([version] * n),
        "at": pa.array(at).cast(TIME),
        "entity": pa.array([f"e{i % 30}" for i in range(n)]),
        "features": struct("features", N_FEATURES),
        "output": None if version == REFERENCE else struct("output", 1),
        "status": pa.array(["ok"] * n),
        "shadow": pa.array([False] * n),
        "latency_seconds": pa.array(rng.gamma(2.0, 0.01, n)),
        "received_at": pa.array(at).cast(TIME),
    }
    arrays = [
        pa.nulls(n, field.type) if (found := columns.get(field.name)) is None else found
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def labels(first: datetime, n: int, every: timedelta) -> pa.Table:
    """Return what happened, for each prediction of a day."""
    rng = np.random.default_rng(int(first.timestamp()) + 1)
    at = pa.array(_times(first, n, every)).cast(TIME)
    schema = label_schema(CONTRACT)
    actual = pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32), rng.normal(size=n))
    columns = {
        "prediction_id": pa.array([f"v1-{first:%j}-{i}" for i in range(n)]),
        "actual": pa.StructArray.from_arrays([actual], fields=[*schema.field("actual").type]),
        "arrived_at": at,
        "received_at": at,
    }
    arrays = [columns.get(field.name, pa.nulls(n, field.type)) for field in schema]
    return pa.table(arrays, schema=schema)


_US = timedelta.resolution


def _times(first: datetime, n: int, every: timedelta) -> np.ndarray:
    start = np.datetime64(first.replace(tzinfo=None), "us")
    return start + np.arange(n) * np.timedelta64(every // _US, "us")


def add_model(session: Session, name: str) -> UUID:
    """Add a model with a champion and its default monitors."""
    model = Model(name=name, contract=CONTRACT, created_at=START)
    session.add(model)
    session.flush()
    version = Version(
        model_id=model.id,
        name="v1",
        contract=CONTRACT,
        contract_digest=CONTRACT.digest,
        reference=(Window(START, MIDDLE),),
        created_at=START,
    )
    session.add(version)
    session.flush()
    session.add(Champion(model_id=model.id, version_id=version.id, rev=1, since=START))
    for plan in monitor_config.defaults(Policy(), CONTRACT):
        monitor_config.put(session, model.id, plan)
    return model.id


def fill(sessions: sessionmaker[Session], lake: Path) -> UUID:
    """Send the rows of a model, and fold, archive and join them."""
    with unit_of_work(sessions) as session:
        model_id = add_model(session, "model-00")

    def keep(kind: Kind, table: pa.Table) -> None:
        with unit_of_work(sessions) as session:
            persist.keep(session, model_id, kind, table, START)

    for day in range(REFERENCE_DAYS):
        keep(Kind.PREDICTIONS, predictions(REFERENCE, START + day * DAY, 288, 5 * MINUTE))
    fold_all(sessions, END)
    for day in range(SERVED_DAYS):
        first, n = MIDDLE + day * DAY, DAY // (30 * SECOND)
        keep(Kind.PREDICTIONS, predictions("v1", first, n, 30 * SECOND))
        keep(Kind.LABELS, labels(first, n, 30 * SECOND))
    fold_all(sessions, END)
    while archive_all(sessions, lake, END):
        pass
    join_all(sessions, lake, END)
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id)
        model.evaluated_until = END - N_DAYS * DAY
    return model_id


def copy(sessions: sessionmaker[Session], lake: Path, model_id: UUID, name: str) -> None:
    """Add a model of which the same is stored."""
    with unit_of_work(sessions) as session:
        new_id = add_model(session, name)
        first, model = session.get_one(Model, model_id), session.get_one(Model, new_id)
        model.watermark, model.evaluated_until = first.watermark, first.evaluated_until
        for table in (SummaryRow.__table__, SummaryLayout.__table__, Stream.__table__):
            kept = [column for column in table.columns if column.name != "model_id"]
            own = select(literal(new_id, Uuid()), *kept).where(table.c.model_id == model_id)
            session.execute(insert(table).from_select([table.c.model_id, *kept], own))
    shutil.copytree(lake / str(model_id), lake / str(new_id), copy_function=os.link)


@dataclass(slots=True)
class Cost:
    """CPU in milliseconds and statements."""

    cpu: float = 0.0
    statements: int = 0


class Meter:
    """Measures runs of the job, and what ticker and queue do around them."""

    def __init__(self, engine: Engine) -> None:
        self.of_jobs: list[Cost] = []
        self.of_queue: list[Cost] = []
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.profile: cProfile.Profile | None = None
        self._n, self._began = 0, 0.0
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)

    def _before(self, _: object, __: object, statement: str, *___: object) -> None:
        self._n += not statement.startswith("BEGIN")
        self._began = time.perf_counter()

    def _after(self, _: object, __: object, statement: str, *___: object) -> None:
        self.seconds[statement] += time.perf_counter() - self._began
        self.calls[statement] += 1

    @contextmanager
    def measure(self, costs: list[Cost]) -> Iterator[None]:
        """Add what happens meanwhile to some costs."""
        began, n = time.process_time(), self._n
        yield
        cpu = 1000 * (time.process_time() - began)
        costs.append(Cost(cpu=cpu, statements=self._n - n))

    def job(self, job: Job) -> Job:
        """Return a job whose runs are measured."""

        def do(claim: Claim) -> None:
            with self.measure(self.of_jobs), self.profile or nullcontext():
                job.do(claim)

        return replace(job, do=do)


def measure(n_models: int, *, profiled: bool) -> Cost:
    """Print what a run costs where there are so many models; return the median."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        settings = Settings(database_url=f"sqlite:///{folder}/seqwatch.sqlite", lake=lake)
        engine = connect(settings.database_url)
        upgrade(engine)
        sessions = sessionmaker(engine, expire_on_commit=False)
        t0 = time.monotonic()
        model_id = fill(sessions, lake)
        print("fill", time.monotonic() - t0)
        t0 = time.monotonic()
        for i in range(1, n_models):
            copy(sessions, lake, model_id, f"model-{i:02}")
        print("copy", time.monotonic() - t0)
        t0 = time.monotonic()
        meter = Meter(engine)
        job = meter.job(jobs(settings, sessions)[schedule.JOB])
        worker = Worker(settings, sessions, {schedule.JOB: job}, Queue.EVALUATION)
        ticker = Ticker(settings, sessions)
        for day in range(N_DAYS):
            let_close(sessions, END - (N_DAYS - 1 - day) * DAY)
            if day == 1:
                print("learn", time.monotonic() - t0, meter.of_jobs)
                t0 = time.monotonic()
                (
                    meter.of_jobs.clear(),
                    meter.of_queue.clear(),
                    meter.seconds.clear(),
                    meter.calls.clear(),
                )
                if profiled:
                    meter.profile = cProfile.Profile()
            with meter.measure(meter.of_queue):
                ticker.ask(closed_days)
                while worker.once():
                    pass
        print("runs", time.monotonic() - t0)
        job = Cost(
            statistics.median(c.cpu for c in meter.of_jobs),
            statistics.median(c.statements for c in meter.of_jobs),
        )
        n = len(meter.of_jobs)
        q = sum(c.cpu for c in meter.of_queue) - sum(c.cpu for c in meter.of_jobs)
        qs = sum(c.statements for c in meter.of_queue) - sum(
            c.statements for c in meter.of_jobs
        )
        print(
            n_models,
            "models",
            n,
            "runs:",
            job,
            "min",
            min(c.cpu for c in meter.of_jobs),
            "queue",
            q / n,
            qs / n,
        )
        if profiled:
            pstats.Stats(meter.profile).sort_stats("tottime").print_stats(25)
            pstats.Stats(meter.profile).sort_stats("cumtime").print_stats(60)
            for st, sec in meter.seconds.most_common(60):
                print(
                    f"{1000 * sec / n:8.2f} ms {meter.calls[st] / n:5.1f} {' '.join(st.split())[:150]}"
                )
        engine.dispose()
        return job


def let_close(sessions: sessionmaker[Session], day_end: datetime) -> None:
    """Let the watermark pass an event day of every model."""
    with unit_of_work(sessions) as session:
        session.execute(update(Model).values(watermark=day_end + DAY / 2))


def main() -> int:
    """Measure some numbers of models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--profile", action="store_true", help="the most expensive parts")
    given = parser.parse_args()
    of = {n: measure(n, profiled=given.profile) for n in given.models}
    return 0


if __name__ == "__main__":
    sys.exit(main())
