"""Sums of window profiles over the rows of an event day.

Pairs of steps never cross rows, so the sums of any two parts of a stream add
up exactly to those of the whole: no border between chunks can lose a pair.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.schema.feature import LARGEST
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import (
    CENTRED,
    MAX,
    MIN,
    N_MISSING,
    N_MOMENTS,
    SUM,
    Floats,
    Ints,
    N,
)
from monitors.summaries.summary import Summary as Sums
from monitors.temporal.window_profile_schema import BUCKETS, N_EDGES, Joint, Numbers, Symbols

Mask: TypeAlias = NDArray[np.bool_]

_FARTHEST = 8.0  # scales from the centre; what lies beyond is the business of other monitors
# Figures are multiples of this: their sums are exact in any order, and so in any chunks.
_GRID = 2.0**-14
_STILL = 1e-4  # squared scales: a window that moves less has no course of its own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lists:
    """The lists of one feature, row after row.

    Attributes
    ----------
    values : (value,)
        Of numbers, or the codes of texts. NaN is missing.
    lengths : (row,)
        0 where a row has no list.
    """

    values: Floats
    lengths: Ints

    def of(self, rows: Ints) -> "Lists":
        """Return the lists of some rows, which must ascend."""
        taken = np.zeros(self.lengths.size, dtype=np.bool_)
        taken[rows] = True
        return Lists(
            values=self.values[np.repeat(taken, self.lengths)], lengths=self.lengths[rows]
        )


def of_numbers(block: Numbers, lists: Lists, phase: Floats) -> Floats:
    """Return the figures of each row.

    Parameters
    ----------
    block
        Defines the lists.
    lists
        What the rows hold.
    phase : (row,)
        The time of day of the last step, in radians.

    Returns
    -------
    (row, column)
        NaN where a row is too short.

    Examples
    --------
    >>> block = Numbers(name="x", centre=0.0, scale=1.0, lags=(1,))
    >>> lists = Lists(values=np.array([0.0, 1.0, 2.0, 0.0]), lengths=np.array([4]))
    >>> of_numbers(block, lists, np.zeros(1))[0, :7].round(3)
    array([ 2.   ,  1.333,  2.   , -0.667,  0.688,  1.   , -0.271])
    """
    found = np.full((lists.lengths.size, len(block.columns)), np.nan)
    starts = np.cumsum(lists.lengths) - lists.lengths
    for length in np.unique(lists.lengths[lists.lengths > 0]).tolist():
        rows = np.flatnonzero(lists.lengths == length)
        if rows.size == lists.lengths.size:
            raw = lists.values.reshape(-1, length)
        else:
            raw = lists.values[starts[rows, np.newaxis] + np.arange(length)]
        found[rows] = _of_equal(block, raw, phase[rows])
    return found


def _of_equal(block: Numbers, raw: Floats, phase: Floats) -> Floats:
    """Return the figures of rows of one length, (row, step)."""
    n, length = raw.shape
    found = np.full((n, len(block.columns)), np.nan)
    if block.padding is not None:
        raw = _unpadded(raw, block.padding, found)
    z = _scaled(raw, block.centre, block.scale)
    there = np.isfinite(z)
    gaps = None if there.all() else there
    found[:, 0] = np.log2(length)
    middle = _mean(z, gaps)
    away = z - middle[:, np.newaxis]
    if length > 1:
        _of_steps(z, gaps, found)
    found[:, 4] = _mean(away * away, gaps)
    for i, lag in enumerate(block.lags):
        if length > lag:
            both = None if gaps is None else gaps[:, lag:] & gaps[:, :-lag]
            found[:, 6 + i] = _mean(away[:, lag:] * away[:, :-lag], both)
    at = 6 + len(block.lags)
    parts = _by_place(away, gaps)
    for turn in (np.ones(n), np.cos(phase), np.sin(phase)):
        found[:, at : at + len(BUCKETS)] = parts * turn[:, np.newaxis]
        at += len(BUCKETS)
    return found


def _scaled(raw: Floats, centre: float, scale: float) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        z = np.clip((raw - centre) / scale, -_FARTHEST, _FARTHEST)
    z[~(np.abs(raw) <= LARGEST)] = np.nan
    return z


def _of_steps(z: Floats, gaps: Mask | None, found: Floats) -> None:
    steps = np.diff(z, axis=1)
    both = None if gaps is None else gaps[:, 1:] & gaps[:, :-1]
    size = np.abs(steps)
    squares = steps * steps
    found[:, 1] = _mean(size, both)
    found[:, 2] = _mean(squares, both)
    found[:, 3] = _mean(steps * size, both)
    half = steps.shape[1] // 2
    if half:
        old, new = np.s_[:, :half], np.s_[:, -half:]
        parts = [_mean(size[at], None if both is None else both[at]) for at in (old, new)]
        found[:, 5] = parts[1] - parts[0]


def _by_place(away: Floats, gaps: Mask | None) -> Floats:
    """Return the mean of each part of the rows, the last step first; NaN where it has none."""
    length = away.shape[1]
    back = np.arange(length)[::-1]
    place = np.searchsorted(BUCKETS, back, side="right") - 1
    of_place = (place[:, np.newaxis] == np.arange(len(BUCKETS))).astype(float)
    n = of_place.sum(axis=0) if gaps is None else gaps @ of_place
    total = (away if gaps is None else np.where(gaps, away, 0.0)) @ of_place
    mean: Floats = np.full(total.shape, np.nan)
    np.divide(total, n, out=mean, where=n > 0)
    return mean


def _mean(values: Floats, there: Mask | None) -> Floats:
    """Return the mean of each row; NaN where nothing is there."""
    if there is None:
        return np.asarray(values @ np.full(values.shape[1], 1 / values.shape[1]))
    n = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    mean: Floats = np.full(n.shape, np.nan)
    np.divide(total, n, out=mean, where=n > 0)
    return mean


def _unpadded(raw: Floats, padding: float, found: Floats) -> Floats:
    """Return rows without what fills them up, which is no data; note its share on each side."""
    length = raw.shape[1]
    real = raw != padding
    some = real.any(axis=1)
    before = np.where(some, np.argmax(real, axis=1), length)
    after = np.where(some, np.argmax(real[:, ::-1], axis=1), length)
    found[:, -2], found[:, -1] = before / length, after / length
    if not before.any() and not after.any():
        return raw
    step = np.arange(length)
    inside = (step >= before[:, np.newaxis]) & (step < length - after[:, np.newaxis])
    return np.where(inside, raw, np.nan)


def of_windows(block: Joint, lists: tuple[Lists, ...]) -> Floats:
    """Return the sketch of each row.

    Parameters
    ----------
    block
        Defines the sums.
    lists
        Of its features, in their order. What a row lacks of them is taken as
        the centre; a row that has none of them has no sketch.

    Returns
    -------
    (row, column)
        Cosines, then sines; NaN for rows without a value.
    """
    n = lists[0].lengths.size
    window = np.zeros((n, len(lists), block.steps))
    some = np.zeros(n, dtype=np.bool_)
    for i, each in enumerate(lists):
        ends = np.cumsum(each.lengths)
        at = ends[:, np.newaxis] - 1 - np.arange(block.steps)
        has = np.arange(block.steps) < each.lengths[:, np.newaxis]
        raw = np.full(at.shape, np.nan)
        raw[has] = each.values[at[has]]
        z = _scaled(raw, block.centres[i], block.scales[i])
        there = np.isfinite(z)
        some |= there.any(axis=1)
        if block.steps > 1:
            z = _by_itself(z, there)
        window[:, i] = np.nan_to_num(z, nan=0.0)
    angles = window.reshape(n, len(lists) * block.steps) @ block.frequencies
    sketch = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    sketch[~some] = np.nan
    return sketch


def _by_itself(z: Floats, there: Mask) -> Floats:
    """Return windows as they go around their own middle, in their own spread."""
    away = z - _mean(z, there)[:, np.newaxis]
    spread = np.sqrt(_mean(away * away, there) + _STILL)
    return away / spread[:, np.newaxis]


def by_day(figures: Floats, days: Ints, edges: Floats) -> Sums:
    """Sum figures over event days.

    Parameters
    ----------
    figures : (row, column)
        NaN is missing.
    days : (row,)
        Since 1970.
    edges : (column, edge)
        Evenly spaced.

    Returns
    -------
    Summary
        One chunk a day: its first hour.
    """
    order = np.argsort(days, kind="stable")
    days, figures = days[order], np.rint(figures[order] / _GRID) * _GRID
    apart, starts = np.unique(days, return_index=True)
    n_columns, n_bins = figures.shape[1], N_EDGES + 1
    there = np.isfinite(figures)
    zeroed = np.where(there, figures, 0.0)
    moments = np.zeros((apart.size, n_columns, N_MOMENTS))
    counts = np.zeros((apart.size, n_columns, n_bins), dtype=np.uint32)
    if apart.size and n_columns:
        n = np.add.reduceat(there, starts, axis=0, dtype=np.int64)
        moments[..., N] = n
        moments[..., N_MISSING] = np.diff(starts, append=days.size)[:, np.newaxis] - n
        moments[..., SUM] = np.add.reduceat(zeroed, starts, axis=0)
        squares = np.add.reduceat(zeroed * zeroed, starts, axis=0)
        moments[..., CENTRED] = _centred(n, moments[..., SUM], squares)
        lowest = np.where(there, figures, np.inf)
        moments[..., MIN] = np.minimum.reduceat(lowest, starts, axis=0)
        moments[..., MAX] = np.maximum.reduceat(
            np.where(there, figures, -np.inf), starts, axis=0
        )
        per_unit = (N_EDGES - 1) / (edges[:, -1] - edges[:, 0])
        cells = np.floor((zeroed - edges[:, 0]) * per_unit) + 1
        cells = np.clip(cells, 0, n_bins - 1).astype(np.int64)
        day = np.repeat(np.arange(apart.size), np.diff(starts, append=days.size))
        cells += (day[:, np.newaxis] * n_columns + np.arange(n_columns)) * n_bins
        counted = np.bincount(cells[there], minlength=counts.size)
        counts[:] = counted.reshape(counts.shape)
    return Sums(chunks=apart * HOURS, moments=moments, counts=counts)


def _centred(n: Floats | Ints, total: Floats, squares: Floats) -> Floats:
    """Return centred sums of squares; of small multiples of the grid nothing cancels."""
    return np.asarray(np.maximum(squares - total * (total / np.maximum(n, 1)), 0.0))


def of_symbols(block: Symbols, lists: Lists, days: Ints) -> Sums:
    """Count over event days which text followed which inside rows.

    Parameters
    ----------
    block
        Lists the texts; all others, and what is missing, end a pair.
    lists
        The codes of the texts.
    days : (row,)
        Since 1970.

    Returns
    -------
    Summary
        The lengths, then after each text the codes of those that came next.
    """
    n = len(block.texts)
    with np.errstate(divide="ignore"):
        lengths = np.where(lists.lengths > 0, np.log2(lists.lengths), np.nan)
    whole = by_day(lengths[:, np.newaxis], days, block.edges[:1])
    place = np.searchsorted(whole.chunks, days * HOURS)
    of_step = np.repeat(place, lists.lengths)
    row = np.repeat(np.arange(lists.lengths.size), lists.lengths)
    codes = np.where(np.isfinite(lists.values), lists.values, n)
    known = codes < n
    pair = (row[1:] == row[:-1]) & known[1:] & known[:-1]
    first, then = codes[:-1][pair].astype(np.int64), codes[1:][pair].astype(np.int64)
    cells = (of_step[1:][pair] * n + first) * n + then
    size = whole.chunks.size
    table = np.bincount(cells, minlength=size * n * n).reshape(size, n, n)
    moments = np.concatenate([whole.moments, _of_codes(table)], axis=1)
    counts = np.zeros((size, n + 1, N_EDGES + 1), dtype=np.uint32)
    counts[:, :1] = whole.counts
    counts[:, 1:, 1 : n + 1] = table
    return Sums(chunks=whole.chunks, moments=moments, counts=counts)


def _of_codes(table: Ints) -> Floats:
    """Return the moments of codes that were counted, (day, before, code)."""
    codes = np.arange(table.shape[-1], dtype=float)
    moments = np.zeros((*table.shape[:2], N_MOMENTS))
    moments[..., N] = table.sum(axis=-1)
    moments[..., SUM] = table @ codes
    moments[..., CENTRED] = _centred(moments[..., N], moments[..., SUM], table @ codes**2)
    moments[..., MIN] = np.where(table > 0, codes, np.inf).min(axis=-1)
    moments[..., MAX] = np.where(table > 0, codes, -np.inf).max(axis=-1)
    return moments


def beside(parts: list[Sums]) -> Sums:
    """Put summaries of the same days side by side, column after column."""
    return Sums(
        chunks=parts[0].chunks,
        moments=np.concatenate([part.moments for part in parts], axis=1),
        counts=np.concatenate([part.counts for part in parts], axis=1),
    )
