"""Test for a change of the within-window structure of list features.

Each closed event day has the means of what its rows are like inside: how long,
what follows what, where in the row the values lie (`window_profile_sums`). They
are compared with the same weekdays of the four weeks before. The baseline, and the
threshold under one promise over all parts of all features, come from the same
evaluations of the first days of the version (`monitors.false_alarms.threshold`).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from core.durations import DAY, Duration, require_days
from core.window import Window
from monitors.baselines.daily_evaluations import no_data, since, what_lacks
from monitors.baselines.reference_incidents import incidents, stretches
from monitors.baselines.windows import OwnReferenceParams
from monitors.detail import FeatureScore, LeftOut, ScoreDetail
from monitors.false_alarms.decision import verdict
from monitors.false_alarms.threshold import FalseAlarmThreshold, fit_threshold, p_value
from monitors.false_alarms.warm_up import MIN_WINDOWS, WarmingUp
from monitors.finding import Finding, as_json
from monitors.statistics.mahalanobis import distance, metric
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats, Summary, chunk_at, chunk_start
from monitors.temporal.window_profile_days import WEEKS, Part, changes, parts_of
from monitors.temporal.window_profile_schema import Layout

_GAP = 7  # quiet evaluations that end an episode, as they end an alert
_MOST_LEFT_OUT = 0.15
_PARTS = 4  # as for drift
_LEAST_SCALE = 0.1  # of what never changes


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowProfileParams(OwnReferenceParams):
    """Parameters of `window_profile`.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all parts of all features together. Larger means
        later alarms.
    window
        Length of a window. Longer sees smaller changes, later; the version
        must have served for 19 windows and four weeks before it is evaluated.
    reference
        The version is measured against so many of its own first days. While
        they last, against those before the window.
    """

    days_between_false_alarms: float = 90.0
    window: Duration = 3 * DAY

    def __post_init__(self) -> None:
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        require_days("window", self.window)
        require_days("reference", self.reference, self.needed_days)

    @property
    def needed_days(self) -> int:
        """How many days a version must have served before it is evaluated."""
        return MIN_WINDOWS * self.window_days + 7 * WEEKS


@dataclass(frozen=True, slots=True, kw_only=True)
class PartScore(FeatureScore):
    """The score of one part of a feature."""

    feature: str = ""
    part: str = ""


class WindowProfileDetail(ScoreDetail, frozen=True):
    """Scores by the figure that moved most of each part."""

    features: Mapping[str, PartScore] = msgspec.field(default_factory=dict)
    window_days: int | None = None
    p: float | None = None
    n_windows: int | None = None
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowProfileBaseline:
    """Fitted baseline of window profiles, from the first days of a version.

    Attributes
    ----------
    parts
        What is evaluated.
    metrics
        In which distances of each part are taken.
    scale : (part,)
        The distance that 5 % of the evaluations exceed. NaN: fewer than 19 windows of the
        part are known, and it is not evaluated.
    joint : (evaluation,)
        The highest score of each evaluation; NaN: no data.
    screened
        Days `[start, end)`, since the epoch, that were left out: incidents.
    """

    params: WindowProfileParams
    parts: tuple[Part, ...]
    metrics: tuple[Floats, ...]
    scale: Floats
    joint: Floats
    screened: tuple[tuple[int, int], ...]
    alarm_threshold: FalseAlarmThreshold


def fit(
    layout: Layout, kept: Summary, reference: Window, params: WindowProfileParams
) -> WindowProfileBaseline | WarmingUp:
    """Fit the baseline on the first days of a version.

    Parameters
    ----------
    layout
        What the columns of the sums are.
    kept
        The sums of those days at least.
    reference
        From `reference_of`.
    params
        Parameters of the test.

    Returns
    -------
    WindowProfileBaseline or WarmingUp
        `WarmingUp` while there are fewer than 19 windows with four weeks before them.
    """
    first, end = chunk_at(reference.start) // HOURS, chunk_at(reference.end) // HOURS
    days, parts = kept.select(first * HOURS, end * HOURS), parts_of(layout)
    away = changes(layout, days, first, end, params.window_days)
    known = [int(np.isfinite(each).any(axis=1).sum()) for each in away]
    n_windows = max(known, default=0) // params.window_days
    if n_windows < MIN_WINDOWS:
        return WarmingUp(n_windows=n_windows, window_days=params.window_days)
    learnt = np.array(known) // params.window_days >= MIN_WINDOWS
    away = tuple(_known_of(each, params.window_days) for each in away)
    scale, joint = _scored_apart(away, parts)
    scale[~learnt] = np.nan
    anomalous = incidents(joint, _GAP)
    if anomalous.mean() > _MOST_LEFT_OUT:
        anomalous[:] = False
    if anomalous.any():
        away = tuple(np.where(anomalous[:, np.newaxis], np.nan, each) for each in away)
        scale, joint = _scored_apart(away, parts)
        scale[~learnt] = np.nan
    return WindowProfileBaseline(
        params=params,
        parts=parts,
        metrics=tuple(
            _of_known(metric(each, part.grain), each)
            for each, part in zip(away, parts, strict=True)
        ),
        scale=scale,
        joint=joint,
        screened=tuple(
            (first + start - params.window_days + 1, first + stop)
            for start, stop in stretches(anomalous)
        ),
        alarm_threshold=fit_threshold(joint, params.days_between_false_alarms, _GAP),
    )


def _known_of(away: Floats, window_days: int) -> Floats:
    """Leave out the coordinates of which the reference holds fewer than 19 windows."""
    known = np.isfinite(away).sum(axis=0) // window_days >= MIN_WINDOWS
    return np.where(known, away, np.nan)


def _of_known(metric: Floats, away: Floats) -> Floats:
    """Return the metric in which a coordinate without reference is ignored."""
    known = np.isfinite(away).any(axis=0)
    return metric * np.outer(known, known)


def _scored_apart(away: tuple[Floats, ...], parts: tuple[Part, ...]) -> tuple[Floats, Floats]:
    """Return the scale of each part, and the joint score of each evaluation.

    Each stretch of the reference is scored with what the others teach, as live
    evaluations meet days that were not fitted.
    """
    n = len(away[0])
    scores = np.empty((n, len(parts)))
    bounds = np.linspace(0, n, _PARTS + 1).astype(int)
    for i, part in enumerate(parts):
        for start, end in itertools.pairwise(bounds):
            apart = np.r_[0 : max(start - _GAP, 0), min(end + _GAP, n) : n]
            fitted = metric(away[i][apart], part.grain)
            scores[start:end, i] = distance(away[i][start:end], fitted)
    tail = np.quantile(np.where(np.isfinite(scores), scores, 0.0), 0.95, axis=0)
    scale: Floats = np.maximum(tail, _LEAST_SCALE)
    return scale, _joint(scores / scale)


def scored(learnt: WindowProfileBaseline, away: tuple[Floats, ...]) -> tuple[Floats, Floats]:
    """Score evaluations: all parts together, and each of them, 1 being what 5 % exceed.

    Parameters
    ----------
    learnt
        From `fit`.
    away
        From `changes`.

    Returns
    -------
    joint : (evaluation,)
        The highest; NaN: no data.
    scores : (evaluation, part)
    """
    apart = [distance(each, fitted) for each, fitted in zip(away, learnt.metrics, strict=True)]
    scores = np.column_stack(apart) / learnt.scale
    return _joint(scores), scores


def _joint(scores: Floats) -> Floats:
    highest = np.where(np.isfinite(scores), scores, 0.0).max(axis=1, initial=0.0)
    joint: Floats = np.where(np.isfinite(scores).any(axis=1), highest, np.nan)
    return joint


def evaluate(
    layout: Layout,
    kept: Summary,
    reference: Window,
    params: WindowProfileParams,
    as_of: datetime,
) -> Finding:
    """Evaluate the window that ends with the last closed day.

    Parameters
    ----------
    layout
        What the columns of the sums are.
    kept
        The sums of the reference, and of the five weeks before `as_of` at
        least; of one version, and of past input.
    reference
        From `reference_of`.
    params
        Parameters of the test.
    as_of
        Event time, timezone-aware.

    Returns
    -------
    Finding
        `value` is the joint score. `features` in the detail holds, by the figure that
        moved most of each part, its score, the part and the feature.
        `NO_DATA` while the version has served too short, or too little lately.

    Examples
    --------
    >>> from datetime import UTC
    >>> from monitors.summaries.summary import empty
    >>> at = datetime(2026, 3, 1, tzinfo=UTC)
    >>> days = Window(at - 80 * DAY, at)
    >>> evaluate(Layout(blocks=()), empty(0), days, WindowProfileParams(), at).cause
    'warming up: 0 of 19 windows of 3 days'
    """
    end = chunk_at(as_of) // HOURS
    window = Window(
        start=chunk_start((end - params.window_days) * HOURS), end=chunk_start(end * HOURS)
    )
    learnt = fit(layout, kept, reference, params)
    if isinstance(learnt, WarmingUp):
        return no_data(window, str(learnt))
    first = end - 7 * WEEKS - params.window_days - _GAP
    away = changes(
        layout, kept.select(first * HOURS, end * HOURS), first, end, params.window_days
    )
    joint, scores = scored(learnt, away)
    if lacks := what_lacks(joint, first, end * HOURS):
        return no_data(window, lacks)
    top = int(np.argmax(np.where(np.isfinite(scores[-1]), scores[-1], -1.0)))
    part, moved = learnt.parts[top], _columns(layout, kept, end, learnt)
    about = f"{part.feature}: {part.message}"
    detail = _detail(learnt, joint, scores[-1], first, moved)
    return verdict(
        learnt.alarm_threshold,
        joint[-1],
        window,
        lambda: f"{about} changed against the four weeks before ({moved[top]})",
        msgspec.structs.replace(detail, top=moved[top], reference=reference),
    )


def _columns(
    layout: Layout, kept: Summary, end: int, learnt: WindowProfileBaseline
) -> list[str]:
    """Return, for each part, the column that moved most of it."""
    days = learnt.params.window_days
    before = kept.select((end - 7 * WEEKS - days) * HOURS, (end - days) * HOURS)
    now = kept.select((end - days) * HOURS, end * HOURS)
    names = layout.columns
    found = []
    for part in learnt.parts:
        middle = [part.middle(each) for each in (now, before)]
        moved = np.abs(middle[0] - middle[1])
        worst = int(np.argmax(np.where(np.isfinite(moved), moved, -1.0)))
        found.append(names[part.columns[worst]])
    return found


def _detail(
    learnt: WindowProfileBaseline, joint: Floats, scores: Floats, first: int, moved: list[str]
) -> WindowProfileDetail:
    features: dict[str, PartScore] = {}
    for i in np.argsort(-np.where(np.isfinite(scores), scores, -1.0), kind="stable").tolist():
        part = learnt.parts[i]
        score = as_json(scores[i])
        features.setdefault(
            moved[i], PartScore(score=score, feature=part.feature, part=part.message)
        )
    days = learnt.params.window_days
    last = np.concatenate([learnt.joint[(len(learnt.joint) - 1) % days :: days], joint[-1:]])
    return WindowProfileDetail(
        window_days=days,
        p=as_json(p_value(last)),
        n_windows=int(np.isfinite(learnt.joint).sum()) // days,
        left_out=tuple(map(LeftOut.of, learnt.screened)),
        since=since(joint, first, learnt.alarm_threshold.value),
        features=features,
    )
