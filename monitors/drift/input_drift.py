"""Input drift: test for a changed distribution, relative to the series' own variation.

Windows of some days of the seasonal difference are compared with the windows
of the reference. One evaluation a day; the threshold keeps the promised number of
days between false alarms over all features together, because it is taken from
running those evaluations over the reference (`monitors.baselines.threshold`).
"""

import itertools
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from core.window import Window
from monitors.baselines.daily_evaluations import no_data, since, what_lacks
from monitors.baselines.feature_weights import Weights, check, unit
from monitors.baselines.reference_incidents import incidents, stretches
from monitors.baselines.segments import like
from monitors.baselines.threshold import (
    FalseAlarmThreshold,
    Pool,
    distance,
    fit_threshold,
    in_sd,
    is_constant,
    middle_and_spread,
    p_value,
    pool,
    symmetric_distance,
)
from monitors.baselines.warm_up import MIN_WINDOWS, WarmingUp, with_reference
from monitors.finding import Finding, Json, Outcome, as_json
from monitors.statistics.false_discovery_rate import moved
from monitors.statistics.seasonality import difference, find_period, window_moments
from monitors.summaries.hourly import HOURS, Hourly, whole_days
from monitors.summaries.moments import rounding
from monitors.summaries.summary import Bools, Floats, chunk_at, chunk_start

# The reference is scored in this many parts, each against the other parts, so
# that the replayed evaluations meet a season they have not seen, as live evaluations do.
_PARTS = 4
# Of the reference. If more stands apart, it is not an incident but two kinds of normal.
_MOST_LEFT_OUT = 0.15
_PASSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDriftParams:
    """Parameters of `input_drift`.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all features together. Larger means later alarms.
    window_days
        Length of a window. Longer sees smaller changes, later; the reference
        must hold 19 windows.
    period_hours
        The season; found from the reference when None.
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
    window_days: int = 7
    period_hours: int | None = None
    min_effect: float = 0.25
    feature_weights: Weights = field(default_factory=dict)
    by_segment: bool = False

    def __post_init__(self) -> None:
        check(self.feature_weights, "feature")
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        if self.window_days < 1:
            raise ValueError("window_days must be at least 1")
        if self.period_hours is not None and self.period_hours < 1:
            raise ValueError("period_hours must be at least 1")
        if self.min_effect < 0:
            raise ValueError("min_effect must not be negative")


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
    screened: tuple[tuple[int, int], ...]
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
        return len(self.mean) // self.params.window_days


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
    period = params.period_hours or find_period(whole.mean)
    mean, _ = _windows(whole.mean, period, params.window_days)
    n_windows = int(np.isfinite(mean).any(axis=1).sum()) // params.window_days
    known = with_reference(np.isfinite(mean), params.window_days)
    if not known:
        return WarmingUp(n_windows=n_windows, window_days=params.window_days)
    if len(known) < len(whole.names):  # what the reference does not know teaches nothing
        return fit(reference.of(known), params)
    first_day = _first_day(whole, period, params.window_days)
    anomalous, quiet = np.zeros(len(mean), dtype=np.bool_), whole
    level, _ = middle_and_spread(whole.mean)
    for _ in range(_PASSES):  # a large incident hides smaller ones
        mean, sd = _windows(quiet.mean, period, params.window_days)
        away, scale = _scored_apart(mean, sd, params.window_days, rounding(level))
        scores = _joint_score(away / scale)
        marked = incidents(scores, params.window_days)
        without = _without(whole, _days(anomalous | marked, first_day, params.window_days))
        if not marked.any() or not _has_enough(without, whole, period, params.window_days):
            break
        anomalous, quiet = anomalous | marked, without
    return _learn(quiet, period, params, _days(anomalous, first_day, params.window_days))


def _learn(
    whole: Hourly, period: int, params: InputDriftParams, screened: tuple[tuple[int, int], ...]
) -> InputDriftBaseline:
    mean, sd = _windows(whole.mean, period, params.window_days)
    level_mean, level_sd = middle_and_spread(whole.mean)
    grain = rounding(level_mean)
    _, difference_sd = middle_and_spread(difference(whole.mean, period), grain)
    away, scale = _scored_apart(mean, sd, params.window_days, grain)
    scale = scale * unit(whole.names, params.feature_weights)
    effects = _effect(mean, sd, (level_mean, level_sd), difference_sd)
    evaluations = _evaluated(away / scale, effects >= params.min_effect)
    return InputDriftBaseline(
        params=params,
        names=whole.names,
        period=period,
        last_day=_first_day(whole, period, params.window_days),
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
            _joint_score(evaluations), params.days_between_false_alarms, params.window_days
        ),
    )


def _days(marked: Bools, first_day: int, window_days: int) -> tuple[tuple[int, int], ...]:
    """Return the days `[start, end)`, since the epoch, that the marked evaluations cover."""
    return tuple(
        (first_day + start - window_days + 1, first_day + end)
        for start, end in stretches(marked)
    )


def _without(whole: Hourly, anomalous: tuple[tuple[int, int], ...]) -> Hourly:
    """Return the hours with those of some days unknown."""
    mean = whole.mean.copy()
    for start, end in anomalous:
        mean[max(start * HOURS - whole.first, 0) : end * HOURS - whole.first] = np.nan
    return replace(whole, mean=mean)


def _has_enough(quiet: Hourly, whole: Hourly, period: int, window_days: int) -> bool:
    """Return whether what is left is still a reference, and most of the one that was given."""
    mean, _ = _windows(quiet.mean, period, window_days)
    n_left = int(np.isfinite(mean).any(axis=1).sum())
    n_known = [int(np.isfinite(hours.mean).any(axis=1).sum()) for hours in (quiet, whole)]
    return (
        n_left // window_days >= MIN_WINDOWS and n_known[0] >= (1 - _MOST_LEFT_OUT) * n_known[1]
    )


def _first_day(whole: Hourly, period: int, window_days: int) -> int:
    """Return the day (since the epoch) that the first window ends with."""
    return (whole.first + -(-period // HOURS) * HOURS) // HOURS + window_days - 1


def _windows(mean: Floats, period: int, window_days: int) -> tuple[Floats, Floats]:
    """Return `window_moments` of the seasonal difference, one window a day."""
    if len(mean) <= period:
        empty = np.empty((0, mean.shape[1]))
        return empty, empty
    changes = difference(mean, period)[-period % HOURS :]
    return window_moments(changes, window_days * HOURS, HOURS)


def _scored_apart(
    mean: Floats, sd: Floats, window_days: int, grain: Floats
) -> tuple[Floats, Floats]:
    """Score each part of the reference against the others; also give the scales."""
    n = len(mean)
    away = np.empty_like(mean)
    bounds = np.linspace(0, n, _PARTS + 1).astype(int)
    for start, end in itertools.pairwise(bounds):
        apart = np.r_[0 : max(start - window_days, 0), min(end + window_days, n) : n]
        others = pool(mean[apart], sd[apart], grain)
        away[start:end] = distance(mean[start:end], sd[start:end], others)
    return away, _tail(away)


def _tail(away: Floats) -> Floats:
    """Return the 95 % quantile over windows; 1 for a feature that never moved."""
    tail = np.quantile(np.where(np.isfinite(away), away, 0.0), 0.95, axis=0)
    return np.where(tail > 0, tail, 1.0)


def _effect(
    mean: Floats, sd: Floats, level: tuple[Floats, Floats], difference_sd: Floats
) -> Floats:
    """Return the size of a change; of a constant 0 while it stays, infinite once it moves."""
    grain = rounding(level[0])
    least = np.maximum(1e-9 * difference_sd, grain)
    spread = np.abs(np.log(np.maximum(sd, least) / np.maximum(difference_sd, least)))
    spread = np.where(is_constant(*level) & (sd > grain), np.inf, spread)
    return np.maximum(np.abs(in_sd(mean, *level)), spread)


def _evaluated(scores: Floats, large_enough: Bools) -> Floats:
    """Return the scores, 0 where the change is too small to matter; NaN: no data."""
    return np.where(np.isfinite(scores) & ~large_enough, 0.0, scores)


def _joint_score(evaluated: Floats) -> Floats:
    """Return the largest score over features; NaN: no data."""
    there = np.isfinite(evaluated)
    highest = np.where(there, evaluated, 0.0).max(axis=1, initial=0.0)
    return np.where(there.any(axis=1), highest, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DailyEvaluations:
    """Scores of all closed days, one evaluation per day.

    Attributes
    ----------
    first_day
        The day (since the epoch) that the first evaluation closes.
    joint : (evaluation,)
        The score that is compared with the threshold; NaN: no data.
    scores, effects, mean, sd : (evaluation, feature)
        Per feature; mean and sd of the seasonal difference.
    """

    first_day: int
    joint: Floats
    scores: Floats
    effects: Floats
    mean: Floats
    sd: Floats


def evaluate_days(baseline: InputDriftBaseline, hours: Hourly) -> DailyEvaluations:
    """Evaluate every closed day of `hours` that has a full window behind it.

    Parameters
    ----------
    baseline
        The baseline.
    hours
        Any stretch of the stream.
    """
    whole = whole_days(like(hours, baseline.names))
    mean, sd = _windows(whole.mean, baseline.period, baseline.params.window_days)
    scores = distance(mean, sd, baseline.pooled) / baseline.scale
    level = (baseline.level_mean, baseline.level_sd)
    effects = _effect(mean, sd, level, baseline.difference_sd)
    return DailyEvaluations(
        first_day=_first_day(whole, baseline.period, baseline.params.window_days),
        joint=_joint_score(_evaluated(scores, effects >= baseline.params.min_effect)),
        scores=scores,
        effects=effects,
        mean=mean,
        sd=sd,
    )


def evaluate(
    baseline: InputDriftBaseline | WarmingUp, recent: Hourly, as_of: datetime
) -> Finding:
    """Evaluate the window that ends with the last closed day.

    Parameters
    ----------
    baseline
        From `fit`.
    recent
        The hours before `as_of`, at least a window and a season long; with
        more, `since` can reach further back.
    as_of
        Event time, timezone-aware.

    Returns
    -------
    Finding
        `value` is the joint score. The detail holds, per feature, score,
        effect, mean and standard deviation now and in the reference; the effect
        of a constant that moved is None, as no standard deviation measures it. Of a
        breach also `moved`, the features that moved (`false_discovery_rate`).
        `NO_DATA` while the reference is too short or the window too empty.
    """
    end = chunk_at(as_of) // HOURS * HOURS
    days = baseline.params.window_days if isinstance(baseline, InputDriftBaseline) else 1
    window = Window(start=chunk_start(end) - timedelta(days=days), end=chunk_start(end))
    if isinstance(baseline, WarmingUp):
        return no_data(window, str(baseline))
    whole = whole_days(like(recent, baseline.names), end)
    daily = evaluate_days(baseline, whole)
    lacks = what_lacks(daily.joint, daily.first_day, end)
    if lacks:
        return no_data(window, lacks)
    joint = float(daily.joint[-1])
    breach = joint > baseline.alarm_threshold.value
    top = _top(baseline, daily)
    return Finding(
        outcome=Outcome.BREACH if breach else Outcome.OK,
        value=joint,
        threshold=baseline.alarm_threshold.value,
        window=window,
        cause=_cause(baseline, whole, daily, top) if breach else "",
        detail={
            **_detail(baseline, whole, daily, top),
            "moved": _moved(baseline, daily) if breach else [],
        },
    )


def _top(baseline: InputDriftBaseline, daily: DailyEvaluations) -> int:
    matters = daily.effects[-1] >= baseline.params.min_effect
    scores = np.where(np.isfinite(daily.scores[-1]), daily.scores[-1], -1.0)
    return int(np.argmax(np.where(matters, scores + 1.0, 0.0)))


def _moved(baseline: InputDriftBaseline, daily: DailyEvaluations) -> list[str]:
    """Name what moved, the farthest first."""
    scores = _evaluated(daily.scores[-1], daily.effects[-1] >= baseline.params.min_effect)
    found = moved(scores, baseline.evaluations, baseline.alarm_threshold.value)
    return [baseline.names[i] for i in np.argsort(-scores, kind="stable") if found[i]]


def _cause(
    baseline: InputDriftBaseline, whole: Hourly, daily: DailyEvaluations, top: int
) -> str:
    if is_constant(baseline.level_mean, baseline.level_sd)[top]:
        lately, _ = _lately(baseline, whole)
        return (
            f"{baseline.names[top]} was constant at {baseline.level_mean[top]:.10g} in the "
            f"reference, mean {lately[top]:.10g} now"
        )
    by = daily.mean[-1, top] / baseline.level_sd[top]
    ratio = daily.sd[-1, top] / baseline.difference_sd[top]
    return (
        f"{baseline.names[top]} drifted: mean {by:+.2f} SD against "
        f"{baseline.period} h before, variability x {ratio:.2f}"
    )


def _lately(baseline: InputDriftBaseline, whole: Hourly) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the last window's hours, each (feature,)."""
    n_hours = baseline.params.window_days * HOURS
    mean, sd = window_moments(whole.mean[-n_hours:], n_hours, HOURS)
    return mean[-1], sd[-1]


def _day(day: int) -> str:
    return chunk_start(day * HOURS).date().isoformat()


def conformal_p(baseline: InputDriftBaseline, daily: DailyEvaluations) -> float:
    """Return the p-value of the last evaluation among windows of its own phase.

    Parameters
    ----------
    baseline
        Its windows that do not overlap and end on the same phase are the
        null.
    daily
        The last evaluation is on trial.

    Returns
    -------
    float
        Of the maximum over features, all windows treated alike.
    """
    days = baseline.params.window_days
    phase = (daily.first_day + len(daily.joint) - 1 - baseline.last_day) % days
    mean = np.concatenate([baseline.mean[phase::days], daily.mean[-1:]])
    sd = np.concatenate([baseline.sd[phase::days], daily.sd[-1:]])
    away = symmetric_distance(mean, sd, rounding(baseline.level_mean))
    highest = _joint_score(away / _tail(away))
    return p_value(highest)


def _detail(
    baseline: InputDriftBaseline, whole: Hourly, daily: DailyEvaluations, top: int
) -> dict[str, Json]:
    days = baseline.params.window_days
    mean, sd = _lately(baseline, whole)
    constant = is_constant(baseline.level_mean, baseline.level_sd)
    ratio = np.where(constant, np.nan, daily.sd[-1] / baseline.difference_sd)
    features: dict[str, Json] = {
        name: {
            "score": as_json(daily.scores[-1, i]),
            "effect": as_json(daily.effects[-1, i]),
            "mean": as_json(mean[i]),
            "reference_mean": as_json(baseline.level_mean[i]),
            "sd": as_json(sd[i]),
            "reference_sd": 0.0 if constant[i] else as_json(baseline.level_sd[i]),
            "change": as_json(daily.mean[-1, i]),
            "variability": as_json(ratio[i]),
        }
        for i, name in enumerate(baseline.names)
    }
    achieved = baseline.alarm_threshold.achieved_days
    return {
        "window_days": days,
        "period_hours": baseline.period,
        "p": as_json(conformal_p(baseline, daily)),
        "promised_days": baseline.alarm_threshold.promised_days,
        "achieved_days": None if achieved is None else as_json(achieved),
        "replayed_days": baseline.alarm_threshold.replayed_days,
        "extrapolated": baseline.alarm_threshold.extrapolated,
        "n_windows": baseline.n_windows,
        "left_out": [
            {"start": _day(start), "end": _day(end)} for start, end in baseline.screened
        ],
        "top": baseline.names[top],
        "since": since(daily.joint, daily.first_day, baseline.alarm_threshold.value),
        "features": features,
    }
