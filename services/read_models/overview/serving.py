"""Serving by hour and by version: counts, failures, latency quantiles."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from db.queries.summaries import LATENCY_EDGES, Ints, latency_counts
from db.tables import ServingSlice


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Counts of some predictions; latencies in seconds, None where none was reported.

    Attributes
    ----------
    n, n_failed
        All of them, and errors and time-outs.
    n_degraded
        Served by a fallback, which is no failure. None of slices from before it was kept.
    n_without_latency
        Whether they were served in time is not known.
    """

    n: int
    n_failed: int
    n_degraded: int | None
    n_without_latency: int
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingHour:
    """One event hour over all versions."""

    start: datetime
    served: Served


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingVersion:
    """One version over all hours."""

    version: str
    served: Served


def by_hour(slices: Sequence[ServingSlice]) -> tuple[ServingHour, ...]:
    """Add the slices of each hour up, exactly; hours without traffic are left out."""
    hours: dict[datetime, list[ServingSlice]] = defaultdict(list)
    for one in slices:
        hours[one.start.replace(minute=0)].append(one)
    return tuple(ServingHour(start=at, served=_served(hours[at])) for at in sorted(hours))


def by_version(slices: Sequence[ServingSlice]) -> tuple[ServingVersion, ...]:
    """Add the slices of each version up, by name."""
    versions: dict[str, list[ServingSlice]] = defaultdict(list)
    for one in slices:
        versions[one.version].append(one)
    return tuple(
        ServingVersion(version=name, served=_served(versions[name]))
        for name in sorted(versions)
    )


def _served(slices: Sequence[ServingSlice]) -> Served:
    counts = np.sum([latency_counts(one) for one in slices], axis=0)
    n = sum(one.n for one in slices)
    degraded = [one.n_degraded for one in slices if one.n_degraded is not None]
    return Served(
        n=n,
        n_failed=sum(one.n_failed for one in slices),
        n_degraded=sum(degraded) if len(degraded) == len(slices) else None,
        n_without_latency=n - int(counts.sum()),
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
