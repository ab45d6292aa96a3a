"""What does a day of a fleet cost: CPU by job, memory, backlog, files of the lake, bytes kept?

Run: `python -m benchmarks.fleet_day [--models 500] [--hours 24]`. Models of 8 features at a
grain of 15 minutes are sent a row every 30 s, in a batch every 5 minutes; one in five gets a
label for each prediction, an hour late. Simulated time moves on by these 5 minutes; ticker,
queue and worker of one process then do what is due by their own code, and see simulated time.
What they cost where nothing is due is measured every six hours, and counted as often as it
happens in a day. It begins at 19:00, so that an event day closes and is evaluated. SIGTERM ends
it early: what there is until then is reported.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from signal import SIGTERM, signal
from threading import Event
from typing import Any
from uuid import UUID

import numpy as np
import psutil
import pyarrow as pa
from deltalake import DeltaTable
from sqlalchemy import func, select
from sqlalchemy.orm import sessionmaker

from benchmarks import fleet, fold
from benchmarks.bar import Bar, report
from benchmarks.fleet_kept import bytes_by_table, report_database, report_lake
from benchmarks.rounds import CONTRACT
from core import clock
from core.durations import DAY, HOUR, MINUTE, SECOND
from core.schema.rows import REFERENCE, TIME, Kind, label_schema
from core.settings import Settings
from db.migrate import upgrade
from db.queries.log import inbox
from db.session import connect, read_only, unit_of_work
from db.tables import Alert, Inbox, Run
from db.tables.queue import RunStatus
from jobs import ticker, wiring
from jobs.ticker import Ticker, Wanted, at_slots
from jobs.worker import Worker
from lake import upkeep
from services.evaluation.by_clock import live
from services.ingest import persist
from services.labels import label_join
from services.open_tables import publish

BEGIN = fleet.START + 19 * HOUR
STEP, EVERY, LABELS_LATE, REPORT_EVERY = 5 * MINUTE, 30 * SECOND, HOUR, 2 * HOUR
IDLE_EVERY = 6 * HOUR
N_STEP = STEP // EVERY
REFERENCE_DAYS, LABELLED, TOGETHER = 60, 5, 50  # days; one model in; models of one commit
TICK, QUIET = 2 * SECOND, 30 * SECOND  # how often jobs are asked for; a stretch of idleness
CORES, GROWTH, LARGER = 1.0, 0.10, 1.1
FIXED = (
    "queue",
    "ticker",
    "deliver_all",
    "fold_all",
)  # where nothing is due: of any number of models
WORK = ("fold_all", "archive_all", "join_all", "deliver_all", "sweep", "roll_up_all")


class Clock:
    """Simulated time, in place of wall time and of the monotonic clock."""

    def __init__(self) -> None:
        self.at = BEGIN
        clock.datetime = self  # type: ignore[attr-defined, assignment]
        for module in (label_join, live):
            module.monotonic = self.monotonic  # type: ignore[attr-defined]

    def now(self, zone: tzinfo) -> datetime:
        return self.at.astimezone(zone)

    def monotonic(self) -> float:
        """Return seconds; CPU time is added, so that what takes long is seen to."""
        return (self.at - BEGIN).total_seconds() + time.process_time()


class Spent:
    """CPU seconds by what they were spent on; what is measured inside is not counted twice."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        self._inside = [0.0]

    def on(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            began = time.process_time()
            self._inside.append(0.0)
            try:
                return work(*args, **options)
            finally:
                spent = time.process_time() - began
                self.of[name] += spent - self._inside.pop()  # type: ignore[assignment]  # seconds
                self._inside[-1] += spent

        return timed


def tidy(table: DeltaTable, pinned: Callable[[], set[int]], now: datetime) -> int:
    """Tidy as `lake.upkeep`, in simulated time.

    Delta compares its own clock with the time at which a file was replaced. Two compactions are
    more than `READABLE` apart here: what one has replaced is removed before the next.
    """
    if table.version() % upkeep.EVERY:
        return 0
    for entry in (Path(table.table_uri.removeprefix("file://")) / "_delta_log").iterdir():
        if entry.stat().st_mtime > now.timestamp() + 7 * DAY.total_seconds():
            os.utime(entry, (now.timestamp(), now.timestamp()))
    upkeep.drop(table, pinned(), now)
    return upkeep.compact(table)


def predictions(n_models: int, start: datetime, every: timedelta, n: int) -> pa.Table:
    """Return `n` rows of each of some models, model by model."""
    table = fold.rows(CONTRACT, n_models * n, 1, 1, seed=int(start.timestamp()))
    at = [start + i * every for i in range(n)] * n_models
    ids = [f"{moment:%d%H%M%S}" for moment in at]
    return with_columns(
        table,
        at=pa.array(at, TIME),
        received_at=pa.array(at, TIME),
        prediction_id=pa.array(ids),
        entity=pa.array(["e"] * len(at)),
    )


def with_columns(table: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, values.cast(field.type))
    return table


def labels(start: datetime, now: datetime) -> pa.Table:
    """Return the labels of the predictions of one step from `start` on, of one model."""
    n = N_STEP
    made = np.random.default_rng(int(start.timestamp())).normal(size=n)
    lists = pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32), made)
    known = {
        "entity": pa.array(["e"] * n),
        "target_at": pa.array([start + i * EVERY + CONTRACT.step for i in range(n)], TIME),
        "actual": pa.StructArray.from_arrays([lists], names=list(CONTRACT.targets)),
        "arrived_at": pa.array([now] * n, TIME),
        "received_at": pa.array([now] * n, TIME),
    }
    schema = label_schema(CONTRACT)
    arrays = [
        known[field.name].cast(field.type) if field.name in known else pa.nulls(n, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


class Platform:
    """An installation with so many models, its ticker and its worker in this process."""

    def __init__(self, folder: str, n_models: int) -> None:
        self.clock, self.spent, self.n_rows = Clock(), Spent(), 0
        self.settings = Settings(
            database_url=f"sqlite:///{folder}/seqwatch.sqlite", lake=f"{folder}/lake"
        )
        self.lake = Path(f"{folder}/lake")
        engine = connect(self.settings.database_url)
        upgrade(engine)
        self.sessions = sessionmaker(engine, expire_on_commit=False)
        with unit_of_work(self.sessions) as session:
            self.model_ids = [
                fleet.add_model(session, f"m{i:03}", CONTRACT) for i in range(n_models)
            ]
            session.query(Alert).delete()
        for name in WORK:
            setattr(wiring, name, self.spent.on(name, getattr(wiring, name)))
        live.LiveMonitors.run = self.spent.on("live monitors", live.LiveMonitors.run)  # type: ignore[method-assign]
        upkeep.tidy = self.spent.on("tidy", tidy)
        known = wiring.jobs(self.settings, self.sessions)
        for name, job in known.items():
            object.__setattr__(job, "do", self.spent.on(f"job {name}", job.do))
        self._worker = Worker(self.settings, self.sessions, known)
        self._ticker, of = Ticker(self.settings, self.sessions), self.settings
        late = of.reevaluate_every
        slots = {
            "fold": of.fold_every,
            "kserve": ticker.SWEEP_EVERY,
            "archive": of.archive_every,
            "deliver": of.deliver_every,
            publish.JOB: of.publish_every,
            "purge": ticker.PURGE_EVERY,
            "retain": ticker.RETAIN_EVERY,
        }
        self.slots = [(every, at_slots(job, every)) for job, every in slots.items()]
        self._wanted: list[tuple[timedelta, Wanted]] = [
            *self.slots,
            (of.evaluate_every, ticker.closed_days),
            (of.fold_every, ticker.trainings),
            (ticker.ERASE_EVERY, ticker.erasures),
            (ticker.PULLS_EVERY, ticker.pulls),
            (late, ticker.late_days(late)),
        ]
        self._asked: dict[int, datetime] = {}
        self.work = self.spent.on("queue", self._work)
        self.ask = self.spent.on("ticker", self._ask)

    def _ask(self, wanted: Wanted) -> None:
        self._ticker.ask(wanted)

    def _work(self) -> None:
        while self._worker.once():
            pass

    def run(self) -> None:
        """Ask for what is due now, and do it."""
        for i, (every, wanted) in enumerate(self._wanted):
            slot = ticker.slot_of(self.clock.at, every)
            if self._asked.get(i) != slot:
                self._asked[i] = slot
                self.ask(wanted)
                self.work()

    def send(self, kind: Kind, batches: dict[UUID, pa.Table]) -> None:
        """Store a batch of each model, some of them in one commit."""
        items = [*batches.items()]
        for first in range(0, len(items), TOGETHER):
            some = dict(items[first : first + TOGETHER])
            arrived = {*some} if kind is Kind.PREDICTIONS else set[UUID]()
            with unit_of_work(self.sessions) as session:
                for model_id, table in some.items():
                    persist.keep(session, model_id, kind, table, self.clock.at)
                    self.n_rows += table.num_rows
                inbox.sign_of_life(session, some, arrived, self.clock.at)

    def step(self) -> None:
        """Send the rows of one step, and do what is due at its end."""
        start, n = self.clock.at, len(self.model_ids)
        table = predictions(n, start, EVERY, N_STEP)
        self.clock.at = start + STEP
        batches = {
            model_id: table.slice(i * N_STEP, N_STEP)
            for i, model_id in enumerate(self.model_ids)
        }
        keep = self.spent.on("ingest", self.send)
        keep(Kind.PREDICTIONS, batches)
        about = start - LABELS_LATE - CONTRACT.step
        if about >= BEGIN:
            known = labels(about, self.clock.at)
            keep(Kind.LABELS, dict.fromkeys(self.model_ids[::LABELLED], known))
        self.run()

    def idle(self) -> Counter[str]:
        """Return the CPU seconds by job of a stretch in which nothing comes."""
        before = Counter(self.spent.of)
        for _ in range(QUIET // TICK):
            self.clock.at += TICK
            self.run()
        spent = Counter(self.spent.of)
        spent.subtract(before)
        self.spent.of = before
        return spent

    def backlog(self) -> int:
        with read_only(self.sessions) as session:
            return int(session.scalar(select(func.coalesce(func.sum(Inbox.n_bytes), 0))) or 0)

    def report_runs(self) -> None:
        """Print how many rows of the queue an installation writes in a day, and their bytes."""
        with read_only(self.sessions) as session:
            n_runs = session.scalar(select(func.count()).select_from(Run)) or 1
        n_daily = sum(DAY / every for every, _ in self.slots)
        size = bytes_by_table(self.sessions)["run"] / n_runs
        print(f"table run: {size:.0f} bytes a run, {n_daily:,.0f} runs a day")

    def failures(self) -> int:
        with read_only(self.sessions) as session:
            failed = Run.error.is_not(None) | (Run.status == RunStatus.DEAD)
            return session.scalar(select(func.count()).select_from(Run).where(failed)) or 0


def replay(running: Platform, hours: float) -> float:
    """Replay some hours and report the bars; how many hours they were."""
    process, rss, backlogs = psutil.Process(), list[float](), list[int]()
    quiet, n_quiet = Counter[str](), 0
    end, began, stop = BEGIN + hours * HOUR, time.process_time(), Event()
    signal(SIGTERM, lambda *_: stop.set())
    while running.clock.at < end and not stop.is_set():
        step_began = running.clock.at
        running.step()
        backlogs.append(running.backlog())
        if (running.clock.at - BEGIN) % REPORT_EVERY == timedelta(0):
            memory = process.memory_info().rss / 1e6
            rss.append(memory)
            print(
                f"{step_began + STEP:%d %H:%M}  RSS {memory:6.0f} MB  backlog at most "
                f"{max(backlogs[-24:]):12,} bytes  CPU {time.process_time() - began:8.1f} s",
                flush=True,
            )
        if (running.clock.at - BEGIN) % IDLE_EVERY == timedelta(0):
            quiet.update(running.idle())
            n_quiet += 1
        running.clock.at = step_began + STEP
    hours = (running.clock.at - BEGIN) / HOUR
    n_models, spent = len(running.model_ids), Counter(running.spent.of)
    idle = {name: cpu * hours * HOUR / QUIET / max(n_quiet, 1) for name, cpu in quiet.items()}
    for name in sorted({*spent, *idle}, key=lambda one: -spent[one] - idle.get(one, 0)):
        print(f"CPU {name:22} {spent[name]:9.2f} s, and nothing due {idle.get(name, 0):9.2f} s")
    cores = (spent.total() + sum(idle.values())) / (hours * 3600)
    of_idle = sum(idle.values()) / (hours * 3600)
    print(f"{n_models} models: {cores:.4f} cores, of which {of_idle:.4f} where nothing is due")
    fixed = sum(idle.get(name, 0) for name in FIXED) / (hours * 3600)
    of_500 = fixed + (cores - fixed) * 500 / n_models
    report(Bar(name="fleet day: 500 models", figure=of_500, unit="cores", at_most=CORES))
    quarter = rss[max(len(rss) // 4 - 1, 0)]
    growth = max(rss) / quarter - 1
    print(f"RSS: {growth:+.0%} after the first quarter (goal {GROWTH:.0%})")
    half = len(backlogs) // 2
    larger = max(backlogs[half:]) / max(backlogs[half // 2 : half])
    report(Bar(name="fleet day: backlog, growth", figure=larger, unit="x", at_most=LARGER))
    return hours


def main() -> int:
    """Replay a day; 0 when every row arrived once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--hours", type=float, default=24)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        running = Platform(folder, given.models)
        past = predictions(1, fleet.START - REFERENCE_DAYS * DAY, HOUR, REFERENCE_DAYS * 24)
        past = with_columns(past, version=pa.array([REFERENCE] * past.num_rows))
        running.clock.at = BEGIN - HOUR
        running.send(Kind.PREDICTIONS, dict.fromkeys(running.model_ids, past))
        for running.clock.at in (BEGIN - HOUR / 2, BEGIN):
            running.run()
        print(f"set-up: {running.spent.of.total():.1f} s CPU", flush=True)
        running.spent.of.clear()
        before = bytes_by_table(running.sessions)
        hours = replay(running, given.hours)
        running.clock.at += HOUR
        running.run()
        running.report_runs()
        since, model_days = fleet.START, given.models * hours / 24
        report_database(running.sessions, before, since, model_days)
        n_lake = report_lake(running.lake, since)
        print(f"rows: {running.n_rows:,} sent, {n_lake:,} in the lake")
        n_failed = running.failures()
        print(f"runs that failed: {n_failed}")
        return 0 if n_lake == running.n_rows and not n_failed else 1


if __name__ == "__main__":
    sys.exit(main())
