"""Queries of summaries of input, output and serving."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.window import Window
from db.queries.upsert import upsert
from db.tables import Edges as EdgesRow
from db.tables import (
    OutputChunk,
    OutputEdges,
    ServingSlice,
    SummaryChunk,
    WindowProfileChunk,
    WindowProfileLayout,
)
from monitors.slo.burn_rate import Counts
from monitors.summaries.serialization import from_many, to_bytes
from monitors.summaries.summary import Edges, Summary, chunk_start, merge
from monitors.temporal.window_profile_schema import Layout

Ints: TypeAlias = NDArray[np.int64]
FrozenRow = TypeVar("FrozenRow", EdgesRow, OutputEdges)

SLICE = timedelta(minutes=5)
PER_HOUR = timedelta(hours=1) // SLICE
_SLICE_US = SLICE // timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEYS = 1_000  # of one IN list

# Ten per decade from 100 us to 1000 s: a quantile is known to within 26 %, and any two
# slices add up exactly. Bin 0 is below the first edge, the last at or above the last.
LATENCY_EDGES = np.round(np.logspace(-4, 3, 71), 9)
_COUNTS = np.dtype("<u4")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """Serving counts of one version, slice by slice.

    Attributes
    ----------
    slices : (slice,)
        Five-minute slices since 1970, ascending, each once.
    n, n_failed : (slice,)
        Predictions, and those of them that ended in an error or a time-out.
    n_degraded : (slice,)
        Predictions with status `degraded`: served, and no failures.
    latency, failed_latency : (slice, bin)
        Predictions, and the failures among them, per bin of `LATENCY_EDGES`, where a
        latency was given.
    """

    slices: Ints
    n: Ints
    n_failed: Ints
    n_degraded: Ints
    latency: Ints
    failed_latency: Ints


def slice_index(times_us: Ints) -> Ints:
    """Return the slice of each event, given in microseconds since 1970.

    Examples
    --------
    >>> slice_index(np.array([299_999_999, 300_000_000]))
    array([0, 1])
    """
    return times_us // _SLICE_US


def slice_start(index: int) -> datetime:
    """Return the first moment of a slice."""
    return _EPOCH + int(index) * SLICE


def edges(session: Session, model_id: UUID) -> Edges | None:
    """Return the frozen edges of a model's input; None until enough was seen."""
    return _edges(session, EdgesRow, model_id)


def output_edges(session: Session, model_id: UUID) -> Edges | None:
    """Return the frozen edges of a model's outputs; None while there are too few outputs."""
    return _edges(session, OutputEdges, model_id)


def _edges(session: Session, of: type[FrozenRow], model_id: UUID) -> Edges | None:
    row = session.get(of, model_id)
    return None if row is None else Edges.from_json(json.loads(row.payload))


def freeze_edges(session: Session, model_id: UUID, frozen: Edges, now: datetime) -> None:
    """Keep the edges of a model for ever; those of features that came later are added."""
    _freeze(session, EdgesRow, model_id, frozen, now)


def freeze_output_edges(session: Session, model_id: UUID, frozen: Edges, now: datetime) -> None:
    """Freeze the edges of a model's outputs."""
    _freeze(session, OutputEdges, model_id, frozen, now)


def _freeze(
    session: Session,
    of: type[FrozenRow],
    model_id: UUID,
    frozen: Edges,
    now: datetime,
) -> None:
    payload = json.dumps(frozen.to_json()).encode()
    row = session.get(of, model_id)
    if row is None:
        session.add(of(model_id=model_id, payload=payload, frozen_at=now))
    else:
        row.payload = payload


def layout(session: Session, model_id: UUID) -> Layout | None:
    """Return the layout of a model's window profiles; None where nothing is."""
    row = session.get(WindowProfileLayout, model_id)
    return None if row is None else Layout.from_json(json.loads(row.payload))


def keep_layout(session: Session, model_id: UUID, grown: Layout, now: datetime) -> None:
    """Keep what has been added to the layout of a model."""
    payload = json.dumps(grown.to_json()).encode()
    row = session.get(WindowProfileLayout, model_id)
    if row is None:
        session.add(WindowProfileLayout(model_id=model_id, payload=payload, frozen_at=now))
    else:
        row.payload = payload


def add_input(session: Session, model_id: UUID, version: str, part: Summary) -> None:
    """Merge what was seen of one version's input into what is stored."""
    _add(session, SummaryChunk, model_id, version, part)


def add_output(session: Session, model_id: UUID, version: str, part: Summary) -> None:
    """Merge the outputs of one version into what is stored."""
    _add(session, OutputChunk, model_id, version, part)


def add_window_profile(session: Session, model_id: UUID, version: str, part: Summary) -> None:
    """Merge the window profiles of one version into what is stored."""
    _add(session, WindowProfileChunk, model_id, version, part)


def _add(
    session: Session,
    to: type[SummaryChunk] | type[OutputChunk] | type[WindowProfileChunk],
    model_id: UUID,
    version: str,
    part: Summary,
) -> None:
    stored: list[bytes] = []
    for starts in _batched(chunk_start(chunk) for chunk in part.chunks.tolist()):
        stored += session.scalars(
            select(to.payload).where(
                to.model_id == model_id, to.version == version, to.start.in_(starts)
            )
        )
    whole = merge(from_many(stored), part) if stored else part
    rows = [
        {
            "model_id": model_id,
            "start": chunk_start(int(chunk.chunks[0])),
            "version": version,
            "payload": to_bytes(chunk),
        }
        for chunk in whole.split()
    ]
    upsert(session, to, rows)


def add_served(session: Session, model_id: UUID, version: str, part: Served) -> None:
    """Add what one version served to what is stored."""
    stored: dict[datetime, ServingSlice] = {}
    starts = [slice_start(index) for index in part.slices.tolist()]
    for some in _batched(starts):
        rows = session.scalars(
            select(ServingSlice).where(
                ServingSlice.model_id == model_id,
                ServingSlice.version == version,
                ServingSlice.start.in_(some),
            )
        )
        stored |= {row.start: row for row in rows}
    upsert(
        session,
        ServingSlice,
        [_added(model_id, version, starts[i], part, i, stored) for i in range(len(starts))],
    )


def _added(
    model_id: UUID,
    version: str,
    start: datetime,
    part: Served,
    i: int,
    stored: Mapping[datetime, ServingSlice],
) -> dict[str, object]:
    before = stored.get(start)
    latency, failed_latency = part.latency[i], part.failed_latency[i]
    apart: tuple[int, bytes] | None = int(part.n_degraded[i]), _packed(failed_latency)
    if before is not None:
        latency = latency + latency_counts(before)
        if before.n_degraded is None or before.failed_latency_counts is None:
            apart = None  # what is not known of a part is not known of the sum
        else:
            both = failed_latency + _unpacked(before.failed_latency_counts)
            apart = before.n_degraded + int(part.n_degraded[i]), _packed(both)
    return {
        "model_id": model_id,
        "start": start,
        "version": version,
        "n": int(part.n[i]) + (before.n if before else 0),
        "n_failed": int(part.n_failed[i]) + (before.n_failed if before else 0),
        "latency_counts": latency.astype(_COUNTS).tobytes(),
        "n_degraded": apart and apart[0],
        "failed_latency_counts": apart and apart[1],
    }


def _packed(counts: Ints) -> bytes:
    return counts.astype(_COUNTS).tobytes() if counts.any() else b""


def _unpacked(stored: bytes) -> Ints:
    if not stored:
        return np.zeros(LATENCY_EDGES.size + 1, dtype=np.int64)
    return latency_counts_of(stored)


def latency_counts(row: ServingSlice) -> Ints:
    """Return the predictions per bin of `LATENCY_EDGES`, shape (bin,)."""
    return latency_counts_of(row.latency_counts)


def latency_counts_of(stored: bytes) -> Ints:
    """Return the same from the cell alone."""
    return np.frombuffer(stored, dtype=_COUNTS).astype(np.int64)


def serving_slices(
    session: Session, model_id: UUID, window: Window, slower_than: float | None = None
) -> dict[str, Counts]:
    """Return what each version served in a window.

    Parameters
    ----------
    session
        The open transaction.
    model_id
        Whose serving.
    window
        Of event time; both bounds are rounded down to a slice.
    slower_than
        Seconds. None asks for availability: a failure is bad, all others are good.
        Else a prediction is good when it succeeded and took no longer, bad when it
        failed or took longer, and unknown when it has no latency. Taken up to the
        next edge of `LATENCY_EDGES`, at most 26 % above it.

    Returns
    -------
    dict
        By version: counts of every slice of `SLICE` from the window's start on; 0
        where there were none.
    """
    first = (window.start - _EPOCH) // SLICE
    end = (window.end - _EPOCH) // SLICE
    rows = session.execute(
        select(
            ServingSlice.version,
            ServingSlice.start,
            ServingSlice.n,
            ServingSlice.n_failed,
            ServingSlice.latency_counts,
            ServingSlice.failed_latency_counts,
        ).where(
            ServingSlice.model_id == model_id,
            ServingSlice.start >= slice_start(first),
            ServingSlice.start < slice_start(end),
        )
    )
    found: dict[str, Counts] = {}
    slow_from = None if slower_than is None else slow_bin(slower_than)
    for version, start, n, n_failed, latency, of_failures in rows:
        if version not in found:
            found[version] = Counts.zeros(end - first)
        own, at = found[version], (start - _EPOCH) // SLICE - first
        if slow_from is None:
            good, bad = n - n_failed, n_failed
        else:
            good, bad = _in_time(n_failed, latency, of_failures, slow_from)
        own.good[at], own.bad[at], own.unknown[at] = good, bad, n - good - bad
    return found


def slow_bin(seconds: float) -> int:
    """Return the first bin of `LATENCY_EDGES` that is slower than a limit."""
    return int(np.searchsorted(LATENCY_EDGES, seconds)) + 1


def _in_time(
    n_failed: int, latency: bytes, of_failures: bytes | None, slow_from: int
) -> tuple[int, int]:
    """Return how many predictions with a latency were good, and how many bad."""
    counts = latency_counts_of(latency)
    n_fast, n_slow = int(counts[:slow_from].sum()), int(counts[slow_from:].sum())
    if of_failures is not None:
        n_fast_failures = int(_unpacked(of_failures)[:slow_from].sum())
        return n_fast - n_fast_failures, n_slow + n_fast_failures
    # Nobody kept which of them failed: any of the fast ones may have.
    return max(n_fast - n_failed, 0), n_slow


def served_rows(session: Session, model_id: UUID, window: Window) -> int:
    """Return how many rows all versions together served in a window."""
    n = session.scalar(
        select(func.sum(ServingSlice.n)).where(
            ServingSlice.model_id == model_id,
            ServingSlice.start >= window.start,
            ServingSlice.start < window.end,
        )
    )
    return int(n or 0)


def _batched(keys: Iterable[datetime]) -> Iterator[list[datetime]]:
    every = list(keys)
    for start in range(0, len(every), _KEYS):
        yield every[start : start + _KEYS]
