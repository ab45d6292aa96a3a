"""Serving by hour and by version: counts, failures, latency quantiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from core.durations import HOUR
from core.window import Window
from monitors.slo.cells import CellCounts
from monitors.slo.serving import DEGRADED, FAILED, LATENCY, WIDTH, N, quantile, table
from monitors.summaries.summary import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Counts of some predictions; latencies in seconds, None where none was reported.

    Attributes
    ----------
    n, n_failed
        All of them, and errors and time-outs.
    n_degraded
        Served by a fallback, which is no failure.
    n_without_latency
        Whether they were served in time is not known.
    """

    n: int
    n_failed: int
    n_degraded: int
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


def by_hour(versions: Mapping[str, CellCounts], window: Window) -> tuple[ServingHour, ...]:
    """Add up what all versions served in each hour; hours without traffic are left out."""
    hours = np.zeros(((window.end - window.start) // HOUR, WIDTH), dtype=np.int64)
    for counted in versions.values():
        hours += table(counted, window, HOUR)
    return tuple(
        ServingHour(start=window.start + i * HOUR, served=_served(counts))
        for i, counts in enumerate(hours)
        if counts[N]
    )


def by_version(
    versions: Mapping[str, CellCounts], window: Window
) -> tuple[ServingVersion, ...]:
    """Return what each version served in a window, by name."""
    return tuple(
        ServingVersion(version=name, served=_served(counts))
        for name, counted in versions.items()
        if (counts := table(counted, window, HOUR).sum(axis=0))[N]
    )


def _served(counts: Ints) -> Served:
    latency = counts[LATENCY]
    return Served(
        n=int(counts[N]),
        n_failed=int(counts[FAILED]),
        n_degraded=int(counts[DEGRADED]),
        n_without_latency=int(counts[N] - latency.sum()),
        p50=quantile(latency, 0.50),
        p95=quantile(latency, 0.95),
        p99=quantile(latency, 0.99),
    )
