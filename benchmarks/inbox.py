"""The inbox on PostgreSQL: ingest beside SQLite, lock waits, and disk space after a backlog.

Ingest of Arrow and of JSON on both databases in turn, and the ratio of the medians. Then a
backlog is sent to PostgreSQL, and three workers fold and archive it while batches go on to
arrive: the longest wait for a lock among samples of `pg_locks`, and how long after the backlog
was drained the tables of the inbox were small again. The server flushes each commit.
`python -m benchmarks.inbox --help`; ten minutes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.bar import Bar, report
from benchmarks.ingest import N_ROWS, server, shape, shapes
from benchmarks.load import Shape, load, load_at
from tests.postgres import started

BAR_RATIO = 0.5
BAR_WAIT = 100.0  # ms
BAR_SECONDS = 600.0
N_WORKERS = 3
SMALL = 50 * 10**6  # bytes of the inbox
RATE = 2  # requests of `N_ROWS` a second while the backlog is drained
PATIENCE = 1_200.0  # seconds
SIZE = "SELECT " + " + ".join(
    f"pg_total_relation_size('{table}')"
    for table in ("inbox", "inbox_payload", "inbox_payload_second")
)
WAITING = "SELECT coalesce(sum(n_bytes), 0) FROM inbox"
LONGEST_WAIT = """
SELECT extract(epoch FROM clock_timestamp() - waitstart), locktype, mode, waiting.query,
  blocking.query, blocking.state
FROM pg_locks
JOIN pg_stat_activity AS waiting USING (pid)
JOIN pg_stat_activity AS blocking ON blocking.pid = ANY (pg_blocking_pids(pg_locks.pid))
WHERE NOT granted AND waiting.application_name <> 'benchmark' ORDER BY waitstart LIMIT 1
"""


class Waits:
    """The longest waits for a lock, sampled by a thread of its own."""

    def __init__(self, url: str) -> None:
        self.samples: list[tuple[float, str]] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "Waits":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(0.01):
                row = connection.execute(LONGEST_WAIT).fetchone()
                waited, *what = row or (0.0,)
                self.samples.append((1000 * float(waited or 0), " | ".join(map(str, what))))


def ingest_rate(of: Shape, url: str | None, seconds: float) -> float:
    """Return the rows per second that an API on a new database acknowledges."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), url) as (port, token, _):
        measured = load(of, port, token, seconds=seconds)
    return len(measured.latencies) * of.n_rows / measured.seconds


def compare(server_url: str, of: Shape, n_rounds: int, seconds: float) -> float:
    """Print the rates of one kind of request on both databases; return their ratio."""
    on_sqlite, on_postgres = [], []
    for no in range(n_rounds):
        on_sqlite.append(ingest_rate(of, None, seconds))
        url = _new_database(server_url, f"round_{of.n_rows}_{of.n_connections}_{no}")
        on_postgres.append(ingest_rate(of, url, seconds))
        print(
            f"{of.name}: SQLite {on_sqlite[-1]:,.0f}, PostgreSQL {on_postgres[-1]:,.0f} rows/s"
        )
    return statistics.median(on_postgres) / statistics.median(on_sqlite)


@contextmanager
def workers(folder: Path, url: str) -> Iterator[None]:
    """Run three workers."""
    given = {
        **os.environ,
        "SEQWATCH_DATABASE_URL": url,
        "SEQWATCH_LAKE": str(folder / "lake"),
        "SEQWATCH_ARTIFACTS": str(folder / "artifacts"),
    }
    command = [sys.executable, "-m", "cli.main", "worker"]
    running = [
        subprocess.Popen(command, env=given, stderr=subprocess.DEVNULL)
        for _ in range(N_WORKERS)
    ]
    try:
        yield
    finally:
        for worker in running:
            worker.terminate()
        for worker in running:
            worker.wait(timeout=90)


def drain(folder: Path, url: str, backlog_bytes: int) -> None:
    """Send a backlog, let three workers drain it, and print the bars of waits and size."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    arrow = shape("Arrow, 1,000 rows", N_ROWS, 16)
    stop = threading.Event()

    def go_on(port: int, token: str) -> None:
        while not stop.is_set():
            load_at(arrow, port, token, rate=RATE, seconds=5)

    with (
        server(folder, url) as (port, token, _),
        psycopg.connect(plain, autocommit=True, application_name="benchmark") as connection,
    ):

        def read(query: str) -> int:
            row = connection.execute(query).fetchone()
            assert row is not None
            return int(row[0])

        while read(SIZE) < backlog_bytes:
            load(arrow, port, token, seconds=2)
        most = read(WAITING)
        print(f"backlog {most / 1e6:.0f} MB, tables of the inbox {read(SIZE) / 1e6:.0f} MB")
        sending = threading.Thread(target=go_on, args=(port, token))
        with Waits(plain) as waits, workers(folder, url):
            sending.start()
            began, drained, size = time.monotonic(), 0.0, 0
            while time.monotonic() - began < PATIENCE:
                waiting, size = read(WAITING), read(SIZE)
                if not drained and waiting < most / 10:
                    drained = time.monotonic()
                    print(f"drained in {drained - began:.0f} s, tables {size / 1e6:.0f} MB")
                if drained and size < SMALL:
                    break
                time.sleep(1)
            took = time.monotonic() - drained
            stop.set()
            sending.join()
    print(f"tables of the inbox {size / 1e6:.0f} MB; {len(waits.samples):,} samples of waits")
    longest, what = max(waits.samples)
    n_long = sum(waited > BAR_WAIT for waited, _ in waits.samples)
    print(f"longest wait: {longest:.0f} ms: {what}; {n_long} samples above {BAR_WAIT:.0f} ms")
    name = "inbox: longest wait for a lock, three workers"
    report(Bar(name=name, figure=longest, unit="ms", at_most=BAR_WAIT))
    name = "inbox: until below 50 MB after a backlog"
    report(Bar(name=name, figure=took, unit="s", at_most=BAR_SECONDS))


def main() -> None:
    """Print rates and three bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of ingest; 0 for none")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--backlog", type=int, default=400, help="MB of the inbox")
    given = parser.parse_args()
    with started(durable=True, flushed=True) as postgres:
        for of in shapes() if given.rounds else ():
            ratio = compare(postgres.url, of, given.rounds, given.seconds)
            print(f"{of.name}: ratio {ratio:.2f}")
            if of.name.startswith("Arrow"):
                name = "inbox: Arrow ingest, PostgreSQL to SQLite"
                report(Bar(name=name, figure=ratio, unit="", at_least=BAR_RATIO))
        with tempfile.TemporaryDirectory() as folder:
            url = _new_database(postgres.url, "backlog")
            drain(Path(folder), url, given.backlog * 10**6)


def _new_database(server_url: str, name: str) -> str:
    address = make_url(server_url)
    plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return address.set(database=name).render_as_string(hide_password=False)


if __name__ == "__main__":
    main()
