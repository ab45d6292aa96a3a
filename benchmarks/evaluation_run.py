"""What does one run of job `evaluate` cost: one closed event day of one model?

Run: `python -m benchmarks.evaluation_run [--models 1 10 50] [--profile]`. Each model has 8
features, a row every 30 s, a grain of 15 minutes, its default monitors, 90 days of served rows
with labels, and a reference of half a year, which is learnt before anything is measured. Runs
go through ticker, queue and worker. CPU time and SQL statements of the job, those of ticker
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
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Engine, Uuid, delete, event, insert, literal, select, update
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from core.durations import DAY, MINUTE, SECOND
from core.policy import Policy
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import REFERENCE, TIME, Kind, label_schema, prediction_schema
from core.settings import Settings
from core.window import Window
from db.base import Base
from db.migrate import upgrade
from db.queries.queue.runs import Claim
from db.session import connect, unit_of_work
from db.tables import Champion, LateDay, Model, Version
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
REFERENCE_DAYS, SERVED_DAYS, N_FEATURES = 182, 90, 8
MIDDLE = START + REFERENCE_DAYS * DAY
END = MIDDLE + SERVED_DAYS * DAY
EVERY = 30 * SECOND
N_ROWS = DAY // EVERY  # of a day
N_DAYS = 7  # of each model: the first learns, the others are measured
CPU_MS, STATEMENTS, GROWTH = 40, 14, 1.2  # with fold and archive 15
CONTRACT = Contract(
    features=tuple(Feature(name=f"f{i}") for i in range(N_FEATURES)),
    targets=("y",),
    step=15 * MINUTE,
    input_length=1,
    horizon=1,
)


def predictions(version: str, first: datetime) -> pa.Table:
    """Return the rows of a day: a season with noise, and forecasts of one step."""
    rng = np.random.default_rng(int(first.timestamp()))
    n, at, season = N_ROWS, _times(first), np.sin(2 * np.pi * np.arange(N_ROWS) / N_ROWS)
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


def labels(first: datetime) -> pa.Table:
    """Return what happened, for each prediction of a day."""
    rng = np.random.default_rng(int(first.timestamp()) + 1)
    n, at, schema = N_ROWS, pa.array(_times(first)).cast(TIME), label_schema(CONTRACT)
    season = np.sin(2 * np.pi * np.arange(n) / n)
    values = season + rng.normal(size=n)
    actual = pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32), values)
    columns = {
        "prediction_id": pa.array([f"v1-{first:%j}-{i}" for i in range(n)]),
        "actual": pa.StructArray.from_arrays([actual], fields=[*schema.field("actual").type]),
        "arrived_at": at,
        "received_at": at,
    }
    arrays = [columns.get(field.name, pa.nulls(n, field.type)) for field in schema]
    return pa.table(arrays, schema=schema)


def _times(first: datetime) -> NDArray[np.datetime64]:
    start = np.datetime64(first.replace(tzinfo=None), "us")
    return start + np.arange(N_ROWS) * np.timedelta64(EVERY // timedelta.resolution, "us")


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
        keep(Kind.PREDICTIONS, predictions(REFERENCE, START + day * DAY))
    fold_all(sessions, END)
    for day in range(SERVED_DAYS):
        keep(Kind.PREDICTIONS, predictions("v1", MIDDLE + day * DAY))
        keep(Kind.LABELS, labels(MIDDLE + day * DAY))
    fold_all(sessions, END)
    while archive_all(sessions, lake, END):
        pass
    join_all(sessions, lake, END)
    with unit_of_work(sessions) as session:
        session.get_one(Model, model_id).evaluated_until = END - N_DAYS * DAY
        session.execute(delete(LateDay))  # of rows that were sent all at once
    return model_id


def copy(sessions: sessionmaker[Session], lake: Path, model_id: UUID, name: str) -> None:
    """Add a model with a copy of the summaries and the log of another."""
    with unit_of_work(sessions) as session:
        new_id = add_model(session, name)
        first, model = session.get_one(Model, model_id), session.get_one(Model, new_id)
        model.watermark, model.evaluated_until = first.watermark, first.evaluated_until
        for name in ("summary", "summary_layout", "stream"):
            table = Base.metadata.tables[name]
            kept = [column for column in table.columns if column.name != "model_id"]
            own = select(literal(new_id, Uuid()), *kept).where(table.c.model_id == model_id)
            session.execute(insert(table).from_select([table.c.model_id, *kept], own))
    shutil.copytree(lake / str(model_id), lake / str(new_id), copy_function=os.link)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU in milliseconds, and SQL statements."""

    cpu: float
    statements: float


class Meter:
    """Measures the runs of a job, and all that happens around them."""

    def __init__(self, engine: Engine) -> None:
        self.runs: list[Cost] = []
        self.whole: list[Cost] = []
        self._seconds: dict[str, float] = defaultdict(float)
        self._calls: Counter[str] = Counter()
        self._profile: cProfile.Profile | None = None
        self._n, self._began = 0, 0.0
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)

    def _before(self, _: object, __: object, statement: str, *___: object) -> None:
        self._n += not statement.startswith("BEGIN")
        self._began = time.perf_counter()

    def _after(self, _: object, __: object, statement: str, *___: object) -> None:
        self._seconds[statement] += time.perf_counter() - self._began
        self._calls[statement] += 1

    def reset(self, *, profiled: bool) -> None:
        """Begin anew."""
        self.runs.clear()
        self.whole.clear()
        self._seconds.clear()
        self._calls.clear()
        self._profile = cProfile.Profile() if profiled else None

    @contextmanager
    def measure(self, costs: list[Cost]) -> Iterator[None]:
        """Add what is spent meanwhile to some costs."""
        began, n = time.process_time(), self._n
        yield
        costs.append(Cost(1000 * (time.process_time() - began), self._n - n))

    def job(self, job: Job) -> Job:
        """Return a job whose runs are measured."""

        def do(claim: Claim) -> None:
            with self.measure(self.runs), self._profile or nullcontext():
                job.do(claim)

        return replace(job, do=do)

    def show(self, n_models: int) -> Cost:
        """Print what was spent; return the median of the runs."""
        n = len(self.runs)
        of_run = Cost(
            statistics.median(one.cpu for one in self.runs),
            statistics.median(one.statements for one in self.runs),
        )
        around = Cost(
            *(
                (
                    sum(getattr(one, name) for one in self.whole)
                    - sum(getattr(one, name) for one in self.runs)
                )
                / n
                for name in ("cpu", "statements")
            )
        )
        print(
            f"{n_models:4} models, {n:4} runs: {of_run.cpu:6.1f} ms CPU "
            f"{of_run.statements:4.0f} statements each; ticker and queue {around.cpu:6.1f} ms "
            f"{around.statements:4.1f} statements"
        )
        if self._profile is not None:
            pstats.Stats(self._profile).sort_stats("tottime").print_stats(10)
            spent = sorted(self._seconds.items(), key=lambda one: -one[1])
            for statement, seconds in spent[:10]:
                calls, text = self._calls[statement] / n, " ".join(statement.split())
                print(f"{1000 * seconds / n:7.2f} ms {calls:5.1f} times  {text[:90]}")
        return of_run


@contextmanager
def installation() -> Iterator[tuple[Settings, sessionmaker[Session], UUID]]:
    """Start an installation with one model."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        settings = Settings(database_url=f"sqlite:///{folder}/seqwatch.sqlite", lake=lake)
        engine = connect(settings.database_url)
        upgrade(engine)
        sessions = sessionmaker(engine, expire_on_commit=False)
        yield settings, sessions, fill(sessions, lake)
        engine.dispose()


def measure(n_models: int, *, profiled: bool) -> Cost:
    """Print what a run costs where there are so many models; return the median of the runs."""
    with installation() as (settings, sessions, model_id):
        assert isinstance(settings.lake, Path)
        for i in range(1, n_models):
            copy(sessions, settings.lake, model_id, f"model-{i:02}")
        meter = Meter(sessions.kw["bind"])
        job = meter.job(jobs(settings, sessions)[schedule.JOB])
        worker = Worker(settings, sessions, {schedule.JOB: job}, Queue.EVALUATION)
        ticker = Ticker(settings, sessions)
        for day in range(N_DAYS):
            with unit_of_work(sessions) as session:  # the watermark passes the next day
                end = END - (N_DAYS - 1 - day) * DAY
                session.execute(update(Model).values(watermark=end + DAY / 2))
            if day == 1:  # what the first taught is remembered
                meter.reset(profiled=profiled)
            with meter.measure(meter.whole):
                ticker.ask(closed_days)
                while worker.once():
                    pass
        return meter.show(n_models)


def main() -> int:
    """Measure some numbers of models, and hold the figures against the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--profile", action="store_true", help="the most expensive parts")
    given = parser.parse_args()
    of = {n: measure(n, profiled=given.profile) for n in given.models}
    few, many = of[min(of)], of[max(of)]
    report(Bar(name="evaluation: a run", figure=few.cpu, unit="ms CPU", at_most=CPU_MS))
    name = "evaluation: a run, SQL"
    report(Bar(name=name, figure=few.statements, unit="", at_most=STATEMENTS))
    if few is not many:
        name = f"evaluation: a run of {max(of)} models against {min(of)}"
        report(Bar(name=name, figure=many.cpu / few.cpu, unit="x", at_most=GROWTH))
    return 0


if __name__ == "__main__":
    sys.exit(main())
