"""What a day of a fleet leaves: bytes of the database, files and log entries of the lake."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from sqlalchemy import select, text
from sqlalchemy.engine import default
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from core.durations import DAY
from core.schema.rows import Kind
from core.schema.zone import UTC_ZONE
from core.streams import Level
from db.queries.summaries import Stored
from db.session import read_only
from db.tables import SummaryRow
from db.types import Compressed
from monitors.slo.silence import ARRIVALS
from services.aggregation import folded
from services.summaries import roll_up

FILES, LOG_BYTES, KEPT = 50, 1_000_000, 52_000  # of a stream-day; bytes of a model-day


def bytes_by_table(sessions: sessionmaker[Session]) -> Counter[str]:
    """Return the bytes of each table of the database with its indexes."""
    pages = text(
        "SELECT m.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_master m "
        "ON m.name = d.name GROUP BY m.tbl_name"
    )
    with read_only(sessions) as session:
        return Counter({table: size for table, size in session.execute(pages)})  # noqa: C416


def summaries(
    sessions: sessionmaker[Session], since: datetime
) -> Iterator[tuple[UUID, Stored]]:
    """Yield the stored summaries from a moment on, each with its model."""
    row = SummaryRow
    chosen = select(row.model_id, row.stream, row.start, row.version, row.payload, row.level)
    with read_only(sessions) as session:
        for model_id, *found in session.execute(chosen.where(row.start >= since)).tuples():
            yield model_id, Stored(*found)  # type: ignore[arg-type]  # in its order


def later(rows: list[Stored]) -> list[Stored]:
    """Return what is left of a stream of a model when slices and grains are rolled up."""
    streams = {stream.name: stream for stream in (*folded.streams(), ARRIVALS)}
    stream = streams.get(rows[0].stream)
    if stream is None:
        return rows
    if stream.level is Level.GRAIN:
        return []
    if stream.level is Level.SLICE and stream.whole is not None:
        return roll_up.rolled_up(stream, stream.whole, rows, Level.HOUR, UTC_ZONE)
    return rows


def stored_bytes(row: Stored) -> int:
    """Return how many bytes a payload takes as it is stored."""
    return len(Compressed().process_bind_param(row.payload, default.DefaultDialect()) or b"")


def report_database(
    sessions: sessionmaker[Session], before: Counter[str], since: datetime, model_days: float
) -> None:
    """Print the bytes of the database per model-day, by table and by stream.

    Rows of the queue are left out: their number does not depend on the models.
    """
    grown = bytes_by_table(sessions)
    grown.subtract(before)
    grown.pop("run", 0)
    for table, size in grown.most_common():
        if abs(size) / model_days >= 50:
            print(f"table {table:24} {size / model_days:10,.0f} bytes a model-day")
    of: defaultdict[tuple[str, UUID], list[Stored]] = defaultdict(list)
    for model_id, row in summaries(sessions, since):
        of[row.stream, model_id].append(row)
    now, rolled = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for (stream, _), rows in of.items():
        now[stream] += [stored_bytes(row) for row in rows]
        rolled[stream] += [stored_bytes(row) for row in later(rows)]
    for stream, sizes in sorted(now.items(), key=lambda item: -sum(item[1])):
        print(
            f"stream {stream:23} {sum(sizes) / model_days:10,.0f} bytes a model-day in "
            f"{len(sizes) / model_days:.0f} rows, "
            f"{sum(rolled[stream]) / model_days:10,.0f} rolled up"
        )
    stored, left = ([n for each in of.values() for n in each] for of in (now, rolled))
    beside = (grown["summary"] - sum(stored)) / len(stored)  # key, index, and room in pages
    total, then = grown.total(), sum(left) + beside * len(left)
    rest = total - grown["summary"]
    print(
        f"database: {total / model_days:,.0f} bytes a model-day, "
        f"{(rest + then) / model_days:,.0f} rolled up"
    )
    name = "fleet day: summaries, a model-day, rolled up"
    report(Bar(name=name, figure=then / model_days, unit="bytes", at_most=KEPT))


def report_lake(lake: Path, since: datetime) -> int:
    """Print files and log entries of the tables, by stream; how many rows they hold.

    Files are those of event days from a moment on.
    """
    found: defaultdict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    n_rows = 0
    for log in sorted(lake.glob("**/_delta_log")):
        folder, is_log = log.parent, "published" not in log.parts
        actions = pa.table(DeltaTable(folder).get_add_actions(flatten=True)).to_pylist()
        n_rows += sum(one["num_records"] for one in actions) * is_log
        days = {f"day={since + i * DAY:%Y-%m-%d}" for i in range(3)}
        newest = [one for one in actions if not is_log or one["path"].split("/")[0] in days]
        files = [file for file in folder.rglob("*.parquet") if log not in file.parents]
        files = [file for file in files if not is_log or file.parent.name in days]
        entries = [entry.stat().st_size for entry in log.iterdir() if entry.is_file()]
        kind = folder.name if is_log else f"open table {folder.name}"
        found[kind].append((len(newest), len(files), len(entries), sum(entries)))
    for kind, of in found.items():
        n_newest, n_files, n_entries, size = np.max(of, axis=0).tolist()
        print(
            f"lake: {kind}: at most {n_newest} files in the newest state, {n_files} on disk, "
            f"{n_entries} log entries, {size:,} bytes of log"
        )
        if kind in [*Kind]:
            name = f"fleet day: {kind}"
            report(Bar(name=f"{name}, files", figure=n_newest, unit="", at_most=FILES))
            report(Bar(name=f"{name}, log", figure=size, unit="bytes", at_most=LOG_BYTES))
    return n_rows
