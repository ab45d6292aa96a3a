"""Mergeable summaries per hour and feature, read by monitors instead of rows.

A summary of many hours is three arrays, so that ninety days are folded,
stored and evaluated without a loop over rows. Merging two gives the summary of
both, exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.schema.feature import LARGEST
from monitors.summaries.moments import CENTRED as CENTRED
from monitors.summaries.moments import MAX as MAX
from monitors.summaries.moments import MIN as MIN
from monitors.summaries.moments import N_MISSING as N_MISSING
from monitors.summaries.moments import N_MOMENTS as N_MOMENTS
from monitors.summaries.moments import N_REPEAT as N_REPEAT
from monitors.summaries.moments import SUM as SUM
from monitors.summaries.moments import N as N
from monitors.summaries.moments import combined, nothing
from monitors.summaries.runs import run_starts

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Counts: TypeAlias = NDArray[np.uint32]
Bools: TypeAlias = NDArray[np.bool_]

T = TypeVar("T", bound=np.generic)

CHUNK = timedelta(hours=1)
_CHUNK_US = CHUNK // timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def chunk_index(times_us: Ints) -> Ints:
    """Return the hour each event belongs to, as hours since 1970-01-01T00:00Z.

    Parameters
    ----------
    times_us : (value,)
        Event times in microseconds since the epoch.

    Examples
    --------
    >>> chunk_index(np.array([0, 3_599_999_999, 3_600_000_000, -1]))
    array([ 0,  0,  1, -1])
    """
    return times_us // _CHUNK_US


def chunk_at(moment: datetime) -> int:
    """Return the chunk that contains `moment`, which must be timezone-aware.

    Examples
    --------
    >>> chunk_at(datetime(1970, 1, 2, 0, 59, tzinfo=UTC))
    24
    """
    return (moment - _EPOCH) // CHUNK


def chunk_start(chunk: int) -> datetime:
    """Return the first moment of a chunk.

    Examples
    --------
    >>> chunk_start(24).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return _EPOCH + int(chunk) * CHUNK


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """Bin edges frozen from the reference, so that counts stay comparable.

    Attributes
    ----------
    names
        The features, in the order of every array that follows these edges.
    values : (feature, edge)
        Ascending. Bin 0 is below the first edge, the last bin at or above
        the last one; equal neighbours make a bin that stays empty.
    """

    names: tuple[str, ...]
    values: Floats

    def to_json(self) -> dict[str, list[float]]:
        """Return the edges by feature, exactly."""
        return {
            name: [float(edge) for edge in row]
            for name, row in zip(self.names, self.values, strict=True)
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Sequence[float]]) -> "Edges":
        """Return what `to_json` wrote."""
        return cls(names=tuple(stored), values=np.array(list(stored.values()), dtype=float))


def freeze(columns: Mapping[str, Floats], bins: int = 32) -> Edges:
    """Take the edges from the quantiles of the reference.

    Parameters
    ----------
    columns
        The reference values of each feature. NaN is left out.
    bins
        Bins between the smallest and the largest reference value.

    Returns
    -------
    Edges
        `bins + 1` edges per feature, so `bins + 2` counts.

    Raises
    ------
    ValueError
        If a feature has no finite value of a magnitude of at most 1e100.

    Examples
    --------
    >>> freeze({"load": np.arange(101.0)}, bins=4).values
    array([[  0.,  25.,  50.,  75., 100.]])
    """
    rows = []
    for name, values in columns.items():
        finite = values[np.abs(values) <= LARGEST]
        if finite.size == 0:
            raise ValueError(
                f"feature {name!r} has no finite value up to {LARGEST:g} to take edges from"
            )
        rows.append(_quantiles(np.sort(finite), np.linspace(0.0, 1.0, bins + 1)))
    return Edges(names=tuple(columns), values=np.array(rows))


def _quantiles(ascending: Floats, shares: Floats) -> Floats:
    """Return what numpy's quantiles are, ten times faster: the values are sorted already."""
    place = shares * (ascending.size - 1)
    below = place.astype(np.int64)
    first, second = ascending[below], ascending[np.minimum(below + 1, ascending.size - 1)]
    # Rounding must not put an edge above the next.
    ascend: Floats = np.maximum.accumulate(first + (second - first) * (place - below))
    return ascend


def empty(n_features: int, n_bins: int = 0) -> "Summary":
    """Return the summary of no hours.

    Examples
    --------
    >>> empty(7).moments.shape
    (0, 7, 7)
    """
    return Summary(
        chunks=np.empty(0, dtype=np.int64),
        moments=np.empty((0, n_features, N_MOMENTS)),
        counts=np.empty((0, n_features, n_bins), dtype=np.uint32),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summary:
    """What happened in some hours.

    Attributes
    ----------
    chunks : (chunk,)
        Hours since the epoch, ascending, each once.
    moments : (chunk, feature, 7)
        The last axis is N, N_MISSING, N_REPEAT, SUM, CENTRED, MIN, MAX.
        N counts the values that are there; CENTRED is the sum of their squared
        deviations from their mean, NaN where a stored one was lost to rounding
        (`monitors.summaries.serialization`); MIN and MAX are +inf and -inf where none is.
    counts : (chunk, feature, bin)
        Values per bin of the frozen edges; their sum over bins is N.
    """

    chunks: Ints
    moments: Floats
    counts: Counts

    def select(self, start: int, end: int) -> "Summary":
        """Return the chunks of `[start, end)`."""
        low, high = np.searchsorted(self.chunks, [start, end])
        return self.at(slice(int(low), int(high)))

    def of(self, features: Sequence[int]) -> "Summary":
        """Return what is known of some features, by their places."""
        return Summary(
            chunks=self.chunks,
            moments=self.moments[:, features],
            counts=self.counts[:, features],
        )

    def split(self) -> list["Summary"]:
        """Return one summary per chunk."""
        return [self.at(slice(i, i + 1)) for i in range(self.chunks.size)]

    def at(self, rows: slice | Bools | Ints) -> "Summary":
        """Return some rows."""
        return Summary(
            chunks=self.chunks[rows], moments=self.moments[rows], counts=self.counts[rows]
        )


def widen(summary: Summary, n_features: int) -> Summary:
    """Return the summary with features that it knows no value of, behind those it has.

    Examples
    --------
    >>> widen(empty(7, 34), 8).counts.shape
    (0, 8, 34)
    """
    n_chunks, n_known, n_bins = summary.counts.shape
    if n_known >= n_features:
        return summary
    moments = nothing(n_chunks, n_features)
    moments[:, :n_known] = summary.moments
    counts = np.zeros((n_chunks, n_features, n_bins), dtype=np.uint32)
    counts[:, :n_known] = summary.counts
    return Summary(chunks=summary.chunks, moments=moments, counts=counts)


def merge(*summaries: Summary) -> Summary:
    """Return the summary of everything that was summarised in the parts.

    Parameters
    ----------
    *summaries
        At least one, all on the same edges; their hours may overlap. One that
        was made when there were fewer features knows nothing of the others.

    Examples
    --------
    >>> from monitors.summaries.values import Column, summarise
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
    >>> def part(*values):
    ...     flags = np.zeros(len(values), dtype=bool)
    ...     chunks = np.zeros(len(values), dtype=np.int64)
    ...     column = Column(values=np.array(values), chunks=chunks, repeats=flags)
    ...     return summarise([column], edges)
    >>> both = merge(part(1.0, 2.0), part(5.0))
    >>> both.moments[0, 0, [N, SUM, MIN, MAX]]
    array([3., 8., 1., 5.])
    """
    if len(summaries) == 1:
        return summaries[0]
    n_features = max(part.moments.shape[1] for part in summaries)
    summaries = tuple(widen(part, n_features) for part in summaries)
    return in_order(
        Summary(
            chunks=np.concatenate([part.chunks for part in summaries]),
            moments=np.concatenate([part.moments for part in summaries]),
            counts=np.concatenate([part.counts for part in summaries]),
        )
    )


def in_order(summary: Summary) -> Summary:
    """Return a summary whose hours came unsorted or twice with each once, ascending."""
    chunks, moments, counts = summary.chunks, summary.moments, summary.counts
    if (chunks[1:] > chunks[:-1]).all():
        return summary
    if (chunks[1:] < chunks[:-1]).any():
        order = np.argsort(chunks, kind="stable")
        chunks, moments, counts = chunks[order], moments[order], counts[order]
    starts = run_starts(chunks)
    if starts.size == chunks.size:
        return Summary(chunks=chunks, moments=moments, counts=counts)
    totals = np.add.reduceat(counts, starts)
    return Summary(chunks=chunks[starts], moments=combined(moments, starts), counts=totals)
