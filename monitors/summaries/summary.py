"""Mergeable summaries per hour and feature, read by monitors instead of rows.

A summary of many hours is three arrays, so that ninety days are folded,
stored and evaluated without a loop over rows. Merging two gives the summary of
both, exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.schema.feature import LARGEST
from monitors.summaries.binning import Bins
from monitors.summaries.moments import CENTRED as CENTRED
from monitors.summaries.moments import MAX as MAX
from monitors.summaries.moments import MIN as MIN
from monitors.summaries.moments import N_MISSING as N_MISSING
from monitors.summaries.moments import N_MOMENTS as N_MOMENTS
from monitors.summaries.moments import N_REPEAT as N_REPEAT
from monitors.summaries.moments import SUM as SUM
from monitors.summaries.moments import N as N
from monitors.summaries.moments import combined, nothing

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Counts: TypeAlias = NDArray[np.uint32]
Bools: TypeAlias = NDArray[np.bool_]

T = TypeVar("T", bound=np.generic)

CHUNK = timedelta(hours=1)
_CHUNK_US = CHUNK // timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Values that are summarised in one go: what is made of them on the way stays in the
# processor's cache.
_AT_ONCE = 16_384


# Variance over squared mean below which sums are taken anew from a value near by: above
# it, the difference of two sums of squares is right to ten digits.
_FAR = 1e-6


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One feature's values, flat: a list of k steps is k values.

    Attributes
    ----------
    values : (value,)
        NaN means missing; so do infinity and magnitudes above 1e100.
    chunks : (value,)
        The hour of each value. Columns of equal shape should pass the very
        same array: it is then indexed once.
    repeats : (value,)
        True where the value equals the one before it in the same row.
    """

    values: Floats
    chunks: Ints
    repeats: Bools


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


def repeats(values: Floats, first: Bools) -> Bools:
    """Mark values equal to the step before them in the same row.

    Parameters
    ----------
    values : (value,)
        Rows one after another.
    first : (value,)
        True at the first step of each row, which repeats nothing.

    Examples
    --------
    >>> repeats(np.array([5.0, 5.0, 5.0, 6.0]), np.array([True, False, True, False]))
    array([False,  True, False, False])
    """
    same = np.zeros(values.shape, dtype=np.bool_)
    np.equal(values[1:], values[:-1], out=same[1:])
    return same & ~first


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
        return self._at(slice(int(low), int(high)))

    def of(self, features: Sequence[int]) -> "Summary":
        """Return what is known of some features, by their places."""
        return Summary(
            chunks=self.chunks,
            moments=self.moments[:, features],
            counts=self.counts[:, features],
        )

    def split(self) -> list["Summary"]:
        """Return one summary per chunk."""
        return [self._at(slice(i, i + 1)) for i in range(self.chunks.size)]

    def _at(self, rows: slice) -> "Summary":
        return Summary(
            chunks=self.chunks[rows], moments=self.moments[rows], counts=self.counts[rows]
        )


def summarise(columns: Sequence[Column], edges: Edges) -> Summary:
    """Summarise many rows over many hours in one go.

    Parameters
    ----------
    columns
        One per feature, in the order of `edges.names`.
    edges
        The frozen edges.

    Returns
    -------
    Summary
        Every hour that occurs in any column. Missing values are counted in
        N_MISSING and in nothing else.

    Raises
    ------
    ValueError
        If there is not one column per feature.

    Examples
    --------
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
    >>> x = Column(
    ...     values=np.array([-1.0, 0.5, np.nan]),
    ...     chunks=np.array([7, 7, 7]),
    ...     repeats=np.zeros(3, dtype=bool),
    ... )
    >>> day = summarise([x], edges)
    >>> day.moments[0, 0, [N, N_MISSING, SUM]], day.counts[0, 0]
    (array([ 2. ,  1. , -0.5]), array([1, 1, 0], dtype=uint32))
    """
    if len(columns) != len(edges.names):
        raise ValueError(f"{len(columns)} columns for {len(edges.names)} features")
    runs = {id(column.chunks): column.chunks for column in columns}
    in_order = {key: _in_order(array) for key, array in runs.items()}
    chunks = np.unique(np.concatenate([run.chunks for run in in_order.values()]))
    moments = nothing(chunks.size, len(columns))
    counts = np.zeros((chunks.size, len(columns), edges.values.shape[1] + 1), dtype=np.uint32)
    for i, column in enumerate(columns):
        run = in_order[id(column.chunks)]
        if run.chunks.size:
            at = np.searchsorted(chunks, run.chunks)
            moments[at, i], counts[at, i] = _summarise_column(column, run, edges.values[i])
    return Summary(chunks=chunks, moments=moments, counts=counts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Runs:
    """Values laid hour by hour.

    Attributes
    ----------
    order : (value,)
        Puts them so; None where they came so.
    chunks, starts : (chunk,)
        Each hour, ascending, and where its values begin.
    n_values
        How many there are.
    """

    order: Ints | None
    chunks: Ints
    starts: Ints
    n_values: int

    def blocks(self) -> Iterator[tuple[slice, slice, Ints]]:
        """Cut the hours into blocks whose values the processor keeps close at hand.

        Yields
        ------
        hours, values
            Their places.
        starts : (chunk,)
            Where each hour begins, from the first value of the block on.
        """
        cuts = np.searchsorted(self.starts, np.arange(0, self.n_values, _AT_ONCE))
        for first, end in pairwise(np.unique([*cuts, self.starts.size]).tolist()):
            start = int(self.starts[first])
            stop = int(self.starts[end]) if end < self.starts.size else self.n_values
            yield slice(first, end), slice(start, stop), self.starts[first:end] - start

    def lay(self, values: NDArray[T], some: slice) -> NDArray[T]:
        return values[some] if self.order is None else values[self.order[some]]


def _in_order(chunks: Ints) -> _Runs:
    order = None
    if (chunks[1:] < chunks[:-1]).any():
        order = np.argsort(chunks, kind="stable")
        chunks = chunks[order]
    is_first = np.ones(chunks.size, dtype=np.bool_)
    np.not_equal(chunks[1:], chunks[:-1], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    return _Runs(order=order, chunks=chunks[starts], starts=starts, n_values=chunks.size)


def _summarise_column(column: Column, runs: _Runs, edges: Floats) -> tuple[Floats, Counts]:
    """Return moments and counts of the hours of `runs`, which has one at least."""
    moments = np.empty((runs.starts.size, N_MOMENTS))
    counts = np.empty((runs.starts.size, edges.size + 1), dtype=np.uint32)
    bins = Bins(edges, runs.n_values)
    for hours, some, starts in runs.blocks():
        values, again = runs.lay(column.values, some), runs.lay(column.repeats, some)
        low = _moments_of(values, again, starts, moments[hours])
        counts[hours] = _counts_of(low, starts, bins)
        counts[hours, -1] -= moments[hours, N_MISSING].astype(np.uint32)
    _centre(column, runs, moments)
    return moments, counts


def _moments_of(values: Floats, again: Bools, starts: Ints, moments: Floats) -> Floats:
    """Fill in the moments of some hours; return their values, +inf where missing.

    CENTRED is the sum of squares yet: `_centre` takes the mean off it.
    """
    there = np.abs(values) <= LARGEST
    moments[:, N_REPEAT] = np.add.reduceat(again & there, starts, dtype=np.int64)
    low = high = summed = values
    if there.all():
        moments[:, N_MISSING] = 0.0
    else:
        moments[:, N_MISSING] = np.add.reduceat(~there, starts, dtype=np.int64)
        low, high = np.where(there, values, np.inf), np.where(there, values, -np.inf)
        summed = np.where(there, values, 0.0)
    moments[:, N] = np.diff(starts, append=values.size) - moments[:, N_MISSING]
    moments[:, SUM] = np.add.reduceat(summed, starts)
    moments[:, CENTRED] = np.add.reduceat(summed * summed, starts)
    moments[:, MIN] = np.minimum.reduceat(low, starts)
    moments[:, MAX] = np.maximum.reduceat(high, starts)
    return low


def _centre(column: Column, runs: _Runs, moments: Floats) -> None:
    """Make sums of squares into sums of squared deviations from the mean of the hour."""
    total, n = moments[:, SUM], np.maximum(moments[:, N], 1.0)
    level = total * (total / n)
    centred = np.where(moments[:, MIN] < moments[:, MAX], moments[:, CENTRED] - level, 0.0)
    moments[:, CENTRED] = centred
    is_far = (centred < _FAR * level) & (moments[:, MIN] < moments[:, MAX])
    if not is_far.any():
        return
    for hours, some, starts in runs.blocks():
        if not is_far[hours].any():
            continue
        values, lowest = runs.lay(column.values, some), moments[hours, MIN]
        # From a value of the hour itself: what is left has no large level to lose.
        origin = np.where(np.isfinite(lowest), lowest, 0.0)
        away = values - np.repeat(origin, np.diff(starts, append=values.size))
        away[~(np.abs(values) <= LARGEST)] = 0.0
        rest, n_there = np.add.reduceat(away, starts), moments[hours, N]
        moments[hours, SUM] = n_there * origin + rest
        squares = np.add.reduceat(away * away, starts) - rest * (rest / np.maximum(n_there, 1))
        moments[hours, CENTRED] = np.maximum(squares, 0.0)


def _counts_of(low: Floats, starts: Ints, bins: Bins) -> Counts:
    """Count the values of each hour in their bins; what is missing counts as the highest."""
    first = np.arange(0, starts.size * bins.n, bins.n)
    flat = np.repeat(first, np.diff(starts, append=low.size))
    flat += bins.of(low)
    counts = np.bincount(flat, minlength=starts.size * bins.n)
    return counts.reshape(starts.size, bins.n).astype(np.uint32)


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
    chunks = np.concatenate([part.chunks for part in summaries])
    order = np.argsort(chunks, kind="stable")
    chunks = chunks[order]
    moments = np.concatenate([part.moments for part in summaries])[order]
    counts = np.concatenate([part.counts for part in summaries])[order]
    starts = np.flatnonzero(np.r_[True, chunks[1:] != chunks[:-1]][: chunks.size])
    if starts.size == chunks.size:
        return Summary(chunks=chunks, moments=moments, counts=counts)
    totals = np.add.reduceat(counts, starts)
    return Summary(chunks=chunks[starts], moments=combined(moments, starts), counts=totals)
