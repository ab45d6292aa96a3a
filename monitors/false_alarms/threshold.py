"""Threshold for a given mean time between false alarms, from the scores of the reference.

No distribution is assumed and no independence: the reference's own windows define
the baseline, and the threshold is the one that would have kept the promised
rate of false alarms over them.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy

from monitors.summaries.moments import rounding
from monitors.summaries.summary import Bools, Floats

# Spreads; farther is not more unusual, and constants that moved have a score that is finite.
FARTHEST = 1e6
CONFIDENCE = 0.8  # that a promise will be kept


def p_value(statistic: Floats) -> float:
    """Return the conformal p-value of the last window among all windows.

    Exact when windows are exchangeable and the statistic treats them alike,
    the last one included.

    Parameters
    ----------
    statistic : (window,)
        Larger is more unusual; the window on trial is the last. NaN (no
        data) among the others is left out.

    Returns
    -------
    float
        `(1 + number of others that are at least as large) / (all)`; NaN when
        the last is NaN.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a
       Random World", Springer, 2005, ch. 2.

    Examples
    --------
    >>> p_value(np.array([1.0, 2.0, 3.0, 2.5]))
    0.5
    """
    current, others = statistic[-1], statistic[:-1]
    if math.isnan(current):
        return math.nan
    others = others[~np.isnan(others)]
    return float(1 + (others >= current).sum()) / (others.size + 1)


def conformal_p(scores: Floats, at: int) -> Floats:
    """Return how unusual one window of each feature is among all windows of all features.

    Fifty weeks of one feature rank no week below 1/50, and the threshold is the second
    highest of them. Scores are in the unit of their own feature's farthest windows, so
    what lies beyond that is learnt from all features together, as floods are from all
    gauges of a region [1]_. Exact when windows are exchangeable, whatever differs between
    features: among all of them, at most the share `level` of a window's is called at
    p <= `level`, on average. A feature with a heavier tail is called more often than one
    with a lighter.

    Parameters
    ----------
    scores : (window, feature)
        Symmetric: the largest over views, or over views and features. NaN (no data) is
        left out.
    at
        The place of the window on trial.

    Returns
    -------
    (feature,)
        NaN where the window on trial is.

    References
    ----------
    .. [1] J. R. M. Hosking and J. R. Wallis, "Regional Frequency Analysis", Cambridge
       University Press, 1997, ch. 1: the index flood.

    Examples
    --------
    >>> conformal_p(np.array([[3.0, 9.0], [1.0, 2.0]]), at=0)
    array([0.5 , 0.25])
    """
    known = np.sort(scores[np.isfinite(scores)])
    at_least = known.size - np.searchsorted(known, scores[at], side="left")
    return np.where(np.isfinite(scores[at]), at_least / max(known.size, 1), np.nan)


def symmetric_distance(first: Floats, second: Floats, grain: Floats | float = 0.0) -> Floats:
    """Return how far each window lies from the middle of all windows, per feature.

    Two statistics of each window are standardised by the pool that includes
    the window itself, so that no window is special.

    Parameters
    ----------
    first, second : (window, feature)
        For instance mean and standard deviation. NaN is left out.
    grain : (feature,)
        As for `pool`.

    Returns
    -------
    (window, feature)
        NaN where either statistic is.

    Examples
    --------
    >>> still = np.zeros((3, 1))
    >>> symmetric_distance(np.array([[-1.0], [0.0], [1.0]]), still).ravel().round(3)
    array([1.225, 0.   , 1.225])
    """
    return distance(first, second, pool(first, second, grain))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Middle and spread of two statistics over windows; all of shape (feature,)."""

    first: Floats
    first_spread: Floats
    second: Floats
    second_spread: Floats


def pool(first: Floats, second: Floats, grain: Floats | float = 0.0) -> Pool:
    """Return middle and spread of the windows; shapes as in `symmetric_distance`.

    Parameters
    ----------
    first, second : (window, feature)
        The two statistics.
    grain : (feature,)
        A smaller spread is rounding, and counts as the grain.
    """
    first_middle, first_spread = middle_and_spread(first, grain)
    second_middle, second_spread = middle_and_spread(second, grain)
    return Pool(
        first=first_middle,
        first_spread=first_spread,
        second=second_middle,
        second_spread=second_spread,
    )


def distance(first: Floats, second: Floats, pool: Pool) -> Floats:
    """Return how far windows lie from the middle of a pool, in its spreads.

    Parameters
    ----------
    first, second : (window, feature)
        The two statistics.
    pool
        The windows to compare with.

    Returns
    -------
    (window, feature)
        0 is the middle, at most `FARTHEST`; NaN where either statistic is.
    """
    with np.errstate(over="ignore"):
        away = np.hypot(
            (first - pool.first) / pool.first_spread,
            (second - pool.second) / pool.second_spread,
        )
    return np.minimum(away, FARTHEST)


def middle_and_spread(values: Floats, grain: Floats | float = 0.0) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each feature, never a spread of zero.

    Parameters
    ----------
    values : (window, feature)
        NaN is left out.
    grain : (feature,)
        A smaller spread is rounding, and counts as the grain.

    Returns
    -------
    middle, spread : (feature,)
        The spread is at least the rounding of the middle (`moments.rounding`):
        that of a constant is no more.

    Examples
    --------
    >>> middle, spread = middle_and_spread(np.full((3, 1), 5.0))
    >>> float(middle[0]), is_constant(middle, spread)
    (5.0, array([ True]))
    """
    there = np.isfinite(values)
    n = np.maximum(there.sum(axis=0), 1)
    # From a value of its own, which is exact where nothing moves.
    origin = np.where(there, values, np.inf).min(axis=0, initial=np.inf)
    origin = np.where(np.isfinite(origin), origin, 0.0)
    middle = origin + np.where(there, values - origin, 0.0).sum(axis=0) / n
    spread = np.sqrt((np.where(there, values - middle, 0.0) ** 2).sum(axis=0) / n)
    return middle, np.maximum(spread, np.maximum(rounding(middle), grain))


def is_constant(middle: Floats, spread: Floats) -> Bools:
    """Return of which features no value moved by more than rounding.

    Parameters
    ----------
    middle, spread : (feature,)
        From `middle_and_spread`.
    """
    constant: Bools = spread <= rounding(middle)
    return constant


def in_sd(moved: Floats, middle: Floats, spread: Floats) -> Floats:
    """Return by how many standard deviations features moved.

    Parameters
    ----------
    moved : (..., feature)
        In the unit of the feature.
    middle, spread : (feature,)
        Of the reference, from `middle_and_spread`.

    Returns
    -------
    (..., feature)
        Of a constant of the reference 0 while it stays, infinite once it moves: there is
        no standard deviation to count in.

    Examples
    --------
    >>> in_sd(np.array([1.0, 0.0]), *middle_and_spread(np.full((3, 2), 5.0)))
    array([inf,  0.])
    """
    grain = rounding(middle)
    beyond = np.where(moved > grain, np.inf, np.where(moved < -grain, -np.inf, 0.0))
    found = np.where(is_constant(middle, spread), beyond, moved / spread)
    return np.where(np.isnan(moved), np.nan, found)


def episodes(breach: Bools, gap: int) -> int:
    """Count alarms as people do: breaches closer than `gap` evaluations are one.

    Parameters
    ----------
    breach : (evaluation,)
        In time order.
    gap
        Quiet evaluations that end an episode.

    Examples
    --------
    >>> episodes(np.array([True, False, True, False, False, True]), gap=2)
    2
    """
    at = np.flatnonzero(breach)
    return 0 if at.size == 0 else 1 + int((np.diff(at) > gap).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarmThreshold:
    """Threshold for a mean time between false alarms, and its evidence on the reference.

    Attributes
    ----------
    value
        A score above it is an alarm.
    promised_days
        Days between false alarms that the user asked for.
    replayed_days
        Length of the reference over which the evaluations were replayed.
    replayed_episodes
        False alarms that this threshold raised over it.
    extrapolated
        True when the reference is too short to show the promised rate, and
        the threshold comes from the tail of its highest episodes.
    """

    value: float
    promised_days: float
    replayed_days: float
    replayed_episodes: int
    extrapolated: bool

    @property
    def achieved_days(self) -> float | None:
        """Return the rate achieved on the reference; None if nothing was raised."""
        if self.replayed_episodes == 0:
            return None
        return self.replayed_days / self.replayed_episodes


def fit_threshold(scores: Floats, promised_days: float, gap: int) -> FalseAlarmThreshold:
    """Find the threshold that keeps the promise over the replayed evaluations.

    With a reference of T days and a promise of D, so many episodes of the
    reference lie above the threshold that the rate they come from is below
    1 / D with a confidence of 80 % (exact Poisson bound). To promise what was
    seen on average would break the promise in every second deployment.

    Parameters
    ----------
    scores : (evaluation,)
        One evaluation a day over the reference, each scored as if its own time had
        not been seen. NaN (no data) is left out of the count of days.
    promised_days
        Days between false alarms.
    gap
        Quiet evaluations that end an episode.

    Returns
    -------
    FalseAlarmThreshold
        Extrapolated, with an exponential tail fitted to the highest episodes,
        when T is less than 1.6 D.

    Raises
    ------
    ValueError
        If there is no score at all.

    Examples
    --------
    >>> scores = np.r_[np.zeros(90), 3.0, np.zeros(90), 2.0, np.zeros(90), 1.0, np.zeros(27)]
    >>> fit_threshold(scores, promised_days=90.0, gap=7).value
    2.0
    """
    finite = np.where(np.isfinite(scores), scores, -np.inf)
    days = int(np.isfinite(scores).sum())
    if days == 0:
        raise ValueError("the reference has no evaluation to fit a threshold on")
    allowed = _allowed(days / promised_days)
    threshold = _threshold(finite, max(allowed, 0), gap)
    if allowed < 0:
        # No episode at all would show the rate over so many days.
        needed = -math.log(1.0 - CONFIDENCE) * promised_days
        threshold += _mean_excess(finite, gap) * math.log(needed / days)
    return FalseAlarmThreshold(
        value=threshold,
        promised_days=promised_days,
        replayed_days=float(days),
        replayed_episodes=episodes(finite > threshold, gap),
        extrapolated=allowed < 0,
    )


def _allowed(expected: float) -> int:
    """Return how many episodes still show a rate below the promise; -1 if none does.

    Examples
    --------
    >>> [_allowed(expected) for expected in (1.0, 2.0, 3.0, 5.0, 10.0)]
    [-1, 0, 1, 2, 6]
    """
    allowed = -1
    while (
        scipy.special.gammaincinv(allowed + 2, CONFIDENCE) <= expected
    ):  # the exact Poisson bound
        allowed += 1
    return allowed


def _threshold(scores: Floats, allowed: int, gap: int) -> float:
    """Return the lowest score above which at most `allowed` episodes lie."""
    levels = np.unique(scores[np.isfinite(scores)])[::-1]
    lowest = levels[0]
    for level in levels:
        if episodes(scores > level, gap) > allowed:
            break
        lowest = level
    return float(lowest)


def _mean_excess(scores: Floats, gap: int) -> float:
    """Return the scale of an exponential tail from the five highest episodes."""
    top = float(scores.max())
    fifth = _threshold(scores, 5, gap)
    return max(top - fifth, 0.0) / sum(1.0 / k for k in range(1, 6))
