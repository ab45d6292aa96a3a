"""Null simulation of mean shifts: evidence on series resampled from the reference.

A year of reference cannot show what happens once in a year. So worlds are made
up that go on as the reference did: its own innovations, a week of all features
at a time, drawn anew. Each has a reference of its own to learn from, as badly
or as well as a real one, and a year that is evaluated by it.
"""

import math

import numpy as np

from monitors.drift.daily_levels import (
    WARM_UP_DAYS,
    calmed,
    innovations,
    known_mean,
    means_before,
    pull,
    spread,
)
from monitors.statistics.e_detector import accumulate, fair_price, payoff
from monitors.statistics.folds import is_known
from monitors.summaries.summary import Bools, Floats, Ints

N_SIMULATIONS = 128
EVALUATED_DAYS = 448  # of each, the first four weeks of them to pile up as live evidence has
WEEK = 7
_SEED = 20_241  # any: the same reference always gives the same limit
# A world returns to its mean as the reference did, over a month at the most.
_LAGS = (1, 7, 28)
_BURN_IN_DAYS = 63
_SIMULATIONS_AT_ONCE = 896  # times features: some 60 MB
# Over all worlds; a rate that rests on fewer is taken from a more frequent one.
_MIN_CALLS = 30
_FAR = 1e3  # units; no reference ever was
# On noise of memory .8, .85 and .95, over references of 210 to 730 days, the limit alone
# kept .9 of the promise: worlds forget a little sooner than what they are made from.
_MARGIN = 1.15


def quiet_evidence(days: Floats, promised_days: float) -> float:
    """Return the evidence that quiet worlds reach once in so many days.

    Parameters
    ----------
    days : (day, feature)
        The levels of the reference, in units. NaN on unknown days.
    promised_days
        Days between calls. Where the worlds are too short to show it, the
        limit grows with the logarithm of the days, as evidence does.

    Returns
    -------
    float
        In the unit of `monitors.drift.mean_shift.joint`.
    """
    simulations = make(days)
    n_days = _n_known(days)
    evidence = np.concatenate([_evaluated(part, n_days) for part in simulations], axis=1)
    shown = min(promised_days, evidence.size / _MIN_CALLS)
    return _limit(evidence, shown) + math.log(_MARGIN * promised_days / shown)


def make(days: Floats) -> list[Floats]:
    """Return worlds as long as the reference and the days that are evaluated.

    Days of which nothing is known, as between two stretches of a reference, lengthen no
    world, and no week is drawn that consists of them for the most part.

    Parameters
    ----------
    days : (day, feature)
        The levels of the reference, in units. NaN is left out.

    Returns
    -------
    list of (day, world, feature)
    """
    n_features = days.shape[1]
    n = _n_known(days) + EVALUATED_DAYS + _BURN_IN_DAYS
    from_mean = days - known_mean(days)
    before = means_before(from_mean, _LAGS)
    weights = pull(from_mean, before, is_anchored=True)
    shocks = innovations(from_mean, before, weights)[WARM_UP_DAYS:]
    weeks = _weeks(is_known(shocks))
    shocks = np.nan_to_num(shocks - known_mean(shocks))
    rng = np.random.default_rng(_SEED)
    starts = weeks[rng.integers(0, len(weeks), (N_SIMULATIONS, -(-n // WEEK)))]
    drawn = (starts[..., np.newaxis] + np.arange(WEEK)).reshape(N_SIMULATIONS, -1)[:, :n].T
    at_once = max(_SIMULATIONS_AT_ONCE // n_features, 1)
    return [
        _unfold(shocks[drawn[:, first : first + at_once]], weights)[_BURN_IN_DAYS:]
        for first in range(0, N_SIMULATIONS, at_once)
    ]


def _n_known(days: Floats) -> int:
    return int(is_known(days).sum())


def _weeks(known: Bools) -> Ints:
    """Return the first days of weeks of which most days are known, or of all if none is."""
    n_known = np.convolve(known, np.ones(WEEK), mode="valid")
    weeks = np.flatnonzero(2 * n_known > WEEK)
    return weeks if weeks.size else np.arange(n_known.size)


def _unfold(shocks: Floats, weights: Floats) -> Floats:
    """Return levels that go on by `weights` and differ by `shocks`, (day, world, feature)."""
    out = np.empty_like(shocks)
    sums = np.zeros((len(_LAGS), *shocks.shape[1:]))
    share = (weights.T / np.array(_LAGS)[:, np.newaxis])[:, np.newaxis]
    for day in range(len(shocks)):
        # Least squares may fit an unstable level; the reference did not.
        out[day] = np.clip((share * sums).sum(axis=0), -_FAR, _FAR) + shocks[day]
        for i, lag in enumerate(_LAGS):
            sums[i] += out[day] - (out[day - lag] if day >= lag else 0.0)
    return out


def _evaluated(simulations: Floats, n_days: int) -> Floats:
    """Return the evidence of each world after its reference, (evaluation, world)."""
    n, n_simulations, n_features = simulations.shape
    flat = simulations.reshape(n, n_simulations * n_features)
    before = means_before(flat)
    known = pull(flat[:n_days], before[:n_days], is_anchored=False)
    apart = innovations(flat, before, known)
    size = spread(apart[:n_days])
    price = fair_price(apart[:n_days] / size)
    paid = payoff(calmed(apart / size)[n_days:], price)
    held = accumulate(paid, np.ones(paid.shape[:2], dtype=np.bool_))
    of_simulation: Floats = (
        held.mean(axis=2).reshape(EVALUATED_DAYS, n_simulations, n_features).mean(axis=2)
    )
    return np.log1p(of_simulation)[WARM_UP_DAYS:]


def _limit(evidence: Floats, promised_days: float) -> float:
    """Return the evidence that is reached once in so many days; (evaluation, world)."""
    low, high = float(evidence.min()), float(evidence.max())
    for _ in range(40):
        middle = (low + high) / 2
        if _calls(evidence, middle) * promised_days > evidence.size:
            low = middle
        else:
            high = middle
    return high


def _calls(evidence: Floats, limit: float) -> int:
    """Count breaches over all simulated streams, as `monitors.drift.mean_shift.calls` does."""
    n, quiet = 0, np.full(evidence.shape[1], WEEK)
    for above in evidence > limit:
        rings = above & (quiet >= WEEK)
        n += int(rings.sum())
        quiet = np.where(rings, 1, quiet + 1)
    return n
