"""What does a round of the worker over many models cost, with a batch for each and with none?

Run: `python -m benchmarks.rounds [--models 10 100 500]`. Models of `benchmarks.fleet` with 8
features and a grain of 15 minutes are sent a row every 30 s of event time, one to ten in each
round. CPU time and SQL statements of a fold of all, statements of their archive; then of each
job, and of each question of the ticker, where nothing is due.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from benchmarks import fleet
from benchmarks.bar import Bar, report
from benchmarks.fold import rows
from benchmarks.statements import statements
from core.durations import DAY, HOUR, SECOND
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import TIME, Kind
from db.session import read_only, unit_of_work
from jobs import ticker
from notify.sender import Sender
from services.aggregation.fold import fold_all
from services.alerting.deliver import deliver_all
from services.evaluation.by_clock.live import CLOCK_EVERY, LiveMonitors
from services.ingest import persist
from services.kserve.pairing import sweep
from services.labels.label_join import join_all
from services.retention.archive import archive_all

CONTRACT = Contract(
    features=tuple(Feature(name=f"f{i}") for i in range(8)),
    targets=("y",),
    step=HOUR / 4,
    input_length=1,
    horizon=1,
)
BEGIN = fleet.START + fleet.DAYS * DAY  # all days before are evaluated
EVERY, N_BEFORE, MOST_ROWS, ROUNDS = 30 * SECOND, 240, 10, 7
FOLD_MS, IDLE_MS, STATEMENTS = 2.0, 4.0, 1  # of each model; statements of fold and archive
MANY = 500  # models; of fewer, the statements that all share are more of each
GROWTH, LOCK_MS = 1.2, 100


def batch(number: int, first: int, n: int) -> pa.Table:
    """Return `n` rows of a model, the first of them being its row number `first`."""
    at = [BEGIN + (first + i) * EVERY for i in range(n)]
    found = rows(CONTRACT, n, 1, 1, seed=1000 * number + first)
    for name, values in (
        ("at", pa.array(at, TIME)),
        ("received_at", pa.array(at, TIME)),
        ("prediction_id", pa.array([f"{first + i}" for i in range(n)])),
        ("entity", pa.array(["e"] * n)),
    ):
        place = found.schema.get_field_index(name)
        found = found.set_column(place, found.schema.field(name), values.cast(found[name].type))
    return found


class Senders:
    """Send each model its rows, in order."""

    def __init__(self, sessions: sessionmaker[Session], model_ids: list[UUID]) -> None:
        self._sessions, self._next = sessions, dict.fromkeys(model_ids, 0)
        self._chance = np.random.default_rng(0)

    def send(self, n: int | None = None) -> datetime:
        """Send a batch to each model, by default of one to ten rows; when the last came."""
        now = BEGIN
        with unit_of_work(self._sessions) as session:
            for i, (model_id, first) in enumerate(self._next.items()):
                n_rows = n or int(self._chance.integers(1, MOST_ROWS + 1))
                table = batch(i, first, n_rows)
                self._next[model_id] += n_rows
                own = table["received_at"][-1].as_py()
                persist.keep(session, model_id, Kind.PREDICTIONS, table, own)
                now = max(now, own)
        return now


@contextmanager
def write_transactions(engine: Engine) -> Iterator[list[float]]:
    """Collect how many milliseconds each write transaction holds the database meanwhile."""
    seen, began = list[float](), [0.0]

    def begin(connection: object) -> None:
        began[0] = time.perf_counter()

    def commit(connection: object) -> None:
        seen.append(1000 * (time.perf_counter() - began[0]))

    event.listen(engine, "begin", begin)
    event.listen(engine, "commit", commit)
    try:
        yield seen
    finally:
        event.remove(engine, "begin", begin)
        event.remove(engine, "commit", commit)


def cpu_ms(work: Callable[[], object]) -> float:
    """Return the CPU time of some work."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def fold_rounds(
    sessions: sessionmaker[Session], senders: Senders, n_models: int, lake: Path
) -> float:
    """Print what a fold of one batch for each model costs; the median per model, in ms."""
    engine: Engine = sessions.kw["bind"]
    spent, n, n_archive, longest = [], 0, 0, list[float]()
    for _ in range(ROUNDS):
        now = senders.send()
        with statements(engine) as seen, write_transactions(engine) as held:
            spent.append(cpu_ms(lambda now=now: fold_all(sessions, now + SECOND)))  # type: ignore[misc]
        n = len(seen)
        longest.append(max(held))
        with statements(engine) as seen:
            archive_all(sessions, lake, now + SECOND)
        n_archive = len(seen)
    each = statistics.median(spent) / n_models
    print(
        f"{n_models:4} models, fold of a batch each: {each * n_models:8.1f} ms CPU, "
        f"{each:6.2f} ms and {n / n_models:5.1f} statements a model "
        f"({n_archive / n_models:.1f} of the archive), "
        f"longest write transaction {statistics.median(longest):.0f} ms",
        flush=True,
    )
    name = f"rounds: write transaction of a fold of {n_models} models"
    report(Bar(name=name, figure=statistics.median(longest), unit="ms", at_most=LOCK_MS))
    name = f"rounds: statements of fold and archive of {n_models} models, of each"
    if n_models >= MANY:
        report(Bar(name=name, figure=(n + n_archive) / n_models, unit="", at_most=STATEMENTS))
    return each


def questions(sessions: sessionmaker[Session]) -> dict[str, Callable[[], object]]:
    """Return what the ticker asks, by its name."""

    def asked(wanted: ticker.Wanted) -> Callable[[], object]:
        def ask() -> None:
            with read_only(sessions) as session:
                assert not [*wanted(session, BEGIN)], "nothing is due"

        return ask

    return {
        "closed days": asked(ticker.closed_days),
        "late days": asked(ticker.late_days(HOUR / 4)),
        "trainings": asked(ticker.trainings),
        "erasures": asked(ticker.erasures),
        "pulls": asked(ticker.pulls),
    }


def idle_round(
    sessions: sessionmaker[Session], n_models: int, now: datetime, lake: Path
) -> float:
    """Print what each job costs where nothing is due; their sum per model, in ms."""
    live = LiveMonitors(sessions)
    sender = Sender(allow=(), timeout=10 * SECOND, public_url="")
    work: dict[str, Callable[[], object]] = {
        "fold": lambda: fold_all(sessions, now),
        "live monitors, clock due": lambda: live.run(now),
        "live monitors": lambda: live.run(now),
        "archive": lambda: archive_all(sessions, lake, now),
        "join": lambda: join_all(sessions, lake, now),
        "pair events": lambda: sweep(sessions, lambda: now, timedelta(minutes=1)),
        "deliver": lambda: deliver_all(sessions, sender, lambda: now),
        **questions(sessions),
    }
    archive_all(sessions, lake, now)
    live.run(now)  # the first one fits, and stores
    spent: dict[str, list[float]] = {name: [] for name in work}
    engine, n = sessions.kw["bind"], dict[str, int]()
    for _ in range(2):
        time.sleep(CLOCK_EVERY.total_seconds())
        now += CLOCK_EVERY
        for name, each in work.items():
            with statements(engine) as seen:
                spent[name].append(cpu_ms(each))
            n[name] = len(seen)
    for name, each_ms in spent.items():
        print(
            f"{n_models:4} models, {name:26} {each_ms[-1]:8.1f} ms CPU {n[name]:6} statements"
        )
    total = sum(each_ms[-1] for each_ms in spent.values())
    print(f"{n_models:4} models, nothing due: {total:8.1f} ms CPU in all", flush=True)
    return total / n_models


def measure(n_models: int) -> tuple[float, float]:
    """Return CPU per model of a round with a batch for each, and of one with none, in ms."""
    with (
        fleet.fleet(n_models, CONTRACT) as (sessions, model_ids, _),
        TemporaryDirectory() as folder,
    ):
        lake, senders = Path(folder), Senders(sessions, model_ids)
        now = senders.send(N_BEFORE)
        fold_all(sessions, now + HOUR)
        each = fold_rounds(sessions, senders, n_models, lake)
        return each, idle_round(sessions, n_models, now + HOUR, lake)


def main() -> int:
    """Measure fleets of some sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[10, 100, 500])
    given = parser.parse_args()
    found = {n_models: measure(n_models) for n_models in given.models}
    most = max(found)
    of_fold, of_idle = found[most]
    name = f"rounds: of {most} models"
    report(Bar(name=f"{name}, fold", figure=of_fold, unit="ms CPU a model", at_most=FOLD_MS))
    report(Bar(name=f"{name}, idle", figure=of_idle, unit="ms CPU a model", at_most=IDLE_MS))
    if len(found) > 1:
        growth = of_fold / found[sorted(found)[-2]][0]
        report(Bar(name=f"{name}, growth", figure=growth, unit="x", at_most=GROWTH))
    return 0


if __name__ == "__main__":
    sys.exit(main())
