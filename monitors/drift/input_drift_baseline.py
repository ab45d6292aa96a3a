"""The baseline of input drift, fitted on the reference."""

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from core.durations import HOUR, Duration, require_days
from monitors.baselines.feature_weights import Weights, check, unit
from monitors.baselines.reference_incidents import incidents, stretches
from monitors.baselines.windows import WindowParams
from monitors.false_alarms.threshold import (
    FalseAlarmThreshold,
    Pool,
    distance,
    fit_threshold,
    in_sd,
    is_constant,
    middle_and_spread,
    pool,
)
from monitors.false_alarms.warm_up import MIN_WINDOWS, WarmingUp, with_reference
from monitors.statistics.folds import folds, is_known, reach_into_hole
from monitors.statistics.seasonality import difference, find_period, window_moments
from monitors.summaries.hourly import HOURS, Hourly, whole_days
from monitors.summaries.moments import rounding
from monitors.summaries.summary import Bools, Floats

# The reference is scored in this many parts, each against the other parts, so
# that the replayed evaluations meet a season they have not seen, as live evaluations do.
_PARTS = 4


# Of the reference. If more stands apart, it is not an incident but two kinds of normal.
_MOST_LEFT_OUT = 0.15


_PASSES = 3

Parts: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDriftParams(WindowParams):
    """Parameters of `input_drift`.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all features together. Larger means later alarms.
    window
        Length of a window. Longer sees smaller changes, later; the reference
        must hold 19 windows.
    season
        In whole hours; found from the reference when None.
    min_effect
        A smaller change is never an alarm, however sure: the mean moves by
        this many standard deviations of the level, or the standard deviation
        of the seasonal difference changes by this share (natural log).
    feature_weights
        By how much a feature's score is multiplied before the highest counts: 1
        where absent, 0 for one that is not evaluated. A greater weight finds smaller
        changes of that feature, at the cost of the others' under one promise.
    by_segment
        Evaluate the features of every segment beside those of the total, all under
        the one promise. A segment is evaluated once its reference holds 19 windows.
    """

    days_between_false_alarms: float = 90.0
    season: Duration | None = None
    min_effect: float = 0.25
    feature_weights: Weights = field(default_factory=dict)
    by_segment: bool = False

    def __post_init__(self) -> None:
        check(self.feature_weights, "feature")
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        require_days("window", self.window)
        if self.season is not None and (self.season < HOUR or self.season % HOUR):
            raise ValueError("season must be whole hours, at least PT1H")
        if self.min_effect < 0:
            raise ValueError("min_effect must not be negative")

    @property
    def period(self) -> int | None:
        """Hours of the season."""
        return None if self.season is None else self.season // HOUR


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputDriftBaseline:
    """Fitted baseline of input drift; depends on reference and parameters only.

    Attributes
    ----------
    mean, sd : (window, feature)
        Of the seasonal difference, one window a day; a window's last day is
        `last_day` plus its place.
    screened
        Days `[start, end)`, since the epoch, that were left out: incidents.
    pooled
        Middle and spread of those windows.
    scale : (feature,)
        The distance that 5 % of the reference windows exceed, by the feature's
        weight: makes features comparable.
    evaluations : (evaluation, feature)
        Scores of the evaluations of the reference, each part scored by the others; 0 where the
        change was too small to matter.
    level_mean, level_sd, difference_sd : (feature,)
        Of the hours themselves and of their seasonal difference.
    """

    params: InputDriftParams
    names: tuple[str, ...]
    period: int
    last_day: int
    screened: Parts
    mean: Floats
    sd: Floats
    pooled: Pool
    scale: Floats
    evaluations: Floats
    level_mean: Floats
    level_sd: Floats
    difference_sd: Floats
    alarm_threshold: FalseAlarmThreshold

    @property
    def n_windows(self) -> int:
        """Return how many windows the reference holds without overlap."""
        return int(is_known(self.mean).sum()) // self.params.window_days


def fit(reference: Hourly, params: InputDriftParams) -> InputDriftBaseline | WarmingUp:
    """Fit baseline and alarm threshold on the reference.

    Days that stand apart from all others are left out (`reference_incidents`):
    an incident of the past is not what the future is measured with.

    Parameters
    ----------
    reference
        Hours before the model was deployed, quiet as far as anyone knows.
    params
        Parameters of the test.

    Returns
    -------
    InputDriftBaseline or WarmingUp
        `WarmingUp` while the reference holds fewer than 19 windows.

    References
    ----------
    .. [1] P. H. Westfall and S. S. Young, "Resampling-Based Multiple
       Testing", Wiley, 1993 (the maximum over features).
    """
    whole = whole_days(reference)
    period = params.period or find_period(whole.mean)
    into_hole = reach_into_hole(whole.mean, -(-period // HOURS) + params.window_days)
    mean, _ = _windows_of(whole.mean, period, params.window_days, into_hole)
    n_windows = int(np.isfinite(mean).any(axis=1).sum()) // params.window_days
    known = with_reference(np.isfinite(mean), params.window_days)
    if not known:
        return WarmingUp(n_windows=n_windows, window_days=params.window_days)
    if len(known) < len(whole.names):  # what the reference does not know teaches nothing
        return fit(reference.of(known), params)
    first_day = first_day_of(whole, period, params.window_days)
    parts = folds(is_known(mean), _PARTS)
    anomalous, quiet = np.zeros(len(mean), dtype=np.bool_), whole
    level, _ = middle_and_spread(whole.mean)
    for _ in range(_PASSES):  # a large incident hides smaller ones
        mean, sd = _windows_of(quiet.mean, period, params.window_days, into_hole)
        away, scale = _scored_apart(mean, sd, params.window_days, rounding(level), parts)
        scores = joint_score(away / scale)
        marked = incidents(scores, params.window_days)
        without = _without(whole, _days(anomalous | marked, first_day, params.window_days))
        if not marked.any() or not _has_enough(without, whole, period, params.window_days):
            break
        anomalous, quiet = anomalous | marked, without
    screened = _days(anomalous, first_day, params.window_days)
    return _learn(quiet, period, into_hole, params, screened, parts)


def _learn(
    whole: Hourly,
    period: int,
    into_hole: Bools,
    params: InputDriftParams,
    screened: Parts,
    parts: Parts,
) -> InputDriftBaseline:
    mean, sd = _windows_of(whole.mean, period, params.window_days, into_hole)
    level_mean, level_sd = middle_and_spread(whole.mean)
    grain = rounding(level_mean)
    _, difference_sd = middle_and_spread(difference(whole.mean, period), grain)
    away, scale = _scored_apart(mean, sd, params.window_days, grain, parts)
    scale = scale * unit(whole.names, params.feature_weights)
    effects = effect_of(mean, sd, (level_mean, level_sd), difference_sd)
    evaluations = evaluated_scores(away / scale, effects >= params.min_effect)
    return InputDriftBaseline(
        params=params,
        names=whole.names,
        period=period,
        last_day=first_day_of(whole, period, params.window_days),
        screened=screened,
        mean=mean,
        sd=sd,
        pooled=pool(mean, sd, grain),
        scale=scale,
        evaluations=evaluations,
        level_mean=level_mean,
        level_sd=level_sd,
        difference_sd=difference_sd,
        alarm_threshold=fit_threshold(
            joint_score(evaluations), params.days_between_false_alarms, params.window_days
        ),
    )


def _days(marked: Bools, first_day: int, window_days: int) -> Parts:
    """Return the days `[start, end)`, since the epoch, that the marked evaluations cover."""
    return tuple(
        (first_day + start - window_days + 1, first_day + end)
        for start, end in stretches(marked)
    )


def _without(whole: Hourly, anomalous: Parts) -> Hourly:
    """Return the hours with those of some days unknown."""
    mean = whole.mean.copy()
    for start, end in anomalous:
        mean[max(start * HOURS - whole.first, 0) : end * HOURS - whole.first] = np.nan
    return replace(whole, mean=mean)


def _has_enough(quiet: Hourly, whole: Hourly, period: int, window_days: int) -> bool:
    """Return whether what is left is still a reference, and most of the one that was given."""
    mean, _ = windows_of(quiet.mean, period, window_days)
    n_left = int(np.isfinite(mean).any(axis=1).sum())
    n_known = [int(np.isfinite(hours.mean).any(axis=1).sum()) for hours in (quiet, whole)]
    return (
        n_left // window_days >= MIN_WINDOWS and n_known[0] >= (1 - _MOST_LEFT_OUT) * n_known[1]
    )


def first_day_of(whole: Hourly, period: int, window_days: int) -> int:
    """Return the day (since the epoch) that the first window ends with."""
    return (whole.first + -(-period // HOURS) * HOURS) // HOURS + window_days - 1


def windows_of(mean: Floats, period: int, window_days: int) -> tuple[Floats, Floats]:
    """Return `window_moments` of the seasonal difference, one window a day."""
    if len(mean) <= period:
        empty = np.empty((0, mean.shape[1]))
        return empty, empty
    changes = difference(mean, period)[-period % HOURS :]
    return window_moments(changes, window_days * HOURS, HOURS)


def _windows_of(
    mean: Floats, period: int, window_days: int, into_hole: Bools
) -> tuple[Floats, Floats]:
    """Return `windows_of` a reference: those that reach into a hole are unknown."""
    found = windows_of(mean, period, window_days)
    first, second = (np.where(into_hole[:, np.newaxis], np.nan, own) for own in found)
    return first, second


def _scored_apart(
    mean: Floats, sd: Floats, window_days: int, grain: Floats, parts: Parts
) -> tuple[Floats, Floats]:
    """Score each part of the reference against the others; also give the scales."""
    n = len(mean)
    away = np.empty_like(mean)
    for start, end in parts:
        apart = np.r_[0 : max(start - window_days, 0), min(end + window_days, n) : n]
        others = pool(mean[apart], sd[apart], grain)
        away[start:end] = distance(mean[start:end], sd[start:end], others)
    return away, tail_of(away)


def tail_of(away: Floats) -> Floats:
    """Return the 95 % quantile over known windows; 1 for a feature that never moved."""
    there = np.isfinite(away)
    known = np.where(there, away, 0.0)[there.any(axis=1)]
    tail = np.quantile(known, 0.95, axis=0) if len(known) else np.zeros(away.shape[1])
    return np.where(tail > 0, tail, 1.0)


def effect_of(
    mean: Floats, sd: Floats, level: tuple[Floats, Floats], difference_sd: Floats
) -> Floats:
    """Return the size of a change; of a constant 0 while it stays, infinite once it moves."""
    grain = rounding(level[0])
    least = np.maximum(1e-9 * difference_sd, grain)
    spread = np.abs(np.log(np.maximum(sd, least) / np.maximum(difference_sd, least)))
    spread = np.where(is_constant(*level) & (sd > grain), np.inf, spread)
    return np.maximum(np.abs(in_sd(mean, *level)), spread)


def evaluated_scores(scores: Floats, large_enough: Bools) -> Floats:
    """Return the scores, 0 where the change is too small to matter; NaN: no data."""
    return np.where(np.isfinite(scores) & ~large_enough, 0.0, scores)


def joint_score(evaluated: Floats) -> Floats:
    """Return the largest score over features; NaN: no data."""
    there = np.isfinite(evaluated)
    highest = np.where(there, evaluated, 0.0).max(axis=1, initial=0.0)
    return np.where(there.any(axis=1), highest, np.nan)
