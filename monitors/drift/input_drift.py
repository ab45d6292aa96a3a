"""Input drift: test for a changed distribution, relative to the series' own variation.

Windows of some days of the seasonal difference are compared with the windows
of the reference. One evaluation a day; the threshold keeps the promised number of
days between false alarms over all features together, because it is taken from
running those evaluations over the reference (`monitors.false_alarms.threshold`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import numpy as np

from core.window import Window
from monitors.baselines.daily_evaluations import no_data, since, what_lacks
from monitors.baselines.segments import like
from monitors.detail import FeatureScore, LeftOut, ScoreDetail
from monitors.drift.input_drift_baseline import (
    InputDriftBaseline,
    effect_of,
    evaluated_scores,
    first_day_of,
    joint_score,
    tail_of,
    windows_of,
)
from monitors.drift.short_reference import Provisional
from monitors.false_alarms.decision import verdict
from monitors.false_alarms.threshold import (
    distance,
    is_constant,
    p_value,
    symmetric_distance,
)
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, as_json
from monitors.statistics.false_discovery_rate import names_moved
from monitors.statistics.seasonality import window_moments
from monitors.summaries.bin_resolution import CoarseBins
from monitors.summaries.hourly import HOURS, Hourly, whole_days
from monitors.summaries.moments import rounding
from monitors.summaries.summary import Floats, chunk_at, chunk_start


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift(FeatureScore):
    """How one feature of the input compares with the reference, in its own unit."""

    mean: float | None = None
    reference_mean: float | None = None
    sd: float | None = None
    reference_sd: float | None = None
    change: float | None = None
    variability: float | None = None
    distances: Mapping[str, float | None] = field(default_factory=dict)


class DriftDetail(ScoreDetail, frozen=True):
    """What a test for drift of input or output found.

    Attributes
    ----------
    p
        Conformal p-value of the window.
    left_out
        Of the reference.
    provisional
        While the reference is too short for a threshold.
    coarse_bins
        Where the bins are too coarse.
    """

    features: Mapping[str, FeatureDrift] = msgspec.field(default_factory=dict)
    window_days: int | None = None
    period_hours: int | None = None
    p: float | None = None
    n_windows: int | None = None
    left_out: tuple[LeftOut, ...] = ()
    provisional: Provisional | None = None
    coarse_bins: CoarseBins | None = None


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
    mean, sd = windows_of(whole.mean, baseline.period, baseline.params.window_days)
    scores = distance(mean, sd, baseline.pooled) / baseline.scale
    level = (baseline.level_mean, baseline.level_sd)
    effects = effect_of(mean, sd, level, baseline.difference_sd)
    return DailyEvaluations(
        first_day=first_day_of(whole, baseline.period, baseline.params.window_days),
        joint=joint_score(evaluated_scores(scores, effects >= baseline.params.min_effect)),
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
        return no_data(window, str(baseline), DriftDetail())
    whole = whole_days(like(recent, baseline.names), end)
    daily = evaluate_days(baseline, whole)
    lacks = what_lacks(daily.joint, daily.first_day, end)
    if lacks:
        return no_data(window, lacks, DriftDetail())
    top = _top(baseline, daily)
    return verdict(
        baseline.alarm_threshold,
        daily.joint[-1],
        window,
        lambda: _cause(baseline, whole, daily, top),
        _detail(baseline, whole, daily, top),
    )


def _top(baseline: InputDriftBaseline, daily: DailyEvaluations) -> int:
    matters = daily.effects[-1] >= baseline.params.min_effect
    scores = np.where(np.isfinite(daily.scores[-1]), daily.scores[-1], -1.0)
    return int(np.argmax(np.where(matters, scores + 1.0, 0.0)))


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
    highest = joint_score(away / tail_of(away))
    return p_value(highest)


def _detail(
    baseline: InputDriftBaseline, whole: Hourly, daily: DailyEvaluations, top: int
) -> DriftDetail:
    limit, (mean, sd) = baseline.alarm_threshold.value, _lately(baseline, whole)
    scores = evaluated_scores(daily.scores[-1], daily.effects[-1] >= baseline.params.min_effect)
    constant = is_constant(baseline.level_mean, baseline.level_sd)
    ratio = np.where(constant, np.nan, daily.sd[-1] / baseline.difference_sd)
    features = {
        name: FeatureDrift(
            score=as_json(daily.scores[-1, i]),
            effect=as_json(daily.effects[-1, i]),
            mean=as_json(mean[i]),
            reference_mean=as_json(baseline.level_mean[i]),
            sd=as_json(sd[i]),
            reference_sd=0.0 if constant[i] else as_json(baseline.level_sd[i]),
            change=as_json(daily.mean[-1, i]),
            variability=as_json(ratio[i]),
        )
        for i, name in enumerate(baseline.names)
    }
    return DriftDetail(
        window_days=baseline.params.window_days,
        period_hours=baseline.period,
        p=as_json(conformal_p(baseline, daily)),
        n_windows=baseline.n_windows,
        left_out=tuple(map(LeftOut.of, baseline.screened)),
        top=baseline.names[top],
        since=since(daily.joint, daily.first_day, limit),
        moved=names_moved(daily.joint[-1], baseline.names, scores, baseline.evaluations, limit),
        features=features,
    )
