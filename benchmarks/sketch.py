"""Does a KLL sketch belong beside the counts on frozen edges?

Run: `python -m benchmarks.sketch` where `datasketches` (5.2) and this project are
installed; the project itself does not need it. `docs/decisions/0017-no-sketch.md` shows a run.
"""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.quality import tables
from monitors.summaries.serialization import from_many, to_bytes
from monitors.summaries.summary import Floats, Summary, freeze, merge
from monitors.summaries.values import Column, summarise

K = 200
N_HOURS = 90 * 24
PER_HOUR = (100, 100_000)


def cpu(work: Callable[[], object], least: float = 0.5) -> float:
    """Return the CPU seconds of one go."""
    work()
    n, began = 0, time.process_time()
    while time.process_time() - began < least:
        work()
        n += 1
    return (time.process_time() - began) / n


def counted(parts: list[Floats]) -> Summary:
    """Summarise some hours at once, as the fold does."""
    values = np.concatenate(parts)
    hours = np.repeat(np.arange(len(parts)), [part.size for part in parts])
    never = np.zeros(values.size, dtype=np.bool_)
    return summarise([Column(values=values, chunks=hours, repeats=never)], EDGES)


EDGES = freeze({"x": np.random.default_rng(0).normal(size=100_000)})


def measured(n: int) -> list[list[str]]:
    """Measure both at `n` values an hour."""
    import datasketches  # type: ignore[import-not-found]

    def sketched(values: Floats) -> bytes:
        sketch = datasketches.kll_doubles_sketch(K)
        sketch.update(values)
        return bytes(sketch.serialize())

    rng = np.random.default_rng(1)
    hours = [rng.normal(size=n) for _ in range(24)]
    kept = [sketched(values) for values in hours]
    ours = [to_bytes(hour) for hour in counted(hours).split()]
    many, few = kept * (N_HOURS // 24), ours * (N_HOURS // 24)

    def together() -> object:
        whole = datasketches.kll_doubles_sketch(K)
        for blob in many:
            whole.merge(datasketches.kll_doubles_sketch.deserialize(blob))
        return whole

    def added() -> Summary:
        return merge(from_many(few))

    whole = together()
    every, edges = np.concatenate(hours), EDGES.values[0]
    true = np.searchsorted(np.sort(every), edges, side="left") / every.size
    outcome = np.array([whole.get_rank(edge, False) for edge in edges])  # type: ignore[attr-defined]
    below = np.cumsum(from_many(ours).counts.sum(axis=(0, 1)))[:-1] / every.size
    return [
        [
            f"{n:,}",
            "KLL, k 200",
            f"{np.mean([len(blob) for blob in kept]):,.0f}",
            f"{cpu(lambda: [*map(sketched, hours)]) / n / 24 * 1e9:,.0f}",
            f"{cpu(together) * 1e3:,.1f}",
            f"{np.abs(outcome - true).max():.4f}",
        ],
        [
            f"{n:,}",
            "counts and moments",
            f"{np.mean([len(blob) - 20 for blob in ours]):,.0f}",
            f"{cpu(lambda: counted(hours)) / n / 24 * 1e9:,.0f}",
            f"{cpu(added) * 1e3:,.1f}",
            f"{np.abs(below - true).max():.4f}",
        ],
    ]


def main() -> None:
    rows = [row for n in PER_HOUR for row in measured(n)]
    titles = ["values an hour", "", "bytes", "ns a value", "90 days merged, ms", "rank off"]
    print(tables.table(titles, rows))


if __name__ == "__main__":
    main()
