"""Daily levels of a feature, and their prediction from the days before.

A level that is a random walk is not shifted when it moves on. What counts is the
*innovation*: how far a day lies from what yesterday, the last week and the
last eight weeks let expect. A level that moved and stays shows in every
innovation until eight weeks know nothing else; one that follows the seasons
hardly does.
"""

from collections.abc import Sequence

import numpy as np

from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Bools, Floats

BASELINE_DAYS = 56  # a level that has lasted so long is typical
LAGS = (1, 7, BASELINE_DAYS)
WARM_UP_DAYS = 14  # so many of them must be known before anything is expected

# Days of which the liveliness of now is taken: days with more spread must not count as shifted.
LIVELY_DAYS = 28
_WILD = 30.0  # spreads; one day must not hide a month
# Of the sum of squares: keeps a feature that never moves solvable.
_RIDGE = 1e-9
_TO_DEVIATION = np.sqrt(np.pi / 2)  # from a mean absolute deviation, if it were normal


def clock(whole: Hourly) -> tuple[Floats, Floats]:
    """Return how each hour of the day, and then each weekday, departs from the mean.

    Parameters
    ----------
    whole
        Whole days.

    Returns
    -------
    by_hour : (24, feature)
    by_weekday : (7, feature)
        Row 0 is a Thursday, as 1970 began. 0 where no value is known.
    """
    hours = _by_day(whole)
    by_hour = known_mean(hours) - known_mean(whole.mean)
    days = _day_means(hours - by_hour)
    weekday = (whole.first // HOURS + np.arange(len(days))) % 7
    middle = known_mean(days)
    by_weekday = np.stack([known_mean(days[weekday == day], middle) for day in range(7)])
    return by_hour, by_weekday - middle


def levels(whole: Hourly, by_hour: Floats, by_weekday: Floats) -> Floats:
    """Return the level of each day, freed of its hours and of the weekday.

    Parameters
    ----------
    whole
        Whole days.
    by_hour, by_weekday
        From `clock`, of the reference.

    Returns
    -------
    (day, feature)
        In the unit of the feature. NaN where fewer than half of the hours are
        known.
    """
    days = _day_means(_by_day(whole) - by_hour)
    weekday = (whole.first // HOURS + np.arange(len(days))) % 7
    return days - by_weekday[weekday]


def _by_day(whole: Hourly) -> Floats:
    # Spelt out, not -1: a model may have no number among its inputs.
    return whole.mean.reshape(len(whole) // HOURS, HOURS, len(whole.names))


def _day_means(hours: Floats) -> Floats:
    n = np.isfinite(hours).sum(axis=1)
    total = np.where(np.isfinite(hours), hours, 0.0).sum(axis=1)
    return np.where(2 * n >= HOURS, total / np.maximum(n, 1), np.nan)


def known_mean(values: Floats, otherwise: Floats | float = 0.0) -> Floats:
    """Return the mean over the first axis of what is known; `otherwise` where nothing is."""
    there = np.isfinite(values)
    n = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.where(n > 0, total / np.maximum(n, 1), otherwise)


def means_before(levels: Floats, lags: Sequence[int] = LAGS) -> Floats:
    """Return, for each day, the mean level of so many days before it.

    Parameters
    ----------
    levels : (day, stream)
        NaN is left out.
    lags
        In days, ascending.

    Returns
    -------
    (day, stream, lag)
        Where none of the days is known, the mean over the next longer lag;
        NaN where there is none either.

    Examples
    --------
    >>> means_before(np.array([[1.0], [3.0], [np.nan], [5.0]]), (1, 2))[..., 0, :]
    array([[nan, nan],
           [ 1.,  1.],
           [ 3.,  2.],
           [ 3.,  3.]])
    """
    there = np.isfinite(levels)
    total, n = (_running(part) for part in (np.where(there, levels, 0.0), there))
    end = np.arange(len(levels))
    out = np.empty((*levels.shape, len(lags)))
    for i, lag in reversed([*enumerate(lags)]):
        start = np.maximum(end - lag, 0)
        known = n[end] - n[start]
        mean = (total[end] - total[start]) / np.maximum(known, 1.0)
        longer = out[..., i + 1] if i + 1 < len(lags) else np.nan
        out[..., i] = np.where(known > 0, mean, longer)
    return out


def _running(values: Floats) -> Floats:
    """Return running sums, 0 first."""
    return np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0)])


def pull(levels: Floats, before: Floats, *, is_anchored: bool) -> Floats:
    """Fit by least squares the weight of each preceding mean for a day.

    Parameters
    ----------
    levels : (day, stream)
        NaN is left out.
    before : (day, stream, lag)
        From `means_before`.
    is_anchored
        True: days return to 0, so that the weights may be anything. False:
        they return nowhere, and the weights sum to one.

    Returns
    -------
    (stream, lag)
    """
    if is_anchored:
        seen, target = before, levels
    else:
        seen, target = before[..., :-1] - before[..., -1:], levels - before[..., -1]
    there = np.isfinite(target) & np.isfinite(seen).all(axis=2) & _is_predictable(levels)
    seen = np.where(there[..., np.newaxis], seen, 0.0)
    target = np.where(there, target, 0.0)
    square = np.einsum("tci,tcj->cij", seen, seen)
    size = np.trace(square, axis1=1, axis2=2)[:, np.newaxis, np.newaxis]
    square = square + np.eye(seen.shape[2]) * (_RIDGE * size + 1e-12)
    with_target = np.einsum("tci,tc->ci", seen, target)
    weights: Floats = np.linalg.solve(square, with_target[..., np.newaxis])[..., 0]
    if is_anchored:
        return weights
    return np.concatenate([weights, 1.0 - weights.sum(axis=1, keepdims=True)], axis=1)


def innovations(levels: Floats, before: Floats, weights: Floats) -> Floats:
    """Return the prediction error of each day, from the days before.

    Parameters
    ----------
    levels : (day, stream)
    before : (day, stream, lag)
        From `means_before`.
    weights : (stream, lag)
        From `pull`.

    Returns
    -------
    (day, stream)
        NaN on unknown days, and where fewer than 14 of the 56 days before are
        known.
    """
    apart = levels - np.einsum("tci,ci->tc", before, weights)
    return np.where(_is_predictable(levels), apart, np.nan)


def _is_predictable(levels: Floats) -> Bools:
    n, end = _running(np.isfinite(levels)), np.arange(len(levels))
    is_enough: Bools = n[end] - n[np.maximum(end - BASELINE_DAYS, 0)] >= WARM_UP_DAYS
    return is_enough


def is_usable(levels: Floats) -> Bools:
    """Return of which days the level is known, and expected from days before.

    The first fourteen known days count too: a stretch of days must begin somewhere.
    """
    there = np.isfinite(levels)
    is_first = _running(there)[:-1] < WARM_UP_DAYS
    usable: Bools = there & (_is_predictable(levels) | is_first)
    return usable


def is_forgotten(known: Bools) -> Bools:
    """Return which days end eight weeks of unknown days, (day,).

    Examples
    --------
    >>> known = np.array([True] + 58 * [False] + [True])
    >>> np.flatnonzero(is_forgotten(known))
    array([56, 57, 58])
    """
    n, end = np.concatenate([[0], known.cumsum()]), np.arange(1, len(known) + 1)
    forgotten: Bools = n[end] == n[np.maximum(end - BASELINE_DAYS, 0)]
    return forgotten


def spread(innovations: Floats) -> Floats:
    """Return the spread of the innovations, never 0; NaN is left out.

    Returns
    -------
    (stream,)
        A standard deviation, taken from the mean absolute deviation: an
        incident of the past weighs less in it.
    """
    size: Floats = _TO_DEVIATION * known_mean(np.abs(innovations))
    return np.maximum(size, 1e-9)


def calmed(innovations: Floats) -> Floats:
    """Divide by the spread of the weeks before, where it is above that of the reference.

    Parameters
    ----------
    innovations : (day, stream)
        In ordinary spreads; NaN is left out.

    Returns
    -------
    (day, stream)
    """
    there = np.isfinite(innovations)
    known = np.clip(np.where(there, innovations, 0.0), -_WILD, _WILD)
    first, second, n = (_running(part) for part in (known, known**2, there))
    end = np.arange(len(innovations))
    start = np.maximum(end - LIVELY_DAYS, 0)
    some = np.maximum(n[end] - n[start], 1.0)
    middle = (first[end] - first[start]) / some
    variance = (second[end] - second[start]) / some - middle**2
    return innovations / np.sqrt(np.maximum(variance, 1.0))
