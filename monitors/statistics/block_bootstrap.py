"""Block bootstrap test of a window against a short reference.

Window and reference are laid together, as if nothing had happened, and whole days are
drawn from them in blocks, so that what hours and days remember stays in them. What a
drawn window and a drawn reference differ by is what chance makes. All features are
drawn by the same days: what befalls them together counts once.
"""

import math
from dataclasses import dataclass

import numpy as np

from monitors.summaries.summary import Bools, Floats, Ints

MIN_DAYS = 14  # of reference: with fewer there is hardly anything to draw from
DRAWS = 399
INTERVAL = 0.9  # of the median's move
_SEED = 20_091_117  # the same question has the same answer
_TAIL = 0.95  # of a feature's draws: makes the moves of features comparable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resampled:
    """How unusual a window is; NaN where there is too little data.

    Attributes
    ----------
    p
        How often some feature moves as far as the farthest did, without any
        change.
    top
        The place of the one that moved farthest; None where there is too little data.
    ks_p, wasserstein_p, median_p : (feature,)
        The same of each feature alone: by the largest gap of the distribution
        functions, by the area between them, and by the median.
    median, low, high : (feature,)
        By how much the median moved, in the feature's unit, and the bounds
        of its 90 % interval.
    block_days
        Mean length of the blocks.
    """

    p: float
    top: int | None
    ks_p: Floats
    wasserstein_p: Floats
    median_p: Floats
    median: Floats
    low: Floats
    high: Floats
    block_days: float


def resampled(
    current: Floats, reference: Floats, borders: Floats, is_read: Bools | None = None
) -> Resampled:
    """Compare the days of a window by a stationary bootstrap of whole days [1]_.

    Parameters
    ----------
    current : (day, feature, bin)
        Of the window on trial.
    reference : (day, feature, bin)
        On the same edges.
    borders : (feature, bin + 1)
        Where each bin begins and ends (`monitors.statistics.distances.borders`).
    is_read : (day,)
        False on days between the stretches of the reference: no block goes over them. All
        are read by default.

    Returns
    -------
    Resampled
        NaN for a feature with values on fewer than 14 days of the reference,
        or without a current value, or whose values all lie in one bin.

    References
    ----------
    .. [1] D. N. Politis and J. P. Romano, "The stationary bootstrap", JASA
       89(428), 1994, pp. 1303-1313.
    .. [2] P. H. Westfall and S. S. Young, "Resampling-Based Multiple
       Testing", Wiley, 1993 (the largest over features).

    Examples
    --------
    >>> chance = np.random.default_rng(1)
    >>> def days(n, *shares):
    ...     return chance.multinomial(24, shares, size=(n, 1)).astype(float)
    >>> borders, baseline = np.array([[0.0, 1.0, 2.0, 3.0]]), days(60, 0.25, 0.5, 0.25)
    >>> resampled(days(7, 0.25, 0.5, 0.25), baseline, borders).p > 0.05
    True
    >>> resampled(days(7, 0.1, 0.4, 0.5), baseline, borders).p < 0.01
    True
    """
    read = np.arange(len(reference)) if is_read is None else np.flatnonzero(is_read)
    reference = reference[read]
    both = np.concatenate([reference, current])  # in time order: the window came last
    goes_on = np.ones(len(both), dtype=np.bool_)
    goes_on[1 : len(read)] = np.diff(read) == 1
    n_features = both.shape[1]
    varying = [i for i in range(n_features) if _varies_in_both(current[:, i], reference[:, i])]
    out = np.full((6, n_features), np.nan)
    if not varying:
        return _named(out, math.nan, None, math.nan)
    length = float(np.median([block_length(_daily_ranks(both[:, i])) for i in varying]))
    drawn = _draw(goes_on, (DRAWS, len(both)), length)
    now, before = (_times(part, len(both)) for part in np.split(drawn, [len(current)], axis=1))
    is_now = np.arange(len(both)) >= len(reference)
    now, before = np.vstack([is_now, now]), np.vstack([~is_now, before])
    farthest, scores = np.zeros(DRAWS + 1), np.zeros(n_features)
    for i in varying:
        apart = _apart(now @ both[:, i], before @ both[:, i], borders[i])
        out[:3, i] = [_share_as_far(np.abs(each)) for each in apart]
        _, area, median = apart
        reach = float(np.quantile(np.abs(median[1:]), INTERVAL))
        out[3:, i] = median[0], median[0] - reach, median[0] + reach
        unit = float(np.quantile(area[1:], _TAIL))
        if unit > 0:
            scores[i] = area[0] / unit
            farthest = np.maximum(farthest, area / unit)
    return _named(out, _share_as_far(farthest), int(np.argmax(scores)), length)


def _named(out: Floats, p: float, top: int | None, length: float) -> Resampled:
    return Resampled(
        p=p,
        top=top,
        ks_p=out[0],
        wasserstein_p=out[1],
        median_p=out[2],
        median=out[3],
        low=out[4],
        high=out[5],
        block_days=length,
    )


def _varies_in_both(current: Floats, reference: Floats) -> bool:
    """Return whether there is enough of a feature, (day, bin), and whether it varies."""
    n_bins = int((current.sum(axis=0) + reference.sum(axis=0) > 0).sum())
    return current.sum() > 0 and (reference.sum(axis=1) > 0).sum() >= MIN_DAYS and n_bins > 1


def _share_as_far(moves: Floats) -> float:
    """Return how many of all are as large as the first, itself included."""
    return float((moves >= moves[0]).mean())


def block_length(series: Floats) -> float:
    """Return the mean length of blocks that serves a stationary bootstrap of the mean best.

    Parameters
    ----------
    series : (step,)
        In time order, finite.

    Returns
    -------
    float
        In steps, from 1 to the smaller of a third of the series and three of
        its square root.

    References
    ----------
    .. [1] D. N. Politis and H. White, "Automatic block-length selection for
       the dependent bootstrap", Econom. Rev. 23(1), 2004, pp. 53-70.
    .. [2] A. Patton, D. N. Politis and H. White, "Correction to ...", Econom.
       Rev. 28(4), 2009, pp. 372-375.

    Examples
    --------
    >>> block_length(np.random.default_rng(1).normal(size=500)) < 5
    True
    >>> block_length(np.random.default_rng(1).normal(size=500).cumsum()) > 30
    True
    """
    n = series.size
    away = series - series.mean()
    together = max(5, int(math.log10(n)))
    furthest = min(math.ceil(math.sqrt(n)) + together, n - 2)
    variance = np.array([float(away[k:] @ away[: n - k]) / n for k in range(furthest + 1)])
    if variance[0] <= 0:
        return 1.0
    small = np.abs(_correlations(away, furthest)) < 2 * math.sqrt(math.log10(n) / n)
    first = next((k for k in range(1, furthest) if small[k : k + together].all()), furthest)
    m = min(2 * first, furthest)
    lags = np.arange(1, m + 1)
    taper = np.minimum(1.0, 2 * (1 - lags / m))
    g = 2 * float(taper @ (lags * variance[1 : m + 1]))
    spectrum = float(variance[0] + 2 * taper @ variance[1 : m + 1])
    if spectrum == 0:
        return 1.0
    best = (g * g / (spectrum * spectrum) * n) ** (1 / 3)
    return float(np.clip(best, 1.0, math.ceil(min(3 * math.sqrt(n), n / 3))))


def _correlations(away: Floats, furthest: int) -> Floats:
    found = [1.0]
    for k in range(1, furthest + 1):
        late, early = away[k:], away[:-k]
        size = math.sqrt(float(late @ late) * float(early @ early))
        found.append(float(late @ early) / size if size > 0 else 0.0)
    return np.array(found)


def _daily_ranks(days: Floats) -> Floats:
    """Return the mean rank, 0 to 1, of the values of each day that has any."""
    share = days.sum(axis=0) / days.sum()
    middle = np.cumsum(share) - share / 2
    n = days.sum(axis=1)
    ranks: Floats = (days @ middle)[n > 0] / n[n > 0]
    return ranks


def _draw(goes_on: Bools, shape: tuple[int, int], length: float) -> Ints:
    """Draw days in blocks of geometric length; the first day follows the last.

    Parameters
    ----------
    goes_on : (day,)
        Whether it follows the day before: a block may go on with it.
    """
    n = len(goes_on)
    rng = np.random.default_rng(_SEED)
    at = rng.integers(0, n, size=shape)
    begins = rng.random(shape) < 1 / length
    for day in range(1, shape[1]):
        after = (at[:, day - 1] + 1) % n
        at[:, day] = np.where(begins[:, day] | ~goes_on[after], at[:, day], after)
    return at


def _times(drawn: Ints, n: int) -> Floats:
    """Return how often each draw holds each day, (draw, day)."""
    flat = drawn + np.arange(len(drawn))[:, np.newaxis] * n
    counted = np.bincount(flat.ravel(), minlength=len(drawn) * n)
    return counted.reshape(len(drawn), n).astype(float)


def _apart(now: Floats, before: Floats, borders: Floats) -> tuple[Floats, Floats, Floats]:
    """Return gap, area and move of the median, each (draw,); 0 where either is empty."""
    there = (now.sum(axis=1) > 0) & (before.sum(axis=1) > 0)
    p, q = (
        np.cumsum(np.where(there[:, np.newaxis], each, 1.0), axis=1) for each in (now, before)
    )
    p, q = p / p[:, -1:], q / q[:, -1:]
    gap = np.abs(p - q)
    before_it = np.pad(gap[:, :-1], ((0, 0), (1, 0)))
    area = ((gap + before_it) / 2 * np.diff(borders)).sum(axis=1)
    return gap.max(axis=1), area, _median(p, borders) - _median(q, borders)


def _median(below: Floats, borders: Floats) -> Floats:
    """Return the median of each row, linear inside its bin."""
    at, row = np.argmax(below >= 0.5, axis=1), np.arange(len(below))
    start = np.where(at > 0, below[row, at - 1], 0.0)
    part = (0.5 - start) / (below[row, at] - start)
    found: Floats = borders[at] + part * (borders[at + 1] - borders[at])
    return found
