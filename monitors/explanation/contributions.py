"""Contributions to the change of a feature: by bin, hour and day.

Everything comes from summaries of hours, so it costs the same whatever the
traffic. The contributions are exact: they add up to what the mean moved.
"""

from dataclasses import dataclass

import numpy as np

from monitors.statistics.distances import borders, shares
from monitors.summaries.categories import N_CODES
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import SUM, Edges, Floats, Ints, N, Summary
from monitors.summaries.totals import Totals

BARS = 24
_TAIL = 0.005  # of each window beyond either end of the axis; the outer bars take it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """Two distributions on one axis.

    Attributes
    ----------
    borders : (bar + 1,)
        Where each bar begins and ends, in the unit of the feature; the outer
        two bars also hold what lies beyond.
    current, reference : (bar,)
        Shares of the values; NaN of an empty window.
    """

    borders: Floats
    current: Floats
    reference: Floats


def bars(
    current: Totals, reference: Totals, edges: Edges, feature: int, n_bars: int = BARS
) -> Bars:
    """Lay the counts of two windows on bars of equal width.

    Frozen edges are quantiles of the reference: on them every reference is
    flat. Within a bin values are taken as evenly spread, and so is what lies
    beyond the reference, up to the farthest value: the counts hold no more.

    Parameters
    ----------
    current, reference
        On the same edges.
    edges
        The frozen edges.
    feature
        Its place.
    n_bars
        How many bars.

    Examples
    --------
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0, 2.0]]))
    >>> ends = {"mean": np.array([1.0]), "sd": np.array([1.0])}
    >>> low, high = np.array([0.0]), np.array([2.0])
    >>> baseline = Totals(counts=np.array([[0.0, 4.0, 4.0, 0.0]]), low=low, high=high, **ends)
    >>> now = Totals(counts=np.array([[0.0, 0.0, 4.0, 0.0]]), low=low, high=high, **ends)
    >>> both = bars(now, baseline, edges, 0, n_bars=2)
    >>> both.reference.round(2), both.current.round(2)
    (array([0.5, 0.5]), array([0., 1.]))
    """
    one = slice(feature, feature + 1)
    low = np.minimum(current.low[one], reference.low[one])
    high = np.maximum(current.high[one], reference.high[one])
    # Of several bins at one place the last holds how much lies up to there.
    places, last = np.unique(borders(edges.values[one], low, high)[0][::-1], return_index=True)
    reached = [
        np.concatenate([[0.0], np.cumsum(shares(window.counts[one])[0])])[::-1][last]
        for window in (current, reference)
    ]
    known = [each for each in reached if np.isfinite(each).all()]
    ends = [np.interp([_TAIL, 1 - _TAIL], each, places) for each in known]
    start = min((first for first, _ in ends), default=float(places[0]))
    stop = max((end for _, end in ends), default=float(places[-1]))
    if stop <= start:
        stop = start + (abs(start) or 1.0) * 0.1
    axis = np.linspace(start, stop, n_bars + 1)
    laid = []
    for each in reached:
        at = np.interp(axis, places, each)
        at[[0, -1]] = np.where(np.isfinite(each[-1]), [0.0, 1.0], np.nan)
        laid.append(np.diff(at))
    return Bars(borders=axis, current=laid[0], reference=laid[1])


def category_shares(
    current: Totals, reference: Totals, feature: int
) -> tuple[Ints, Floats, Floats]:
    """Return the categories that either window has, and the share of each.

    Parameters
    ----------
    current, reference
        On the same edges: those of `monitors.summaries.categories`.
    feature
        Its place.

    Returns
    -------
    codes : (category,)
        Ascending; 32 stands for all from there on.
    current, reference : (category,)
        Shares; NaN of an empty window.

    Examples
    --------
    >>> none = np.zeros(1)
    >>> def window(*codes):
    ...     counts = np.bincount(np.array(codes) + 1, minlength=34)[np.newaxis].astype(float)
    ...     return Totals(counts=counts, low=none, high=none, mean=none, sd=none)
    >>> category_shares(window(0, 2), window(2, 2), 0)
    (array([0, 2]), array([0.5, 0.5]), array([0., 1.]))
    """
    one = slice(feature, feature + 1)
    counted = (current.counts[one] + reference.counts[one])[0, 1 : N_CODES + 2]
    codes = np.flatnonzero(counted)
    now, baseline = (
        shares(window.counts[one])[0, 1:][codes] for window in (current, reference)
    )
    return codes, now, baseline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """A window in parts: by hour of the day, or by day.

    Attributes
    ----------
    n, total : (part,)
        Values, and their sum.
    n_days
        Days that hold a value.
    """

    n: Floats
    total: Floats
    n_days: int

    @property
    def mean(self) -> Floats:
        """The mean of each part, (part,); NaN of none."""
        found: Floats = np.divide(
            self.total, self.n, out=np.full(self.n.shape, np.nan), where=self.n > 0
        )
        return found


def by_hour(window: Summary, feature: int) -> Parts:
    """Add up the hours of a window by hour of the day (UTC).

    Parameters
    ----------
    window
        Any number of hours.
    feature
        Its place.

    Examples
    --------
    >>> from monitors.summaries.values import Column, summarise
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
    >>> hours, flags = np.array([1, 25, 26]), np.zeros(3, dtype=bool)
    >>> x = Column(values=np.array([2.0, 4.0, 7.0]), chunks=hours, repeats=flags)
    >>> two = by_hour(summarise([x], edges), 0)
    >>> two.mean[1:3], two.n_days
    (array([3., 7.]), 2)
    """
    return _added(window, feature, window.chunks % HOURS, HOURS)


def by_day(window: Summary, feature: int, first_day: int, n_days: int) -> Parts:
    """Add up the hours of a window by day (UTC).

    Parameters
    ----------
    window
        Hours of these days; others are left out.
    feature
        Its place.
    first_day
        The first, in days since 1970.
    n_days
        How many.

    Examples
    --------
    >>> from monitors.summaries.values import Column, summarise
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
    >>> hours, flags = np.array([1, 2, 49]), np.zeros(3, dtype=bool)
    >>> x = Column(values=np.array([2.0, 4.0, 7.0]), chunks=hours, repeats=flags)
    >>> by_day(summarise([x], edges), 0, first_day=0, n_days=3).mean
    array([ 3., nan,  7.])
    """
    part = window.select(first_day * HOURS, (first_day + n_days) * HOURS)
    return _added(part, feature, part.chunks // HOURS - first_day, n_days)


def _added(window: Summary, feature: int, places: Ints, n_places: int) -> Parts:
    moments = window.moments[:, feature]
    n, total = (
        np.bincount(places, weights=moments[:, which], minlength=n_places).astype(np.float64)
        for which in (N, SUM)
    )
    n_days = np.unique(window.chunks[moments[:, N] > 0] // HOURS).size
    return Parts(n=n, total=total, n_days=int(n_days))


def parts_moved(current: Parts, reference: Parts) -> Floats:
    """Return how much of what the mean moved is due to each part, e.g. hour of the day.

    Parameters
    ----------
    current, reference
        In the same parts.

    Returns
    -------
    (part,)
        In the unit of the feature; they add up to the difference of the two
        means. What a part did to it by its values, and by having more or
        fewer of them than before. NaN where either window is empty.

    References
    ----------
    .. [1] E. M. Kitagawa, "Components of a difference between two rates",
       J. Am. Stat. Assoc. 50(272), 1955, pp. 1168-1194.

    Examples
    --------
    >>> baseline = Parts(n=np.array([1.0, 1.0]), total=np.array([2.0, 4.0]), n_days=1)
    >>> now = Parts(n=np.array([1.0, 1.0]), total=np.array([2.0, 8.0]), n_days=1)
    >>> parts_moved(now, baseline)
    array([0., 2.])
    """
    weights, means = [], []
    for window in (current, reference):
        n = window.n.sum()
        weights.append(window.n / n if n > 0 else np.full(window.n.shape, np.nan))
        means.append(window.mean)
    # A part that one window lacks moved nothing by its values.
    now, baseline = np.where(np.isnan(means[0]), means[1], means[0]), means[1]
    baseline = np.where(np.isnan(baseline), now, baseline)
    middle = _mean_of(current) / 2 + _mean_of(reference) / 2
    level = (weights[0] + weights[1]) / 2 * (now - baseline)
    mix = ((now + baseline) / 2 - middle) * (weights[0] - weights[1])
    empty = (current.n + reference.n == 0) & np.isfinite(middle)
    return np.where(empty, 0.0, level + mix)


def days_moved(current: Parts, reference: Parts) -> Floats:
    """Return how much of what the mean moved is due to each day of a window.

    Parameters
    ----------
    current
        The days.
    reference
        In any parts.

    Returns
    -------
    (day,)
        In the unit of the feature; they add up to the difference of the two
        means. 0 for a day without a value; NaN where either window is empty.

    Examples
    --------
    >>> baseline = Parts(n=np.array([2.0]), total=np.array([2.0]), n_days=1)
    >>> week = Parts(n=np.array([3.0, 0.0, 1.0]), total=np.array([3.0, 0.0, 5.0]), n_days=2)
    >>> days_moved(week, baseline)
    array([0., 0., 1.])
    """
    n = current.n.sum()
    whole = n if n > 0 else np.nan
    moved: Floats = (current.total - current.n * _mean_of(reference)) / whole
    return moved


def _mean_of(window: Parts) -> float:
    n = float(window.n.sum())
    return float(window.total.sum()) / n if n > 0 else float("nan")
