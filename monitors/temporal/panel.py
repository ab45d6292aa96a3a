"""Panel of statistics for temporal patterns: all views, evaluated together.

A marginal test does not see a sensor whose hours were shuffled, held or made
noisy. Several views do, each another fault; but asked one by one they raise
several times the false alarms. Here every statistic of every view is measured
in its own ordinary spread, the statistics of a view make one distance, and
the largest distance is the score: the threshold follows from its own past.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from core.durations import DAY, HOUR, Duration, require_days
from monitors.baselines.feature_weights import Weights, check, unit
from monitors.baselines.segments import feature_of, like
from monitors.baselines.windows import WindowParams
from monitors.false_alarms.threshold import (
    FalseAlarmThreshold,
    fit_threshold,
    middle_and_spread,
)
from monitors.false_alarms.warm_up import WarmingUp, with_reference
from monitors.statistics.folds import reach_into_hole
from monitors.statistics.max_statistic import largest
from monitors.statistics.robust_distance import (
    RobustBaseline,
    distances,
    farthest,
    robust_baselines,
    scored_apart,
)
from monitors.statistics.seasonality import seasonal_difference
from monitors.statistics.view import Statistic, View
from monitors.summaries.hourly import HOURS, Hourly, whole_days
from monitors.summaries.moments import rounding
from monitors.summaries.summary import Floats
from monitors.temporal.views.arrival import arrival
from monitors.temporal.views.autocorrelation import autocorrelation
from monitors.temporal.views.cross_feature_share import cross_feature_share
from monitors.temporal.views.daily_profile import daily_profile
from monitors.temporal.views.first_difference import first_difference
from monitors.temporal.views.flatline import flatline
from monitors.temporal.views.noise_floor import noise_floor
from monitors.temporal.views.periodic_hold import periodic_hold
from monitors.temporal.views.spectrum import spectrum

# What makes the views comparable is the typical distance among the farthest
# windows: it knows how heavy a view's tail is, and one mad window alone does not
# set it. Of fifty weeks a tenth are asked; of a year of daily evaluations fewer: one
# restless sensor must not raise the threshold of all.
_OF_WEEKS, _OF_EVALUATIONS = 0.1, 0.03

Blocks: TypeAlias = tuple[tuple[int, ...], ...]

# Hours of windows, over all features, that a view computes at once: 16 MB.
_AT_ONCE = 2**21


def panel_views(season: int = HOURS) -> tuple[View, ...]:
    """Return all views, in the order of the panel.

    Parameters
    ----------
    season
        In hours.
    """
    return (
        daily_profile(),
        first_difference(),
        noise_floor(),
        seasonal_difference(season),
        autocorrelation(season),
        spectrum(),
        flatline(),
        periodic_hold(),
        cross_feature_share(),
        arrival(),
    )


def measure(hours: Hourly, views: Sequence[View], window: int, step: int) -> tuple[Floats, ...]:
    """Return the statistics of each view on the same windows.

    Parameters
    ----------
    hours
        Any stretch.
    views
        The first window starts where the view with the longest history can
        see all it needs; rounded up to whole days.
    window, step
        In hours.

    Returns
    -------
    (window, feature, statistic), one per view
        NaN where fewer than half of the window's hours hold a value.
    """
    before = lead(views)
    n_windows = max((len(hours) - before - window) // step + 1, 0)
    at_once = max(_AT_ONCE // (max(len(hours.names), 1) * window), 1)
    bounds = [*range(0, n_windows, at_once), n_windows]
    seen = []
    for view in views:
        parts = [np.empty((0, len(hours.names), len(view.parts)))]
        for first, end in itertools.pairwise(bounds):
            start = before - view.before + first * step
            stop = before + (end - 1) * step + window
            part = hours.until(hours.first + stop, stop - start)
            parts.append(view.statistics(part, window, step))
        seen.append(np.concatenate(parts))
    return tuple(seen)


def _measure_apart(
    hours: Hourly, views: Sequence[View], window: int, blocks: Blocks
) -> tuple[Floats, ...]:
    """Return `measure`, daily, where only the features of one block keep company."""
    if len(blocks) == 1:
        return measure(hours, views, window, HOURS)
    parts = [measure(hours.of(block), views, window, HOURS) for block in blocks]
    order = np.argsort(np.concatenate(blocks))
    return tuple(np.concatenate(seen, axis=1)[:, order] for seen in zip(*parts, strict=True))


def _parts(views: Sequence[View]) -> list[Sequence[Statistic]]:
    return [view.parts for view in views]


def lead(views: Sequence[View]) -> int:
    """Return how many hours the views need before a window, in whole days."""
    return -(-max(view.before for view in views) // HOURS) * HOURS


def symmetric_scores(statistics: Sequence[Floats], views: Sequence[View]) -> Floats:
    """Score each window by all windows, itself included, so that none is special.

    Parameters
    ----------
    statistics : (window, feature, statistic), one per view
        From `measure`, of windows without overlap.
    views
        The same.

    Returns
    -------
    (window, feature, view)
        1 is the typical (geometric mean) distance of the farthest tenth.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a
       Random World", Springer, 2005, ch. 2.
    """
    away = distances(statistics, robust_baselines(statistics, _parts(views)))
    return away / farthest(away, _OF_WEEKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalPatternParams(WindowParams):
    """Parameters of `temporal_pattern`.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all views and features together. Larger means later
        alarms.
    window
        Length of a window; at least two, so that there are paces between the
        harmonics of the day. Longer sees smaller changes, later; the
        reference must hold 19 windows.
    season
        In whole hours: of the differences and of the longest lag.
    feature_weights, view_weights
        By how much scores are multiplied before the largest counts: 1 where
        absent, 0 for what is not evaluated.
    by_segment
        Evaluate the features of every segment beside those of the total, all under
        the one promise. A segment is evaluated once its reference holds 19 windows.
    """

    days_between_false_alarms: float = 90.0
    season: Duration = DAY
    feature_weights: Weights = field(default_factory=dict)
    view_weights: Weights = field(default_factory=dict)
    by_segment: bool = False

    def __post_init__(self) -> None:
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        require_days("window", self.window, 2)
        if self.season % HOUR or not HOUR < self.season < self.window:
            raise ValueError("season must be whole hours, above PT1H and less than a window")
        check(self.feature_weights, "feature")
        check(self.view_weights, "view", (view.name for view in panel_views()))

    @property
    def season_hours(self) -> int:
        """Hours of the season."""
        return self.season // HOUR


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TemporalPatternBaseline:
    """Fitted baseline of temporal patterns; depends on reference and parameters only.

    Attributes
    ----------
    blocks
        The places of features that are compared with each other.
    centre, unit : (feature,)
        Mean and standard deviation of the hours, that scale them for the views.
    robust_baselines
        One per view.
    scale : (feature, view)
        Typical distance of the farthest 3 % of the evaluations of the reference, by weight;
        the same for a feature in all segments.
    evaluations : (evaluation, feature)
        Largest scores of the evaluations of the reference, each scored by the other half.
    n_windows
        How many windows the reference holds without overlap.
    """

    params: TemporalPatternParams
    names: tuple[str, ...]
    blocks: Blocks
    centre: Floats
    unit: Floats
    robust_baselines: tuple[RobustBaseline, ...]
    scale: Floats
    evaluations: Floats
    n_windows: int
    alarm_threshold: FalseAlarmThreshold


def fit(
    reference: Hourly, params: TemporalPatternParams, blocks: Blocks = ()
) -> TemporalPatternBaseline | WarmingUp:
    """Fit baseline and alarm threshold on the reference.

    Parameters
    ----------
    reference
        Hours before the model was deployed, quiet as far as anyone knows.
    params
        Parameters of the test.
    blocks
        The places of features that are compared with each other; all of them by
        default. Those of another segment are about something else.

    Returns
    -------
    TemporalPatternBaseline or WarmingUp
        `WarmingUp` while the reference holds fewer than 19 windows.
    """
    whole = whole_days(reference)
    views = panel_views(params.season_hours)
    blocks = blocks or ((*range(len(reference.names)),),)
    centre, spread = middle_and_spread(whole.mean)
    whole = _standardised(whole, centre, spread)
    seen = _measure_apart(whole, views, params.window_days * HOURS, blocks)
    into_hole = reach_into_hole(whole.mean, lead(views) // HOURS + params.window_days)
    seen = tuple(np.where(into_hole[:, np.newaxis, np.newaxis], np.nan, own) for own in seen)
    there = np.asarray(np.isfinite(seen[0]).any(axis=2), dtype=np.bool_)
    n_windows = int(there.any(axis=1).sum()) // params.window_days
    known = with_reference(there, params.window_days)
    if not known:
        return WarmingUp(n_windows=n_windows, window_days=params.window_days)
    if len(known) < len(reference.names):  # what the reference does not know teaches nothing
        return fit(reference.of(known), params, _among(blocks, known))
    away = scored_apart(seen, _parts(views), params.window_days)
    scale = _of_feature(farthest(away, _OF_EVALUATIONS), reference.names, blocks) * np.outer(
        unit(reference.names, params.feature_weights),
        unit([view.name for view in views], params.view_weights),
    )
    evaluations = largest(away / scale, axis=2)
    return TemporalPatternBaseline(
        params=params,
        names=reference.names,
        blocks=blocks,
        centre=centre,
        unit=spread,
        robust_baselines=robust_baselines(seen, _parts(views)),
        scale=scale,
        evaluations=evaluations,
        n_windows=n_windows,
        alarm_threshold=fit_threshold(
            largest(evaluations, axis=1),
            params.days_between_false_alarms,
            params.window_days,
        ),
    )


def _among(blocks: Blocks, known: Sequence[int]) -> Blocks:
    """Return the blocks of those features that are left, by their new places."""
    place = {feature: i for i, feature in enumerate(known)}
    left = (tuple(place[i] for i in block if i in place) for block in blocks)
    return tuple(block for block in left if block)


def _standardised(hours: Hourly, centre: Floats, unit: Floats) -> Hourly:
    """Return the hours free of the unit of each feature; what is rounding is no departure."""
    away = hours.mean - centre
    away[np.abs(away) <= rounding(centre)] = 0.0
    return replace(hours, mean=away / unit)


def _of_feature(scale: Floats, names: Sequence[str], blocks: Blocks) -> Floats:
    """Give a feature the largest of its scales in the total and in all segments.

    Each is measured on the evaluations that it is used on. Of nine times as many, those of rare
    events above all, too many were small by luck, and the promise of 90 days was kept for 41.
    """
    common = scale.copy()
    if len(blocks) > 1:
        whole = {*blocks[0]}
        of = np.array([n if i in whole else feature_of(n) for i, n in enumerate(names)])
        for feature in np.unique(of):
            common[of == feature] = scale[of == feature].max(axis=0)
    return common


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanelEvaluations:
    """Scores of all closed days, one evaluation per day.

    Attributes
    ----------
    first_day
        The day (since the epoch) that the first evaluation closes.
    joint : (evaluation,)
        The score that is compared with the threshold; NaN: no data.
    scores : (evaluation, feature, view)
        What each contributes: the joint score is the largest.
    statistics : (evaluation, feature, statistic), one per view
        What was seen.
    """

    first_day: int
    joint: Floats
    scores: Floats
    statistics: tuple[Floats, ...]


def evaluate_days(baseline: TemporalPatternBaseline, hours: Hourly) -> PanelEvaluations:
    """Evaluate every closed day of `hours` that has a full window behind it.

    Parameters
    ----------
    baseline
        The baseline.
    hours
        Any stretch of the stream.
    """
    whole = whole_days(like(hours, baseline.names))
    whole = _standardised(whole, baseline.centre, baseline.unit)
    views = panel_views(baseline.params.season_hours)
    days = baseline.params.window_days
    seen = _measure_apart(whole, views, days * HOURS, baseline.blocks)
    scores = distances(seen, baseline.robust_baselines) / baseline.scale
    return PanelEvaluations(
        first_day=(whole.first + lead(views)) // HOURS + days - 1,
        joint=largest(scores, axis=(1, 2)),
        scores=scores,
        statistics=seen,
    )
