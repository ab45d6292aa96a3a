"""How predictions were served, hour by hour."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from db.queries.summaries import LATENCY_EDGES, Ints, latency_counts
from db.tables import ServingSlice


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingHour:
    """One event hour over all versions; latencies in seconds, None where none was reported."""

    start: datetime
    n: int
    n_failed: int
    p50: float | None
    p95: float | None
    p99: float | None


def by_hour(slices: Sequence[ServingSlice]) -> tuple[ServingHour, ...]:
    """Add the slices of each hour up, exactly; hours without traffic are left out."""
    hours: dict[datetime, list[ServingSlice]] = defaultdict(list)
    for one in slices:
        hours[one.start.replace(minute=0)].append(one)
    return tuple(_hour(start, hours[start]) for start in sorted(hours))


def _hour(start: datetime, slices: Sequence[ServingSlice]) -> ServingHour:
    counts = np.sum([latency_counts(one) for one in slices], axis=0)
    return ServingHour(
        start=start,
        n=sum(one.n for one in slices),
        n_failed=sum(one.n_failed for one in slices),
        p50=quantile(counts, 0.50),
        p95=quantile(counts, 0.95),
        p99=quantile(counts, 0.99),
    )


def quantile(counts: Ints, level: float) -> float | None:
    """Return the geometric middle of the bin that holds the quantile, in seconds."""
    reached = np.cumsum(counts)
    if reached[-1] == 0:
        return None
    place = int(np.searchsorted(reached, level * reached[-1]))
    low = LATENCY_EDGES[max(place - 1, 0)]
    high = LATENCY_EDGES[min(place, len(LATENCY_EDGES) - 1)]
    return float(np.sqrt(low * high))
