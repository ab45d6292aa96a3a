"""What does it cost to publish the open tables, and a round in which nothing is new?

Run: `python -m benchmarks.open_tables`. On SQLite: 100 models with 12 monitors, whose findings
of 90 days wait, each with the scores of eight features; then 500 models whose current hour
waits for its end. The bars are rows per second of CPU, and milliseconds of CPU of a round.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from benchmarks.statements import statements
from core.durations import DAY, HOUR
from db.migrate import upgrade
from db.session import connect, unit_of_work
from db.tables import Finding, Monitor
from lake import published
from monitors.finding import Outcome
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.open_tables.publish import publish_all
from services.open_tables.registry import TABLES
from services.open_tables.sources import FINDINGS
from tests import stored
from tests.streams import START, add_model

N_MODELS, N_MONITORS, N_DAYS, N_FEATURES = 100, 12, 90, 8
N_FLEET = 500  # models of the idle round
NOW = START + N_DAYS * DAY
KIND = "input_drift"


@contextmanager
def cpu(seconds: list[float]) -> Iterator[None]:
    """Append the seconds of CPU that the process took meanwhile."""
    start = process_time()
    yield
    seconds.append(process_time() - start)


def fill(sessions: sessionmaker[Session]) -> None:
    """Add models, monitors and the findings of each day."""
    detail = {
        "top": "f0",
        "features": {f"f{i}": {"score": 0.1 * i, "effect": 0.3} for i in range(N_FEATURES)},
    }
    for m in range(N_MODELS):
        model_id = add_model(sessions, name=f"model-{m}")
        with unit_of_work(sessions) as session:
            for k in range(N_MONITORS):
                monitor = Monitor(
                    model_id=model_id, name=f"m{k}", kind=KIND, severity="ticket", params={}
                )
                session.add(monitor)
                session.flush()
                session.add_all(
                    Finding(
                        monitor_id=monitor.id,
                        model_id=model_id,
                        version="v1",
                        window_start=START + (day - 1) * DAY,
                        window_end=START + day * DAY,
                        as_of=START + day * DAY,
                        outcome=Outcome.OK,
                        value=0.4,
                        threshold=3.0,
                        detail=detail,
                        recorded_at=START + day * DAY + HOUR,
                    )
                    for day in range(N_DAYS)
                )


def size(lake: Path, name: str) -> tuple[int, int]:
    """Return files and bytes of a table that Delta lists."""
    table = published.open_table(lake, name)
    assert table is not None
    paths = [Path(uri) for uri in table.file_uris()]
    return len(paths), sum(path.stat().st_size for path in paths)


def measure(folder: Path) -> list[Bar]:
    """Publish everything, then rounds without news, then an hour of a fleet."""
    engine, lake = connect(f"sqlite:///{folder}/seqwatch.sqlite"), folder / "lake"
    upgrade(engine)
    sessions = sessionmaker(engine, expire_on_commit=False)
    fill(sessions)
    seconds: list[float] = []
    n_rows = 0
    with cpu(seconds):
        while n := publish_all(sessions, lake, NOW):
            n_rows += n
    for table in TABLES:
        if table.source is FINDINGS:
            n_files, n_bytes = size(lake, table.name)
            sys.stdout.write(f"{table.name}: {n_files} files, {n_bytes / 1e6:.1f} MB\n")
    sys.stdout.write(f"{n_rows} rows in {seconds[0]:.1f} s of CPU\n")

    for i in range(N_FLEET):
        model_id = add_model(sessions, name=f"fleet-{i}")
        with unit_of_work(sessions) as session:
            for sli in ("availability", "latency"):
                plan = MonitorPlan(name=sli, kind="burn_rate", params={"sli": sli})
                monitor_config.put(session, model_id, plan)
            stored.put_served(session, model_id, "v1", NOW, 10, latency=[0.1] * 10)
    n_idle = 20
    with cpu(seconds), statements(engine) as sent:
        for _ in range(n_idle):
            publish_all(sessions, lake, NOW)
    sys.stdout.write(f"a round without news: {len(sent) / n_idle:.0f} statements\n")

    with cpu(seconds):
        n_served = publish_all(sessions, lake, NOW + 2 * HOUR)
    sys.stdout.write(
        f"{n_served} rows of an hour of {N_FLEET} models: {seconds[2]:.2f} s of CPU\n"
    )
    return [
        Bar(
            name="open tables: rows published",
            figure=n_rows / seconds[0],
            unit="rows/s of CPU",
            at_least=10_000,
        ),
        Bar(
            name="open tables: a round without news",
            figure=seconds[1] / n_idle * 1e3,
            unit="ms of CPU",
            at_most=20,
        ),
    ]


def main() -> int:
    """Print the figures; 0 when each bar is met."""
    with TemporaryDirectory() as made:
        bars = measure(Path(made))
    are_met = [report(bar) for bar in bars]
    return 0 if all(are_met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
