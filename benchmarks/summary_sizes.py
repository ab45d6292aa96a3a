"""How many bytes of summaries are kept of a model, after 30, 400 and 730 days?

Run: `python -m benchmarks.summary_sizes`. A model of eight features at one minute with a
prediction each second, and an SLO of 30 days. The bars are the bytes of the payloads kept
per day of its life: they must fall with its age.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from benchmarks.bar import Bar, report
from core.schema.zone import UTC_ZONE
from core.streams import SUMMARIES, Additive, Level, Need
from core.window import midnight
from db.queries.summaries import Stored
from monitors.slo import cells
from monitors.slo.cells import Columns, Texts
from monitors.slo.serving import CELLS, SERVING
from monitors.summaries.grains import INPUT_GRAINS, rolled_up, without_counts
from monitors.summaries.streams import INPUT
from monitors.summaries.summary import freeze
from monitors.summaries.values import Column, summarise
from services.summaries import roll_up

GRAIN = timedelta(minutes=1)
DAY, N_FEATURES, N_ROWS = timedelta(days=1), 8, 86_400
SLO = Need(back=30 * DAY, monitor="availability")
LIMITS = {30: 600_000, 400: 100_000, 730: 60_000}  # bytes per day


def a_day(start: datetime) -> Mapping[Additive[Any], Any]:
    """Summarise one day."""
    chance = np.random.default_rng(1)
    seconds = int(start.timestamp()) + np.arange(N_ROWS)
    edges = freeze({f"f{i}": chance.normal(size=10_000) for i in range(N_FEATURES)})
    never = np.zeros(N_ROWS, dtype=np.bool_)
    minutes = seconds // 60
    columns = [
        Column(values=chance.normal(size=N_ROWS), chunks=minutes, repeats=never)
        for _ in range(N_FEATURES)
    ]
    fine = summarise(columns, edges)
    failed = (chance.random(N_ROWS) < 0.001).astype(np.int64)
    served = Columns(
        n=N_ROWS,
        numbers={"latency_seconds": chance.lognormal(-3, 0.5, N_ROWS)},
        texts={"status": Texts(codes=failed, values=("ok", "error"))},
    )
    return {
        SERVING: cells.summarise(seconds * 1_000_000, CELLS.of(served)),
        INPUT_GRAINS: without_counts(fine, GRAIN, start),
        INPUT: rolled_up(fine, GRAIN),
    }


def sizes(stream: Additive[Any], whole: Any) -> Mapping[Level, int]:
    """Return the bytes of a day of a stream, at each level that it is kept at."""
    rows = [
        Stored(stream.name, start, "v1", stream.to_bytes(part), stream.level)
        for start, part in stream.split(whole)
    ]
    found = {stream.level: _size(rows)}
    for to in (Level.HOUR, Level.DAY):
        if stream.whole is None:
            break
        rows = roll_up.rolled_up(stream, stream.whole, rows, to, UTC_ZONE)
        found[to] = _size(rows)
    return found


def _size(rows: Iterable[Stored]) -> int:
    return sum(len(row.payload) for row in rows)


def kept(of_stream: Mapping[Level, int], age: timedelta) -> int:
    """Return the bytes that are kept of a day so long ago."""
    retention = SUMMARIES.of({}, {Level.SLICE: SLO})
    for level, size in of_stream.items():
        keep = getattr(retention, level)
        if keep is None or age < keep:
            return size
    return 0


def main() -> int:
    """Print the sizes by level, and the bars; 0 when each is met."""
    found = {
        stream.name: sizes(stream, whole)
        for stream, whole in a_day(midnight(date(2026, 1, 5))).items()
    }
    for name, of_stream in found.items():
        print(name, ", ".join(f"{level}: {size:,}" for level, size in of_stream.items()))
    is_met = True
    for n_days, limit in LIMITS.items():
        total = sum(kept(of, age * DAY) for of in found.values() for age in range(n_days))
        bar = Bar(
            name=f"summaries: kept after {n_days} days",
            figure=total / n_days,
            unit="bytes/day",
            at_most=limit,
        )
        is_met &= report(bar)
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
