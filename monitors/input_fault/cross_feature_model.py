"""Cross-feature model: each feature predicted from the others, and the ones that fail.

The arithmetic behind `monitors.input_fault.input_fault`: it has evaluations and scores, not
faults.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitors.false_alarms.threshold import (
    FalseAlarmThreshold,
    fit_threshold,
    middle_and_spread,
)
from monitors.input_fault.fault_types import FaultKind, Shape, explain
from monitors.statistics.folds import holes, is_known
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.moments import rounding
from monitors.summaries.summary import Floats

Flags: TypeAlias = NDArray[np.bool_]

# Days: the week from which the daily profile is taken, whose last day gives the
# level that carries over; the day in which a fault may begin; two days of it.
_BEFORE, _GAP, AFTER = 7, 1, 2
EVALUATION_DAYS = _BEFORE + _GAP + AFTER

# Quantiles over the reference. Within the first 480 days of ETTh1, 0.95 for
# what is left missed a tenth more of the sensors scaled by 1.8; 0.99 for the
# rest let one evaluation of a changing world double the threshold.
_ORDINARY_REST = 0.98  # of the distance of the healthy features
_ORDINARY_LEFT = 0.99  # of what the best explanation leaves
_HIGH = 0.99  # of the strength of quiet days

_BEYOND = 1.5  # missing must exceed the reference's worst day by half
_MIN_MISSING = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputFaultBaseline:
    """What the reference teaches; depends on reference and parameters only.

    Attributes
    ----------
    carry : (feature, feature)
        How yesterday's departure from the typical week carries into the evaluation.
    covariance : (feature, feature)
        Of the hourly departures that remain.
    daily_profile : (hour of day, feature)
        Stands in for hours that are missing from the start.
    level_sd, jump, left, score : (feature,)
        Spread of the hours; typical jump at an onset; what an explanation
        ordinarily leaves; the strength that 1 % of the evaluations exceed.
    rest
        Distance of the healthy features that is still ordinary.
    longest_repeat, most_missing : (feature,)
        Hours and share, the worst of the reference.
    """

    min_change: float
    names: tuple[str, ...]
    carry: Floats
    covariance: Floats
    daily_profile: Floats
    level_sd: Floats
    jump: Floats
    left: Floats
    score: Floats
    rest: float
    longest_repeat: Floats
    most_missing: Floats
    alarm_threshold: FalseAlarmThreshold

    @property
    def budget(self) -> int:
        """Return how many inputs may be broken before it is the world that changed."""
        return max(1, len(self.names) // 4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """The last days of one evaluation: what happened, and how far from the typical week."""

    values: Floats
    departure: Floats


def filled(mean: Floats, daily_profile: Floats) -> Floats:
    """Put the same hour of the last day that has it where an hour is missing."""
    days = np.concatenate([daily_profile[np.newaxis], mean.reshape(-1, HOURS, mean.shape[1])])
    there = np.isfinite(days)
    at = np.where(there, np.arange(len(days))[:, np.newaxis, np.newaxis], 0)
    last = np.maximum.accumulate(at, axis=0)
    filled: Floats = np.take_along_axis(days, last, axis=0)[1:]
    return filled


def _cut(days: Floats) -> tuple[Floats, Floats, Floats]:
    """Cut (day, hour, feature) into evaluations.

    Returns the last four days and their departures from the median week, both
    (evaluation, hour, feature), and yesterday's mean departure, (evaluation, feature).
    """
    n = len(days) - EVALUATION_DAYS + 1
    n_features = days.shape[2]
    weeks = np.lib.stride_tricks.sliding_window_view(days, _BEFORE, axis=0)
    daily_profile = np.median(weeks[:n], axis=-1)
    parts = range(_BEFORE - 1, EVALUATION_DAYS)
    values = np.stack([days[part : part + n] for part in parts], axis=1)
    departure = values - daily_profile[:, np.newaxis]
    shape = (n, len(parts) * HOURS, n_features)
    return values.reshape(shape), departure.reshape(shape), departure[:, 0].mean(axis=1)


def learn(whole: Hourly, promised_days: float, min_change: float) -> InputFaultBaseline:
    """Learn from whole days how features move together, and how abruptly.

    The limit comes from evaluations that were not learnt from: each half of the reference is
    evaluated with the model of the other half.

    Parameters
    ----------
    whole
        The reference, from midnight to midnight.
    promised_days
        Between false alarms.
    min_change
        See `InputFaultParams`.
    """
    both = _two_folds(whole)
    highest = []
    for learnt, seen in (both, both[::-1]):
        other = _learn(learnt, min_change)
        for part in evaluable(seen.mean):
            highest += [_highest(other, one) for one in _evaluations(other, seen.mean[part])]
            highest += EVALUATION_DAYS * [np.nan]  # an episode ends with its stretch
    promise = fit_threshold(np.array(highest), promised_days, EVALUATION_DAYS)
    return replace(_learn(whole, min_change), alarm_threshold=promise)


def evaluable(mean: Floats) -> list[slice]:
    """Return the stretches of hours that hold an evaluation, and no week without any value.

    A shorter outage is filled, as in a live evaluation; what lies between two stretches of a
    reference is not.

    Parameters
    ----------
    mean : (hour, feature)
        Of whole days.
    """
    known = _known_days(mean)
    gaps = holes(known)
    starts, ends = [0, *(end for _, end in gaps)], [*(start for start, _ in gaps), len(known)]
    return [
        slice(start * HOURS, end * HOURS)
        for start, end in zip(starts, ends, strict=True)
        if end - start >= EVALUATION_DAYS
    ]


def _known_days(mean: Floats) -> Flags:
    return is_known(mean.reshape(len(mean) // HOURS, HOURS, mean.shape[1]))


def _two_folds(whole: Hourly) -> tuple[Hourly, Hourly]:
    """Return two parts with equally many days that are evaluated."""
    hours = np.concatenate([np.r_[part] for part in evaluable(whole.mean)])
    days = np.flatnonzero(_known_days(whole.mean))
    days = days[np.isin(days, hours // HOURS)]
    n = len(days) // 2
    end, start = int(days[n - 1] + 1) * HOURS, int(days[-n]) * HOURS
    last = whole.first + len(whole)
    return whole.until(whole.first + end, end), whole.until(last, len(whole) - start)


def _learn(whole: Hourly, min_change: float) -> InputFaultBaseline:
    """Learn all but the limit."""
    daily_profile, _ = middle_and_spread(whole.mean.reshape(-1, HOURS * len(whole.names)))
    daily_profile = daily_profile.reshape(HOURS, -1)
    _, level_sd = middle_and_spread(whole.mean)
    parts = [_cut(filled(whole.mean[part], daily_profile)) for part in evaluable(whole.mean)]
    after = np.concatenate([departure[:, -AFTER * HOURS :] for _, departure, _ in parts])
    yesterday = np.concatenate([one for *_, one in parts])
    # Features of any units: what is cut off as rounding must not depend on them.
    in_sd = np.linalg.lstsq(yesterday / level_sd, after.mean(axis=1) / level_sd, rcond=None)[0]
    carry = in_sd * level_sd / level_sd[:, np.newaxis]
    flat: Floats = (after - (yesterday @ carry)[:, np.newaxis]).reshape(-1, len(whole.names))
    covariance: Floats = flat.T @ flat / len(flat) + np.diag((1e-3 * level_sd) ** 2)
    blank = np.ones(len(whole.names))
    baseline = InputFaultBaseline(
        min_change=min_change,
        names=whole.names,
        carry=carry,
        covariance=covariance,
        daily_profile=daily_profile,
        level_sd=level_sd,
        jump=blank,
        left=blank,
        score=blank,
        rest=np.inf,
        longest_repeat=np.max(repeat_runs(whole.mean), axis=0),
        most_missing=missing_share(whole).max(axis=0),
        alarm_threshold=fit_threshold(np.zeros(1), 1.0, 1),
    )
    evaluations = [_evaluations(baseline, whole.mean[part]) for part in evaluable(whole.mean)]
    return _with_null(baseline, [one for part in evaluations for one in part])


def _with_null(
    baseline: InputFaultBaseline, evaluations: Sequence[Evaluation]
) -> InputFaultBaseline:
    """Evaluate all days of the reference, and take what is ordinary from them."""
    features = list(range(len(baseline.names)))
    rest = [_worst(baseline, evaluation, features) for evaluation in evaluations]
    shapes = [
        [_explain(baseline, evaluation, features, f) for f in features]
        for evaluation in evaluations
    ]
    jump = np.sqrt(np.mean([[s.jump**2 for s in row] for row in shapes], axis=0))
    left = np.quantile([[s.unexplained for s in row] for row in shapes], _ORDINARY_LEFT, axis=0)
    baseline = replace(
        baseline,
        jump=np.maximum(jump, 1e-9 * baseline.level_sd),
        left=left,
        rest=float(np.quantile([distance for _, distance in rest], _ORDINARY_REST)),
    )
    raw = np.array([[_strength(baseline, f, s) for f, s in enumerate(row)] for row in shapes])
    score = np.quantile(raw, _HIGH, axis=0)
    return replace(baseline, score=np.where(score > 0, score, 1.0))


def _highest(baseline: InputFaultBaseline, evaluation: Evaluation) -> float:
    blamed = suspects(baseline, evaluation, range(len(baseline.names)), baseline.budget)
    return max((score for _, _, score in blamed), default=0.0)


def _precision(baseline: InputFaultBaseline, healthy: Sequence[int]) -> Floats:
    return np.asarray(np.linalg.inv(baseline.covariance[np.ix_(healthy, healthy)]), float)


def _worst(
    baseline: InputFaultBaseline, evaluation: Evaluation, healthy: Sequence[int]
) -> tuple[int, float]:
    """Return the feature least explained by the others, and the others' distance."""
    precision = _precision(baseline, healthy)
    after = evaluation.departure[-AFTER * HOURS :, healthy]
    pulled = after @ precision
    errors = (pulled**2).mean(axis=0) / np.diag(precision)
    worst = int(np.argmax(errors))
    rest = float((pulled * after).sum(axis=1).mean()) - float(errors[worst])
    return healthy[worst], rest / max(len(healthy) - 1, 1)


def _explain(
    baseline: InputFaultBaseline, evaluation: Evaluation, healthy: Sequence[int], feature: int
) -> Shape:
    """Explain one feature's error given the healthy ones; squares in its variances."""
    errors, variance = errors_of(baseline, evaluation, healthy, feature)
    values = evaluation.values[:, feature]
    unit = float(baseline.level_sd[feature])
    shape = explain(values, values - errors, first=HOURS, sd=unit)
    return replace(shape, gain=shape.gain / variance, unexplained=shape.unexplained / variance)


def errors_of(
    baseline: InputFaultBaseline, evaluation: Evaluation, healthy: Sequence[int], feature: int
) -> tuple[Floats, float]:
    """Return what the healthy features do not explain of one feature.

    Parameters
    ----------
    baseline, evaluation
        The baseline, and what happened.
    healthy
        The features to explain by; `feature` itself is never among them.
    feature
        The one to explain.

    Returns
    -------
    errors : (hour,)
        Over the whole evaluation, in the unit of the feature.
    variance
        Of such errors in the reference.
    """
    with_it = sorted({*healthy, feature})
    precision = _precision(baseline, with_it)
    at = with_it.index(feature)
    variance = 1.0 / float(precision[at, at])
    errors: Floats = evaluation.departure[:, with_it] @ precision[:, at] * variance
    return errors, variance


def _score(baseline: InputFaultBaseline, feature: int, shape: Shape) -> float:
    """Return how much an abrupt change explains, and how abrupt it is; 0: no fault."""
    change = abs(shape.amount - 1.0)
    if shape.kind is FaultKind.OFFSET:
        change = abs(shape.amount) / float(baseline.level_sd[feature])
    if change < baseline.min_change or shape.unexplained > baseline.left[feature]:
        return 0.0
    return _strength(baseline, feature, shape) / float(baseline.score[feature])


def _strength(baseline: InputFaultBaseline, feature: int, shape: Shape) -> float:
    return float(np.sqrt(shape.gain)) * shape.jump / float(baseline.jump[feature])


def suspects(
    baseline: InputFaultBaseline, evaluation: Evaluation, seeing: Sequence[int], budget: int
) -> list[tuple[int, Shape, float]]:
    """Take out the worst features until the rest is ordinary, and explain them."""
    healthy, out = list(seeing), list[int]()
    while len(out) < budget and len(healthy) > 1:
        worst, rest = _worst(baseline, evaluation, healthy)
        healthy.remove(worst)
        out.append(worst)
        if rest <= baseline.rest:
            shapes = [(f, _explain(baseline, evaluation, healthy, f)) for f in out]
            return [(f, shape, _score(baseline, f, shape)) for f, shape in shapes]
    return []


def last_evaluation(baseline: InputFaultBaseline, mean: Floats) -> Evaluation:
    """Return the evaluation that ends with the last of some whole days of hourly means."""
    days = filled(mean, baseline.daily_profile)[-EVALUATION_DAYS:]
    return _of_days(baseline, days)[0]


def _evaluations(baseline: InputFaultBaseline, mean: Floats) -> list[Evaluation]:
    """Return the evaluations that end with each day, as soon as there are enough."""
    return _of_days(baseline, filled(mean, baseline.daily_profile))


def _of_days(baseline: InputFaultBaseline, days: Floats) -> list[Evaluation]:
    values, departure, yesterday = _cut(days)
    left = departure - (yesterday @ baseline.carry)[:, np.newaxis]
    return [
        Evaluation(values=one, departure=two) for one, two in zip(values, left, strict=True)
    ]


def missing_limit(baseline: InputFaultBaseline) -> Floats:
    """Return the missing share of a day that is beyond what the reference knew."""
    return np.maximum(_BEYOND * baseline.most_missing, _MIN_MISSING)


def missing_share(hours: Hourly) -> Floats:
    """Return the share of missing values per day, shape (day, feature); 0 of none is 0."""
    shape = (-1, HOURS, len(hours.names))
    missing = hours.n_missing.reshape(shape).sum(axis=1)
    total = missing + hours.n.reshape(shape).sum(axis=1)
    share: Floats = missing / np.maximum(total, 1.0)
    return share


def repeated(mean: Floats) -> Flags:
    """Mark hours that repeat the hour before, to rounding."""
    same = np.zeros(mean.shape, dtype=np.bool_)
    same[1:] = np.abs(np.diff(mean, axis=0)) <= rounding(mean[1:])
    return same


def repeat_runs(mean: Floats) -> Floats:
    """Return for how many hours, up to each hour, a feature has repeated itself."""
    same = repeated(mean)
    hour = np.arange(len(mean), dtype=float)[:, np.newaxis]
    moved = np.maximum.accumulate(np.where(same, 0.0, hour), axis=0)
    runs: Floats = hour - moved
    return runs
