"""Serving by part of time and by version: counts, failures, latency quantiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

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
class ServingPart:
    """One part of event time, such as an hour, over all versions."""

    start: datetime
    served: Served


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingVersion:
    """One version over all hours."""

    version: str
    served: Served


def by_part(
    versions: Mapping[str, CellCounts], window: Window, width: timedelta = HOUR
) -> tuple[ServingPart, ...]:
    """Add up what all versions served in each part of a window, such as each hour.

    Parts without traffic are left out.

    Parameters
    ----------
    versions
        What each served.
    window, width
        Cut into parts so wide, a multiple of ten seconds.
    """
    parts = np.zeros(((window.end - window.start) // width, WIDTH), dtype=np.int64)
    for counted in versions.values():
        parts += table(counted, window, width)
    return tuple(
        ServingPart(start=window.start + i * width, served=_served(counts))
        for i, counts in enumerate(parts)
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
