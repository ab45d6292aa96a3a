"""Readings of an SLI, made by hand: slices of ten seconds that end at `NOW`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from monitors.slo.cells import SLICE
from monitors.slo.history import History, of_slices, slice_at
from monitors.slo.reading import SliReading
from monitors.summaries.summary import Ints

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def history(good: Ints, bad: Ints, unknown: Ints | None = None, end: datetime = NOW) -> History:
    """Return what slices hold of which the last ends at a moment."""
    none = np.zeros_like(good) if unknown is None else unknown
    counts = np.stack([good, bad, none], axis=1).astype(np.int64)
    slices = slice_at(end) - len(good) + np.arange(len(good))
    some = counts.any(axis=1)
    return of_slices(slices[some], counts[some])


def reading(
    *parts: History, now: datetime = NOW, segments: Sequence[History] = ()
) -> SliReading:
    """Return a reading of versions v1, v2 and so on."""
    total = parts[0]
    if len(parts) > 1:
        slices = np.unique(np.concatenate([part.ends[1:] - 1 for part in parts]))
        counts = [[part.within(int(at), int(at) + 1) for at in slices] for part in parts]
        total = of_slices(slices, np.sum(counts, axis=0))
    newest = None
    if total.ends.size > 1:
        newest = NOW + (total.end - slice_at(NOW)) * SLICE
    return SliReading(
        total=total,
        newest=newest,
        now=now,
        versions={f"v{i}": part for i, part in enumerate(parts, 1)},
        segments={f"s{i}": part for i, part in enumerate(segments, 1)},
    )


def outage(
    lasted: timedelta,
    share: float,
    *,
    before: timedelta = timedelta(days=40),
    after: timedelta = timedelta(0),
    per_slice: int = 10_000,
) -> SliReading:
    """Steady traffic, of which a share fails for some time, up to some time ago."""
    n, n_bad, n_after = (part // SLICE for part in (before, lasted, after))
    bad = np.zeros(n + n_bad + n_after, dtype=np.int64)
    bad[n : n + n_bad] = round(share * per_slice)
    return reading(history(per_slice - bad, bad))
