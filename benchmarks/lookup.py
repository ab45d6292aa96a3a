"""How long a lookup takes in a log of ten million rows over ninety days.

    python -m benchmarks.lookup [--rows 10000000] [--days 90] [--folder FOLDER]

Ids are random, so that nothing but reading them finds one. A folder that holds
such a log already is used again.
"""

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import Kind, label_schema, prediction_schema
from db.migrate import upgrade
from db.session import connect, unit_of_work
from db.tables import Model
from lake import tables
from services.read_models.lookup import by_id, paged, timeline
from services.read_models.lookup.query import Query
from services.read_models.lookup.snapshot import open_snapshot

START = datetime(2026, 1, 5, tzinfo=UTC)
CONTRACT = Contract(
    features=(Feature(name="load"), Feature(name="wind")),
    targets=("load",),
    step=HOUR,
    input_length=24,
    horizon=6,
)
MODEL_ID = UUID(int=7)
FILES_A_DAY = 8
STEPS = 50  # of a session
ENTITIES = 200


def row_id(number: int) -> int:
    """Scatter numbers over all ids, each once."""
    return (number * 11400714819323198485) % 2**63


def predictions(first: int, n: int, begin: datetime, span: timedelta) -> pa.Table:
    number = np.arange(first, first + n, dtype=np.uint64)
    scattered = ((number * np.uint64(11400714819323198485)) % np.uint64(2**63)).astype(np.int64)
    at = np.int64(begin.timestamp() * 1e6) + np.arange(n) * (
        int(span / timedelta(microseconds=1)) // n
    )
    moments = pa.array(at, pa.timestamp("us", tz="UTC"))
    chance = np.random.default_rng(first)

    def lists(names: tuple[str, ...], length: int) -> pa.Array:
        offsets = pa.array(np.arange(n + 1) * length, pa.int32())
        values = [pa.array(chance.normal(size=n * length)) for _ in names]
        return pa.StructArray.from_arrays(
            [pa.ListArray.from_arrays(offsets, each) for each in values], [*names]
        )

    session = number.astype(np.int64) // STEPS
    columns = {
        "prediction_id": pa.array(scattered).cast(pa.string()),
        "version": pa.array(["v1"] * n),
        "at": moments,
        "entity": pa.array(session % ENTITIES).cast(pa.string()),
        "session_id": pa.array(session).cast(pa.string()),
        "step_index": pa.array(number.astype(np.int64) % STEPS),
        "features": lists(CONTRACT.feature_names, 1),
        "output": lists(CONTRACT.targets, CONTRACT.horizon),
        "status": pa.array(["ok"] * n),
        "shadow": pa.array(np.zeros(n, np.bool_)),
        "latency_seconds": pa.array(chance.gamma(2.0, 0.005, n)),
        "received_at": moments,
    }
    wanted = prediction_schema(CONTRACT)
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(n, field.type)
        for field in wanted
    ]
    return pa.Table.from_arrays(arrays, schema=wanted)


def labels(day: datetime) -> pa.Table:
    rows = [
        {
            "entity": str(entity),
            "target_at": day,
            "actual": {"load": [float(entity)] * 24},
            "arrived_at": day + DAY,
            "received_at": day + DAY,
        }
        for entity in range(ENTITIES)
    ]
    return pa.Table.from_pylist(rows, schema=label_schema(CONTRACT))


def fill(folder: Path, n_rows: int, n_days: int) -> None:
    lake, n = folder / "lake", n_rows // (n_days * FILES_A_DAY)
    kinds = {kind: tables.create_table(lake, MODEL_ID, kind, CONTRACT) for kind in Kind}
    group = 0
    for day in range(n_days):
        begin = START + day * DAY
        for part in range(FILES_A_DAY):
            group += 1
            rows = predictions(
                group * n, n, begin + part * DAY / FILES_A_DAY, DAY / FILES_A_DAY
            )
            table = (
                tables.open_table(lake, MODEL_ID, Kind.PREDICTIONS) or kinds[Kind.PREDICTIONS]
            )
            tables.append(table, tables.stamped(Kind.PREDICTIONS, CONTRACT, rows), group)
        table = tables.open_table(lake, MODEL_ID, Kind.LABELS) or kinds[Kind.LABELS]
        tables.append(table, tables.stamped(Kind.LABELS, CONTRACT, labels(begin)), day + 1)


def measure(name: str, ask: Callable[[int], object], times: int) -> None:
    took, worked = [], []
    for i in range(times):
        began, idle = perf_counter(), process_time()
        ask(i)
        took.append(1000 * (perf_counter() - began))
        worked.append(1000 * (process_time() - idle))
    p50, p95 = np.percentile(took, [50, 95])
    cpu = np.median(worked)
    print(f"| {name} | {p50:,.0f} | {p95:,.0f} | {max(took):,.0f} | {cpu:,.0f} |", flush=True)


def run(
    sessions: sessionmaker[Session], lake: Path, n_rows: int, n_days: int, times: int
) -> None:
    n = n_rows // (n_days * FILES_A_DAY)
    first, last = n, n + n * FILES_A_DAY * n_days  # numbers of the rows
    of_day = n * FILES_A_DAY
    chance = np.random.default_rng(1)

    def page(query: Query, limit: int) -> paged.Page:
        with open_snapshot(sessions, lake, MODEL_ID) as state:
            return paged.page(state, query, None, limit, paged.within())

    def find(number: int, near: datetime | None = None) -> object:
        after = None
        while True:
            with open_snapshot(sessions, lake, MODEL_ID) as state:
                found = by_id.prediction(
                    state, str(row_id(number)), near=near, after=after, stop=paged.within()
                )
            if not isinstance(found, by_id.Unfinished):
                return found
            after = found.cursor

    def tell(number: int) -> None:
        with open_snapshot(sessions, lake, MODEL_ID) as state:
            found = timeline.timeline(state, str(number // STEPS), None, 100, paged.within())
        assert found is not None
        assert found.rows

    def some(low: int, high: int) -> int:
        return int(chance.integers(low, high))

    def near(number: int) -> datetime:
        return START + (number - first) / of_day * DAY

    def known(number: int) -> None:
        assert find(number, near(number)) is not None

    def anywhere(number: int) -> None:
        assert find(number) is not None

    print("| what | p50 ms | p95 ms | max ms | CPU p50 ms |\n|---|---|---|---|---|")
    measure("newest 100", lambda _: page(Query(), 100), times)
    measure("newest 1,000", lambda _: page(Query(), 1000), times)
    middle = START + n_days / 2 * DAY
    measure("100 before a moment", lambda _: page(Query(until=middle), 100), times)
    measure("100 of one entity", lambda i: page(Query(entity=str(i)), 100), times)
    measure("one id, its time known", lambda _: known(some(first, last)), times)
    measure("one id of the last day", lambda _: anywhere(some(last - of_day, last)), times)
    measure("one id, anywhere", lambda _: anywhere(some(first, last)), times)
    measure("one id that is not there", lambda i: find(last + of_day + i), max(3, times // 5))
    measure("one session of the last day", lambda _: tell(some(last - of_day, last)), times)
    measure("one session, anywhere", lambda _: tell(some(first, last)), times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        is_new = not (folder / "lake").exists()
        engine = connect(f"sqlite:///{folder}/seqwatch.sqlite")
        sessions = sessionmaker(engine, expire_on_commit=False)
        if is_new:
            upgrade(engine)
            model = Model(id=MODEL_ID, name="load", contract=CONTRACT, created_at=START)
            with unit_of_work(sessions) as session:
                session.add(model)
            began = perf_counter()
            fill(folder, given.rows, given.days)
            print(f"filled in {perf_counter() - began:.0f} s", flush=True)
        run(sessions, folder / "lake", given.rows, given.days, given.times)
        engine.dispose()


if __name__ == "__main__":
    main()
