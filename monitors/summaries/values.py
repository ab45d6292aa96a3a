"""Summaries of values, in one go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.schema.feature import LARGEST
from monitors.summaries.binning import Bins
from monitors.summaries.moments import (
    CENTRED,
    MAX,
    MIN,
    N_MISSING,
    N_MOMENTS,
    N_REPEAT,
    SUM,
    N,
    nothing,
)
from monitors.summaries.summary import Bools, Counts, Edges, Floats, Ints, Summary, T

# Values that are summarised in one go: what is made of them on the way stays in the
# processor's cache.
_AT_ONCE = 16_384


# Variance over squared mean below which sums are taken anew from a value near by: above
# it, the difference of two sums of squares is right to ten digits.
_FAR = 1e-6


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
