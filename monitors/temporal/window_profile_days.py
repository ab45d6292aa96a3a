"""Window profile by day: means of the parts that are evaluated."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from monitors.summaries.hourly import HOURS
from monitors.summaries.moments import combined
from monitors.summaries.summary import SUM, Floats, N, Summary
from monitors.temporal.window_profile_schema import (
    BUCKETS,
    Joint,
    Layout,
    Numbers,
    Symbols,
)

WEEKS = 4  # before a day, that it is compared with
_LEAST_WEEKS = 2
_LEAST_PAIRS = 10  # of a day that begin with a text
_QUIET = 1e-6  # squared scales: what moves less stands still


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A part of the window profile: some columns, reduced to one point a day.

    Attributes
    ----------
    feature
        Of which; or what is evaluated together.
    message
        What it is about, for people.
    columns
        Their places, one for each coordinate of the point: which column to show.
    grain
        A smaller change is never more than in the baseline.
    point
        Makes the sums of some stretch into a point; NaN where nothing is known.
    """

    feature: str
    message: str
    columns: tuple[int, ...]
    grain: float
    point: Callable[[Floats, Summary], Floats]

    def middle(self, days: Summary) -> Floats:
        """Return the point of all days as one, (coordinate,)."""
        merged = Summary(
            chunks=days.chunks[:1],
            moments=combined(days.moments, np.zeros(min(len(days.moments), 1), dtype=int)),
            counts=days.counts.sum(axis=0, keepdims=True),
        )
        [point] = self.point(_means(merged), merged)
        return np.asarray(point)


def _means(days: Summary) -> Floats:
    n = days.moments[..., N]
    means: Floats = np.full(n.shape, np.nan)
    np.divide(days.moments[..., SUM], n, out=means, where=n > 0)
    return means


def parts_of(layout: Layout) -> tuple[Part, ...]:
    """Return the parts that are evaluated, in the order of the blocks.

    Examples
    --------
    >>> load = Numbers(name="load", centre=0.0, scale=1.0, lags=(1, 2))
    >>> [part.message for part in parts_of(Layout(blocks=(load,)))][:3]
    ['length', 'size of the steps', 'order inside the row']
    """
    parts: list[Part] = []
    at = 0
    for block in layout.blocks:
        match block:
            case Numbers():
                parts += _of_numbers(block, at)
            case Symbols():
                parts += _of_symbols(block, at)
            case Joint():
                parts.append(_of_joint(block, at))
        at += len(block.columns)
    return tuple(parts)


def _of_numbers(block: Numbers, at: int) -> Iterator[Part]:
    lags = np.arange(at + 6, at + 6 + len(block.lags))
    where = np.arange(lags[-1] + 1 if lags.size else at + 6, at + len(block.columns))
    padding, n_places = where[3 * len(BUCKETS) :], 3 * len(BUCKETS)
    places = where[:n_places]

    def part(message: str, columns: Iterable[int], grain: float, point: object) -> Part:
        assert callable(point)
        return Part(
            feature=block.name,
            message=message,
            columns=tuple(int(column) for column in columns),
            grain=grain,
            point=lambda means, _: point(means),
        )

    def energy(means: Floats) -> Floats:
        return means[:, [at + 4]] + _QUIET

    def square(means: Floats) -> Floats:
        return means[:, [at + 2]] + _QUIET

    yield part("length", [at], 0.05, lambda means: means[:, [at]])
    yield part(
        "size of the steps",
        [at + 1],
        0.1,
        lambda m: np.log((m[:, [at + 1]] + 1e-3) / np.sqrt(energy(m))),
    )
    yield part("order inside the row", [at + 3], 0.05, lambda m: m[:, [at + 3]] / square(m))
    yield part(
        "which half of the row moves",
        [at + 5],
        0.05,
        lambda m: m[:, [at + 5]] / (m[:, [at + 1]] + 1e-3),
    )
    if lags.size:
        yield part("what follows what", lags, 0.05, lambda m: m[:, lags] / energy(m))
    yield part(
        "where in the row the values lie",
        places,
        0.1,
        lambda m: m[:, places] / np.sqrt(energy(m)),
    )
    if padding.size:
        yield part("padding", padding, 0.05, lambda m: m[:, padding])


def _of_symbols(block: Symbols, at: int) -> Iterator[Part]:
    n = len(block.texts)

    def length(means: Floats, _: Summary) -> Floats:
        return means[:, [at]]

    def pairs(_: Floats, days: Summary) -> Floats:
        """Return how often each text comes after each; NaN after a rare one."""
        table = days.counts[:, at + 1 : at + 1 + n, 1 : n + 1].astype(float)
        total = table.sum(axis=2, keepdims=True)
        share = np.full(table.shape, np.nan)
        np.divide(table, total, out=share, where=total >= _LEAST_PAIRS)
        return share.reshape(len(table), n * n)

    yield Part(feature=block.name, message="length", columns=(at,), grain=0.05, point=length)
    yield Part(
        feature=block.name,
        message="which text follows which",
        columns=tuple(at + 1 + i for i in range(n) for _ in range(n)),
        grain=0.05,
        point=pairs,
    )


def _of_joint(block: Joint, at: int) -> Part:
    columns = np.arange(at, at + len(block.columns))
    return Part(
        feature=block.title,
        message="values of the whole window together",
        columns=tuple(columns.tolist()),
        grain=0.05,
        point=lambda means, _: means[:, columns],
    )


def changes(
    layout: Layout, days: Summary, first: int, end: int, window_days: int
) -> tuple[Floats, ...]:
    """Return by how much each window differs from the same weekdays of the four weeks before.

    Parameters
    ----------
    layout
        What the columns are.
    days
        The sums of the stretch; a day that is absent is unknown.
    first, end
        Its days `[first, end)`, since the epoch.
    window_days
        Length of a window.

    Returns
    -------
    tuple of (day, coordinate)
        For each part, the change of the mean of its points over the window that ends
        with each day. NaN with fewer than half of the window's days, or fewer than two
        weeks to compare each with.
    """
    means = _means(days)
    place = days.chunks // HOURS - first
    found = []
    for part in parts_of(layout):
        points = part.point(means, days)
        grid = np.full((max(end - first, 0), points.shape[1]), np.nan)
        grid[place] = points
        mean_before = _mean_of(
            [_earlier(grid, 7 * week) for week in range(1, WEEKS + 1)], _LEAST_WEEKS
        )
        change = grid - mean_before
        some = [_earlier(change, day) for day in range(window_days)]
        found.append(_mean_of(some, (window_days + 1) // 2))
    return tuple(found)


def _earlier(grid: Floats, days: int) -> Floats:
    """Return a grid that lies so many days later, NaN before; all NaN where it is shorter."""
    moved = np.full(grid.shape, np.nan)
    moved[days:] = grid[: max(len(grid) - days, 0)]
    return moved


def _mean_of(grids: list[Floats], least: int) -> Floats:
    """Return the mean over grids where at least so many are known, NaN elsewhere."""
    stack = np.stack(grids)
    there = np.isfinite(stack)
    n = there.sum(axis=0)
    total = np.where(there, stack, 0.0).sum(axis=0)
    mean: Floats = np.full(n.shape, np.nan)
    np.divide(total, n, out=mean, where=n >= max(least, 1))
    return mean
