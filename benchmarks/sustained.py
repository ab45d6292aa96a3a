"""Does the whole platform hold 60,000 predictions a second, and for how long?

Run: `make bench-sustained` (ten minutes), or `python -m benchmarks.sustained
--minutes 2`. API, ticker and worker run as in production; eight models are fed
at a fixed rate, a day of event time a minute, so that days close, are joined
with labels and evaluated. Memory, backlog and latency are printed every ten
seconds; the last lines show whether they are bounded and every row is there.
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import psutil
from deltalake import DeltaTable
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.ingest import CONTRACT, server
from benchmarks.traffic import Plan, Report, reference_body, send
from core.clock import utcnow
from core.schema.zone import UTC_ZONE
from core.window import Window
from db.queries import models
from db.session import connect, read_only, unit_of_work
from db.tables import Inbox, Run
from services.access.api_keys import create_key
from services.models.registry import Registration, VersionPlan, plan_version, register

RATE = 60_000
N_MODELS = 8
DAY_SECONDS = 60.0  # of a day of event time
REFERENCE_DAYS = 14
EVERY = 10.0  # seconds between two lines
MAX_API, MAX_WORKER = 600, 1000  # MB, the bars
MAX_SLOPE = 0.1  # of the mean, over the second half: flat
MAX_BEHIND = 90.0  # seconds of traffic that may wait: three archives
PATIENCE = 300.0  # seconds for the worker to finish what it has in hand
MB = 1_000_000


class Sample(NamedTuple):
    """Figures of one line."""

    at: float
    rate: float
    n_backlog: int
    api: float
    worker: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What is running."""

    folder: Path
    sessions: sessionmaker[Session]
    port: int
    token: str
    api: psutil.Process
    worker: psutil.Process

    @property
    def lake(self) -> Path:
        return self.folder / "lake"


@contextmanager
def platform(folder: Path, names: tuple[str, ...]) -> Iterator[Platform]:
    """Run api and worker; stop the worker, which finishes what it has in hand, at the end."""
    with server(folder) as (port, _, pid):
        url = f"sqlite:///{folder / 'bench.sqlite'}"
        engine = connect(url)
        sessions = sessionmaker(engine)
        with unit_of_work(sessions) as session:
            token = create_key(session, "sustained", ["admin"], None, utcnow())
            for name in names:
                register(session, Registration(name=name, contract=CONTRACT), utcnow())
        environment = {
            "SEQWATCH_DATABASE_URL": url,
            "SEQWATCH_LAKE": str(folder / "lake"),
            "SEQWATCH_ARTIFACTS": str(folder / "artifacts"),
            "SEQWATCH_REPORTS": str(folder / "reports"),
        }
        log = (folder / "worker.log").open("wb")
        worker = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "worker"],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
        try:
            yield Platform(
                folder=folder,
                sessions=sessions,
                port=port,
                token=token,
                api=psutil.Process(pid),
                worker=psutil.Process(worker.pid),
            )
        finally:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
                worker.wait(timeout=PATIENCE)
            log.close()
            engine.dispose()


def prepare(running: Platform, names: tuple[str, ...], plan: Plan) -> None:
    """Give each model its past input, and a version that serves."""
    start = plan.start - timedelta(days=REFERENCE_DAYS)
    body = reference_body(start, REFERENCE_DAYS)
    window = Window(start, plan.start)
    with unit_of_work(running.sessions) as session:
        for name in names:
            version = VersionPlan(name="v1", reference=(window,))
            plan_version(session, models.find(session, name).id, version, utcnow())
    with httpx.Client(
        base_url=f"http://127.0.0.1:{running.port}",
        headers={"Authorization": f"Bearer {running.token}"},
        trust_env=False,
        timeout=60,
    ) as api:
        for name in names:
            sent = api.post(
                f"/v1/models/{name}/reference",
                content=body,
                headers={"Content-Type": "application/json"},
            )
            sent.raise_for_status()
            api.put(
                f"/v1/models/{name}/champion", json={"version": "v1", "expected_rev": 0}
            ).raise_for_status()


def backlog(sessions: sessionmaker[Session]) -> tuple[int, int]:
    """Return rows and bytes in the inbox."""
    with read_only(sessions) as session:
        n, size = session.execute(
            select(
                func.coalesce(func.sum(Inbox.n_rows), 0),
                func.coalesce(func.sum(Inbox.n_bytes), 0),
            )
        ).one()
    return int(n), int(size)


def evaluated(sessions: sessionmaker[Session]) -> int:
    """Return how many event days were evaluated."""
    with read_only(sessions) as session:
        done = Run.job == "evaluate", Run.finished_at.is_not(None)
        return session.scalar(select(func.count()).select_from(Run).where(*done)) or 0


def in_lake(running: Platform) -> int:
    """Return the rows of all tables."""
    paths = {path.parent for path in running.lake.glob("*/*/_delta_log")}
    return sum(
        sum(DeltaTable(path).get_add_actions(flatten=True)["num_records"].to_pylist())
        for path in paths
    )


def size_of(folder: Path) -> int:
    """Return the bytes of all files below."""
    n = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                n += (Path(root) / name).stat().st_size
            except FileNotFoundError:  # swept away meanwhile
                continue
    return n


HEADER = (
    f"{'s':>5} {'rows/s':>8} {'p50 ms':>7} {'p99 ms':>7} {'waiting':>10} {'MB':>6} "
    f"{'API MB':>7} {'worker':>7} {'lake MB':>8} {'days':>5} {'CPU a':>6} {'CPU w':>6}"
)


class Watch:
    """Prints a line for each report, and remembers."""

    def __init__(self, running: Platform) -> None:
        self.samples: list[Sample] = []
        self.n_accepted = 0
        self.n_refused = 0
        self._running = running
        self._last = 0.0
        self._cpu = self._used()

    def _used(self) -> tuple[float, float]:
        api, worker = self._running.api, self._running.worker
        return sum(api.cpu_times()[:2]), sum(worker.cpu_times()[:2])

    def note(self, report: Report) -> None:
        accepted = report.accepted["all"]
        self.n_accepted += accepted
        self.n_refused += report.n_refused
        seconds = max(report.at - self._last, 1e-3)
        n, size = backlog(self._running.sessions)
        used = self._used()
        api, worker = (
            process.memory_info().rss / MB
            for process in (self._running.api, self._running.worker)
        )
        sample = Sample(report.at, accepted / seconds, n, api, worker)
        if not report.is_last:
            self.samples.append(sample)
        p50, p99 = (
            1000 * float(np.percentile(report.latencies or [np.nan], percent))
            for percent in (50, 99)
        )
        cpu = [(now - before) / seconds for now, before in zip(used, self._cpu, strict=True)]
        print(
            f"{report.at:>5.0f} {sample.rate:>8,.0f} {p50:>7.1f} {p99:>7.1f} {n:>10,} "
            f"{size / MB:>6.0f} {api:>7.0f} {worker:>7.0f} "
            f"{size_of(self._running.lake) / MB:>8.0f} {evaluated(self._running.sessions):>5} "
            f"{cpu[0]:>6.2f} {cpu[1]:>6.2f}"
            + f"  {report.n_in_line} late" * bool(report.n_in_line)
            + f"  {report.n_refused} refused: {report.first_refusal}" * bool(report.n_refused),
            flush=True,
        )
        self._last, self._cpu = report.at, used


def rise(samples: list[Sample], values: list[float]) -> float:
    """Return by how much a straight line through the values rises from end to end."""
    at = np.array([sample.at for sample in samples])
    slope = float(np.polyfit(at, np.array(values), 1)[0])
    return slope * float(at[-1] - at[0])


def verdict(watch: Watch, rate: float, n_lake: int, n_inbox: int) -> bool:
    """Print what holds and what does not."""
    half = watch.samples[len(watch.samples) // 2 :]
    most = max(sample.n_backlog for sample in half)
    held = {
        f"backlog: at most {most:,} rows, {most / rate:.0f} s of traffic "
        f"(bar {MAX_BEHIND:.0f})": most < MAX_BEHIND * rate,
        f"every row is there: {n_lake:,} in the lake + {n_inbox:,} in the inbox, "
        f"{watch.n_accepted:,} acknowledged": n_lake + n_inbox == watch.n_accepted,
        f"refused: {watch.n_refused}": watch.n_refused == 0,
    }
    for name, bar, values in (
        ("API", MAX_API, [sample.api for sample in half]),
        ("worker", MAX_WORKER, [sample.worker for sample in half]),
    ):
        grew = rise(half, values)
        text = f"{name}: at most {max(values):.0f} MB (bar {bar})"
        held[text] = max(values) < bar
        text = f"{name}: {grew:+.0f} MB over the second half (flat: within {MAX_SLOPE:.0%})"
        held[text] = grew < MAX_SLOPE * float(np.mean(values))
    for text, holds in held.items():
        print(f"{'ok  ' if holds else 'MISS'} {text}")
    return all(held.values())


def run(folder: Path, options: argparse.Namespace) -> bool:
    names = tuple(f"model-{no}" for no in range(options.models))
    days = int(options.minutes * 60 / options.day_seconds) + 2
    with platform(folder, names) as running:
        plan = Plan(
            models=names,
            rate=options.rate,
            seconds=options.minutes * 60,
            start=UTC_ZONE.floor(utcnow()) - timedelta(days=days),
            speed=86_400 / options.day_seconds,
            report_every=EVERY,
            port=running.port,
            token=running.token,
        )
        prepare(running, names, plan)
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        sender = multiprocessing.get_context("spawn").Process(target=send, args=(plan, theirs))
        sender.start()
        print(HEADER)
        watch = Watch(running)
        watch.n_accepted = options.models * REFERENCE_DAYS * 288
        is_last = False
        while not is_last:
            while not ours.poll(1.0):
                if not sender.is_alive():
                    raise RuntimeError("the sender gave up")
            report: Report = ours.recv()
            watch.note(report)
            is_last = report.is_last
        sender.join()
        before = time.monotonic()
        running.worker.send_signal(signal.SIGTERM)  # finishes what it has in hand
        running.worker.wait(timeout=PATIENCE)
        print(f"the worker ended after {time.monotonic() - before:.1f} s")
        n_inbox, _ = backlog(running.sessions)
        return verdict(watch, options.rate, in_lake(running), n_inbox)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave nothing running
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--models", type=int, default=N_MODELS)
    parser.add_argument("--day-seconds", type=float, default=DAY_SECONDS)
    parser.add_argument("--keep", type=Path, help="a new folder, not deleted at the end")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="seqwatch-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return 0 if run(folder, options) else 1
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
