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
from monitors.summaries.runs import run_lengths, run_starts
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
    places: dict[int, list[int]] = {}
    for i, column in enumerate(columns):
        places.setdefault(id(column.chunks), []).append(i)
    runs = {key: _in_order(columns[own[0]].chunks) for key, own in places.items()}
    found = [run.chunks for run in runs.values()]
    chunks = found[0] if len(found) == 1 else np.unique(np.concatenate(found))
    moments = nothing(chunks.size, len(columns))
    counts = np.zeros((chunks.size, len(columns), edges.values.shape[1] + 1), dtype=np.uint32)
    for key, run in runs.items():
        at = np.searchsorted(chunks, run.chunks)[:, np.newaxis]
        for own in _lots(places[key], run.n_values):
            some = [columns[i] for i in own]
            of_some = _summarise_columns(some, run, edges.values[own])
            moments[at, own], counts[at, own] = of_some
    return Summary(chunks=chunks, moments=moments, counts=counts)


def _lots(columns: Sequence[int], n_values: int) -> Iterator[Sequence[int]]:
    """Cut columns into lots that are summarised together; none where there is no value."""
    step = max(_AT_ONCE // n_values, 1) if n_values else 1
    for first in range(0, len(columns) if n_values else 0, step):
        yield columns[first : first + step]


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
        if self.n_values <= _AT_ONCE:
            yield slice(None), slice(None), self.starts
            return
        cuts = np.searchsorted(self.starts, np.arange(0, self.n_values, _AT_ONCE))
        for first, end in pairwise(np.unique([*cuts, self.starts.size]).tolist()):
            start = int(self.starts[first])
            stop = int(self.starts[end]) if end < self.starts.size else self.n_values
            yield slice(first, end), slice(start, stop), self.starts[first:end] - start

    def lay(self, columns: Sequence[NDArray[T]], some: slice) -> NDArray[T]:
        """Return a part of the values of some columns, shape (column, value)."""
        places = some if self.order is None else self.order[some]
        if len(columns) == 1:
            return columns[0][places][np.newaxis]
        return np.array([values[places] for values in columns])


def _in_order(chunks: Ints) -> _Runs:
    order = None
    if (chunks[1:] < chunks[:-1]).any():
        order = np.argsort(chunks, kind="stable")
        chunks = chunks[order]
    starts = run_starts(chunks)
    return _Runs(order=order, chunks=chunks[starts], starts=starts, n_values=chunks.size)


def _summarise_columns(
    columns: Sequence[Column], runs: _Runs, edges: Floats
) -> tuple[Floats, Counts]:
    """Return moments and counts of the hours of `runs`, (chunk, column, ...).

    Parameters
    ----------
    columns
        One, or so many that their values fit into one block.
    runs
        Of their chunks; it has one at least.
    edges : (column, edge)
        The frozen edges.
    """
    shape = len(columns), runs.starts.size
    moments = np.empty((*shape, N_MOMENTS))
    counts = np.empty((*shape, edges.shape[1] + 1), dtype=np.uint32)
    bins = [Bins(of, runs.n_values) for of in edges]
    for hours, some, starts in runs.blocks():
        values = runs.lay([column.values for column in columns], some)
        again = runs.lay([column.repeats for column in columns], some)
        low = _moments_of(values, again, starts, moments[:, hours])
        counts[:, hours] = _counts_of(low, starts, bins)
        counts[:, hours, -1] -= moments[:, hours, N_MISSING].astype(np.uint32)
    _centre(columns, runs, moments)
    return moments.swapaxes(0, 1), counts.swapaxes(0, 1)


def _moments_of(values: Floats, again: Bools, starts: Ints, moments: Floats) -> Floats:
    """Fill in the moments of some hours; return their values, +inf where missing.

    CENTRED is the sum of squares yet: `_centre` takes the mean off it. The axes are
    (column, value), and (column, chunk, moment).
    """
    there = np.abs(values) <= LARGEST
    again = again & there
    moments[..., N_REPEAT] = (
        np.add.reduceat(again, starts, axis=-1, dtype=np.int64) if again.any() else 0.0
    )
    low = high = summed = values
    if there.all():
        moments[..., N_MISSING] = 0.0
    else:
        moments[..., N_MISSING] = np.add.reduceat(~there, starts, axis=-1, dtype=np.int64)
        low, high = np.where(there, values, np.inf), np.where(there, values, -np.inf)
        summed = np.where(there, values, 0.0)
    moments[..., N] = run_lengths(starts, values.shape[-1]) - moments[..., N_MISSING]
    moments[..., SUM] = np.add.reduceat(summed, starts, axis=-1)
    moments[..., CENTRED] = np.add.reduceat(summed * summed, starts, axis=-1)
    moments[..., MIN] = np.minimum.reduceat(low, starts, axis=-1)
    moments[..., MAX] = np.maximum.reduceat(high, starts, axis=-1)
    return low


def _centre(columns: Sequence[Column], runs: _Runs, moments: Floats) -> None:
    """Make sums of squares into sums of squared deviations from the mean of the hour."""
    total, n = moments[..., SUM], np.maximum(moments[..., N], 1.0)
    level, varies = total * (total / n), moments[..., MIN] < moments[..., MAX]
    centred = np.where(varies, moments[..., CENTRED] - level, 0.0)
    moments[..., CENTRED] = centred
    is_far = (centred < _FAR * level) & varies
    for i in np.flatnonzero(is_far.any(axis=-1)).tolist():
        for hours, some, starts in runs.blocks():
            if is_far[i, hours].any():
                [values] = runs.lay([columns[i].values], some)
                _centre_again(values, starts, moments[i, hours])


def _centre_again(values: Floats, starts: Ints, moments: Floats) -> None:
    """Take sums of some hours anew, from a value of the hour itself.

    What is left of it has no large level to lose.
    """
    lowest = moments[:, MIN]
    origin = np.where(np.isfinite(lowest), lowest, 0.0)
    away = values - np.repeat(origin, run_lengths(starts, values.size))
    away[~(np.abs(values) <= LARGEST)] = 0.0
    rest, n_there = np.add.reduceat(away, starts), moments[:, N]
    moments[:, SUM] = n_there * origin + rest
    squares = np.add.reduceat(away * away, starts) - rest * (rest / np.maximum(n_there, 1))
    moments[:, CENTRED] = np.maximum(squares, 0.0)


def _counts_of(low: Floats, starts: Ints, bins: Sequence[Bins]) -> Counts:
    """Count the values of each hour in their bins; what is missing counts as the highest."""
    n_columns, n_values = low.shape
    shape = n_columns, starts.size, bins[0].n
    first = np.arange(0, starts.size * bins[0].n, bins[0].n)
    first = np.repeat(first, run_lengths(starts, n_values))
    flat = np.empty(low.shape, dtype=np.int64)
    for i, of in enumerate(bins):
        np.add(first, of.of(low[i]), out=flat[i])
        flat[i] += i * (shape[1] * shape[2])
    counts = np.bincount(flat.ravel(), minlength=n_columns * shape[1] * shape[2])
    return counts.reshape(shape).astype(np.uint32)
