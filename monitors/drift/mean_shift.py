"""Mean shift: fit of the daily levels and of the evidence threshold.

`monitors.drift.input_drift` forgets each week what it saw in the week before. Here evidence
is piled up day by day (`monitors.statistics.e_detector`), so that a small shift that stays
is found, at a promised rate of false alarms over all features together.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy

from monitors.drift.daily_levels import (
    LAGS,
    WARM_UP_DAYS,
    calmed,
    clock,
    innovations,
    is_forgotten,
    is_usable,
    known_mean,
    levels,
    means_before,
    pull,
    spread,
)
from monitors.drift.mean_shift_null import quiet_evidence
from monitors.false_alarms.threshold import FalseAlarmThreshold, middle_and_spread
from monitors.false_alarms.warm_up import WarmingUp, with_reference
from monitors.statistics.e_detector import BETS, accumulate, fair_price, payoff
from monitors.statistics.folds import folds, is_known
from monitors.summaries.hourly import HOURS, Hourly, whole_days
from monitors.summaries.moments import rounding
from monitors.summaries.summary import Bools, Floats

WEEK = 7
_PARTS = 4  # as in `monitors.drift.input_drift`: each is scored by what the others teach
# More calls over the reference than nine in ten references would show: the worlds that
# were made up are tamer than the real one, and the limit rises until that is mended.
_DOUBT = 0.9
# As in `baselines.threshold`: over fewer promises of days than these, no replay shows the rate.
_EXTRAPOLATED_BELOW = 1.6


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanShiftParams:
    """Parameters of `mean_shift`.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all features together. Larger means later alarms.
    min_effect
        A level that moved by fewer standard deviations of the hours is never
        an alarm, however sure.
    by_segment
        Evaluate the features of every segment beside those of the total, all under
        the one promise. A segment is evaluated once its reference holds 19 weeks.
    """

    days_between_false_alarms: float = 90.0
    min_effect: float = 0.25
    by_segment: bool = False

    def __post_init__(self) -> None:
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        if self.min_effect < 0:
            raise ValueError("min_effect must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DailyModel:
    """Autoregressive model of the daily levels.

    Attributes
    ----------
    by_hour : (24, feature)
    by_weekday : (7, feature)
        From `monitors.drift.daily_levels.clock`.
    centre, unit : (feature,)
        Mean and standard deviation of the days' levels: what is taken off them, and
        what they are divided by.
    weights : (feature, lag)
        Weights of the preceding means in the prediction of a day.
    spread : (feature,)
        Spread of the prediction errors, in units.
    price : (feature, bet)
        What each bet costs.
    """

    by_hour: Floats
    by_weekday: Floats
    centre: Floats
    unit: Floats
    weights: Floats
    spread: Floats
    price: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeanShiftBaseline:
    """Fitted baseline of mean shifts; depends on reference and parameters only.

    Attributes
    ----------
    learnt_until
        The hour (since the epoch) at which it ends.
    level_mean, level_sd : (feature,)
        Of the hours.
    n_weeks
        How many weeks of it are known.
    """

    params: MeanShiftParams
    names: tuple[str, ...]
    learnt_until: int
    daily_model: DailyModel
    level_mean: Floats
    level_sd: Floats
    n_weeks: int
    alarm_threshold: FalseAlarmThreshold


def fit(reference: Hourly, params: MeanShiftParams) -> MeanShiftBaseline | WarmingUp:
    """Fit the model of daily levels and the evidence threshold on the reference.

    The limit is the evidence that quiet worlds made from the reference reach
    once in the promised days, each world evaluated by what a reference of its own
    teaches (`monitors.drift.mean_shift_null`). Where a replay over the real reference,
    a quarter at a time evaluated by the others, breaches more often than chance
    explains, the limit rises.

    Parameters
    ----------
    reference
        Hours before the model was deployed, quiet as far as anyone knows.
    params
        Parameters of the test.

    Returns
    -------
    MeanShiftBaseline or WarmingUp
        `WarmingUp` while the reference holds fewer than 19 weeks.
    """
    whole = whole_days(reference)
    there = is_usable(levels(whole, *clock(whole)))
    n_weeks = int(there.any(axis=1).sum()) // WEEK
    known = with_reference(there, WEEK)
    if not known:
        return WarmingUp(n_windows=n_weeks, window_days=WEEK)
    if len(known) < len(whole.names):  # what the reference does not know teaches nothing
        return fit(reference.of(known), params)
    daily_model = learn(whole)
    level_mean, level_sd = middle_and_spread(whole.mean)
    promised = params.days_between_false_alarms
    limit = quiet_evidence(in_units(whole, daily_model), promised)
    replayed = _replayed(whole)
    days = int(np.isfinite(replayed).sum())
    most = most_calls(days / promised)
    limit = max(limit, lowest_limit(replayed, most))
    return MeanShiftBaseline(
        params=params,
        names=whole.names,
        learnt_until=whole.first + len(whole),
        daily_model=daily_model,
        level_mean=level_mean,
        level_sd=level_sd,
        n_weeks=n_weeks,
        alarm_threshold=FalseAlarmThreshold(
            value=limit,
            promised_days=promised,
            replayed_days=float(days),
            replayed_episodes=calls(replayed > limit),
            extrapolated=days < _EXTRAPOLATED_BELOW * promised,
        ),
    )


def learn(whole: Hourly) -> DailyModel:
    """Fit the model of daily levels on some days.

    Parameters
    ----------
    whole
        Whole days. Days that are unknown are left out.
    """
    by_hour, by_weekday = clock(whole)
    days = levels(whole, by_hour, by_weekday)
    # The grain of the hours: the days of a constant differ by their rounding alone.
    centre, unit = middle_and_spread(days, rounding(known_mean(whole.mean)))
    days = (days - centre) / unit
    before = means_before(days)
    weights = pull(days, before, is_anchored=False)
    apart = innovations(days, before, weights)
    size = spread(apart)
    return DailyModel(
        by_hour=by_hour,
        by_weekday=by_weekday,
        centre=centre,
        unit=unit,
        weights=weights,
        spread=size,
        price=fair_price(apart / size),
    )


def in_units(whole: Hourly, daily_model: DailyModel) -> Floats:
    """Return the level of each day from the centre, in units; (day, feature)."""
    return (
        levels(whole, daily_model.by_hour, daily_model.by_weekday) - daily_model.centre
    ) / daily_model.unit


def surprises(days: Floats, daily_model: DailyModel) -> Floats:
    """Return standardised prediction errors of days.

    Parameters
    ----------
    days : (day, feature)
        In units.

    Returns
    -------
    (day, feature)
        NaN on unknown days, and where too few days before are known.
    """
    apart = innovations(days, means_before(days, LAGS), daily_model.weights)
    return calmed(apart / daily_model.spread)


def joint(held: Floats, counts: Bools) -> Floats:
    """Return the logarithm of one and the mean evidence over features and bets.

    Parameters
    ----------
    held : (..., feature, bet)
        From `monitors.statistics.e_detector.accumulate`.
    counts : (..., feature)
        False: a feature's evidence does not count.
    """
    evidence: Floats = np.where(counts[..., np.newaxis], held, 0.0).mean(axis=(-2, -1))
    return np.log1p(evidence)


def _replayed(whole: Hourly) -> Floats:
    """Return the evidence over the reference, each quarter evaluated by the other three.

    NaN on days of which nothing is known. Evidence goes on from one quarter
    to the next, but not over eight weeks of which nothing is known.
    """
    n_days = len(whole) // HOURS
    apart = np.full((n_days, len(whole.names)), np.nan)
    paid = np.zeros((*apart.shape, BETS.size))
    known = is_known(whole.mean.reshape(n_days, HOURS, len(whole.names)))
    for start, end in folds(known, _PARTS):
        mean = whole.mean.copy()
        mean[start * HOURS : end * HOURS] = np.nan
        daily_model = learn(replace(whole, mean=mean))
        seen = surprises(in_units(whole, daily_model), daily_model)[start:end]
        apart[start:end], paid[start:end] = seen, payoff(seen, daily_model.price)
    paid[is_forgotten(known)] = -np.inf
    there = np.isfinite(apart)
    evidence = joint(accumulate(paid, there), np.ones_like(there))
    evidence[~there.any(axis=1)] = np.nan
    return evidence[WARM_UP_DAYS:]


def calls(breach: Bools) -> int:
    """Count alarms: a breach, and another for each week that it goes on or returns.

    Parameters
    ----------
    breach : (evaluation,)
        One evaluation a day.

    Examples
    --------
    >>> calls(np.array([True] * 8 + [False] * 9 + [True]))
    3
    """
    n, free_at = 0, 0
    for evaluation in np.flatnonzero(breach):
        if evaluation >= free_at:
            n, free_at = n + 1, int(evaluation) + WEEK
    return n


def most_calls(expected: float) -> int:
    """Return how many calls nine references in ten do not exceed by chance (Poisson).

    Examples
    --------
    >>> [most_calls(expected) for expected in (0.0, 0.1, 1.0, 4.0)]
    [0, 0, 2, 7]
    """
    if expected == 0:
        return 0
    most = int(np.ceil(scipy.special.pdtrik(_DOUBT, expected)))
    return most - 1 if most > 0 and scipy.special.pdtr(most - 1, expected) >= _DOUBT else most


def lowest_limit(evidence: Floats, most: float) -> float:
    """Return the lowest evidence above which there are at most so many calls.

    Parameters
    ----------
    evidence : (evaluation,)
        NaN, no data, is no breach.
    """
    ranked = np.unique(evidence[np.isfinite(evidence)])
    low, high = 0, len(ranked) - 1  # at the highest there is no call at all
    if high < 0:
        return 0.0
    while low < high:
        middle = (low + high) // 2
        if calls(evidence > ranked[middle]) <= most:
            high = middle
        else:
            low = middle + 1
    return float(ranked[high])
