"""Mean shift: evaluation of each closed day by accumulated evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.window import Window
from monitors.baselines.daily_evaluations import no_data, what_lacks
from monitors.baselines.segments import like
from monitors.detail import FeatureScore, ScoreDetail
from monitors.drift.daily_levels import BASELINE_DAYS, LIVELY_DAYS, WARM_UP_DAYS, means_before
from monitors.drift.mean_shift import MeanShiftBaseline, in_units, joint, surprises
from monitors.false_alarms.decision import verdict
from monitors.false_alarms.threshold import in_sd, is_constant
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, as_json, figure
from monitors.statistics.e_detector import BETS, accumulate, began, payoff
from monitors.summaries.hourly import HOURS, Hourly, whole_days
from monitors.summaries.summary import Floats, chunk_at, chunk_start

# Evidence is at most so old: an evaluation depends on these days alone.
MEMORY_DAYS = 96
LOOK_BACK = timedelta(days=MEMORY_DAYS + LIVELY_DAYS + BASELINE_DAYS)
# Of the limit. What a bet holds beyond it would only have to be lost again, when the
# level is back, before the alert can resolve.
_CAP = np.exp(2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureShift(FeatureScore):
    """The mean of one feature before and after it moved, and in the reference."""

    mean: float | None = None
    mean_before: float | None = None
    reference_mean: float | None = None
    reference_sd: float | None = None
    since: datetime | None = None


class MeanShiftDetail(ScoreDetail, frozen=True):
    """What moved, since when, and by how much: in standard deviations, and in its unit."""

    features: Mapping[str, FeatureShift] = msgspec.field(default_factory=dict)
    n_weeks: int | None = None
    direction: Literal["up", "down"] | None = None
    effect: float | None = None
    change: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeanShiftEvaluations:
    """Evidence of all closed days, one evaluation per day.

    Attributes
    ----------
    first_day
        The day (since the epoch) that the first evaluation closes.
    joint : (evaluation,)
        The evidence that is compared with the threshold; NaN: no data.
    scores : (evaluation, feature)
        Each feature's evidence alone.
    since : (evaluation, feature)
        The day (since the epoch) from which on the feature is evaluated to have moved.
    before, after : (evaluation, feature)
        Its mean level in the eight weeks before that day, and since then. NaN
        where nothing is known.
    effects : (evaluation, feature)
        The move in standard deviations of the reference's hours, with its sign;
        infinite of a constant that moved.
    """

    first_day: int
    joint: Floats
    scores: Floats
    since: NDArray[np.intp]
    before: Floats
    after: Floats
    effects: Floats


def evaluate_days(
    baseline: MeanShiftBaseline, hours: Hourly, n_evaluations: int | None = None
) -> MeanShiftEvaluations:
    """Evaluate every closed day of `hours`, each as if it were the last.

    Parameters
    ----------
    baseline
        The baseline.
    hours
        Any stretch of the stream. An evaluation reads the 180 days before it.
    n_evaluations
        Only the last so many.
    """
    whole = whole_days(like(hours, baseline.names))
    n_days, first_day = len(whole) // HOURS, whole.first // HOURS
    n_evaluations = n_days if n_evaluations is None else min(n_evaluations, n_days)
    days = in_units(whole, baseline.daily_model)
    seen = surprises(days, baseline.daily_model)
    paid = payoff(seen, baseline.daily_model.price)
    evaluations = np.arange(n_days - n_evaluations, n_days)
    # Laid side by side, (day back, evaluation): each evaluation has its own days.
    at = evaluations + np.arange(1 - MEMORY_DAYS, 1)[:, np.newaxis]
    counts = (at >= _first_stake(baseline, evaluations + first_day) - first_day) & (at >= 0)
    own = np.where(counts[..., np.newaxis, np.newaxis], paid[np.maximum(at, 0)], 0.0)
    stakes = counts[..., np.newaxis] & np.isfinite(seen)[np.maximum(at, 0)]
    n_cells = seen.shape[1] * BETS.size
    cap = _CAP * np.expm1(baseline.alarm_threshold.value) * n_cells
    held = accumulate(own, stakes, cap)[-1]
    start = began(np.where(stakes[..., np.newaxis], own, 0.0))
    best = np.take_along_axis(start, held.argmax(axis=2)[..., np.newaxis], axis=2)[..., 0]
    since = at[best, np.arange(n_evaluations)[:, np.newaxis]]
    before, after = _moved(days, since, evaluations)
    unit, centre = baseline.daily_model.unit, baseline.daily_model.centre
    effects = in_sd((after - before) * unit, baseline.level_mean, baseline.level_sd)
    evidence = joint(held, np.abs(effects) >= baseline.params.min_effect)
    evidence[~np.isfinite(seen[evaluations]).any(axis=1)] = np.nan
    return MeanShiftEvaluations(
        first_day=first_day + n_days - n_evaluations,
        joint=evidence,
        scores=np.log1p(held.mean(axis=2)),
        since=since + first_day,
        before=before * unit + centre,
        after=after * unit + centre,
        effects=effects,
    )


def _first_stake(baseline: MeanShiftBaseline, days: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the first day whose evidence counts at each evaluation.

    What a version has learned from is no evidence against it. An evaluation at the
    days of the reference itself, or at earlier ones, takes all.
    """
    end = baseline.learnt_until // HOURS
    return np.where(days >= end, end, np.iinfo(np.intp).min)


def _moved(
    days: Floats, since: NDArray[np.intp], evaluations: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Return the mean level before and from the start of each feature's evidence."""
    there = np.isfinite(days)
    empty = np.zeros((1, days.shape[1]))
    total = np.concatenate([empty, np.where(there, days, 0.0).cumsum(axis=0)])
    n = np.concatenate([empty, there.cumsum(axis=0)])
    feature = np.arange(days.shape[1])
    start, end = np.maximum(since, 0), evaluations[:, np.newaxis] + 1
    known = n[end, feature] - n[start, feature]
    with_some = np.where(known > 0, known, np.nan)
    after = (total[end, feature] - total[start, feature]) / with_some
    before = means_before(days, (BASELINE_DAYS,))[..., 0]
    return before[start, feature], after


def evaluate(
    baseline: MeanShiftBaseline | WarmingUp, recent: Hourly, as_of: datetime
) -> Finding:
    """Evaluate the last closed day by all evidence that has piled up before it.

    Parameters
    ----------
    baseline
        From `monitors.drift.mean_shift.fit`.
    recent
        The hours before `as_of`; 180 days of them are read.
    as_of
        Event time, timezone-aware.

    Returns
    -------
    Finding
        `value` is the logarithm of the evidence. The detail holds what moved,
        since when, from where to where, and per feature the same. The window
        is the last day; of a breach, all days since the move. `NO_DATA` while
        the reference is too short or the day is unknown.
    """
    end = chunk_at(as_of) // HOURS * HOURS
    window = Window(start=chunk_start(end) - timedelta(days=1), end=chunk_start(end))
    if isinstance(baseline, WarmingUp):
        return no_data(window, str(baseline))
    whole = whole_days(like(recent, baseline.names), end)
    evaluations = evaluate_days(
        baseline, whole.until(end, LOOK_BACK.days * HOURS), n_evaluations=1
    )
    lacks = what_lacks(evaluations.joint, evaluations.first_day, end)
    if lacks:
        last = whole.mean[max(end - HOURS - whole.first, 0) :]  # empty where it stopped before
        is_known = 2 * np.isfinite(last).sum(axis=0).max(initial=0) >= HOURS
        few = f"fewer than {WARM_UP_DAYS} of the {BASELINE_DAYS} days before are known"
        return no_data(window, few if is_known else lacks)
    evidence, limit = float(evaluations.joint[-1]), baseline.alarm_threshold.value
    breach, top = evidence > limit, _top(baseline, evaluations)
    if breach:
        window = Window(start=_since(evaluations, top), end=window.end)
    return verdict(
        baseline.alarm_threshold,
        evidence,
        window,
        lambda: _cause(baseline, evaluations, top),
        _detail(baseline, evaluations, top, breach=breach),
    )


def _since(evaluations: MeanShiftEvaluations, feature: int) -> datetime:
    return chunk_start(int(evaluations.since[-1, feature]) * HOURS)


def _top(baseline: MeanShiftBaseline, evaluations: MeanShiftEvaluations) -> int:
    matters = np.abs(evaluations.effects[-1]) >= baseline.params.min_effect
    return int(np.argmax(np.where(matters, evaluations.scores[-1] + 1.0, 0.0)))


def _cause(baseline: MeanShiftBaseline, evaluations: MeanShiftEvaluations, top: int) -> str:
    before, after = evaluations.before[-1, top], evaluations.after[-1, top]
    way = "up" if after > before else "down"
    effect, sd = evaluations.effects[-1, top], baseline.level_sd[top]
    by = (
        f"{effect:+.2f} SD"
        if np.isfinite(effect)
        else f"{after - before:+.4g} (constant before)"
    )
    return (
        f"{baseline.names[top]}: mean shifted {way} by {by} "
        f"since {_since(evaluations, top):%Y-%m-%d}, "
        f"from {figure(before, sd)} to {figure(after, sd)}"
    )


def _detail(
    baseline: MeanShiftBaseline, evaluations: MeanShiftEvaluations, top: int, *, breach: bool
) -> MeanShiftDetail:
    constant = is_constant(baseline.level_mean, baseline.level_sd)
    features = {
        name: FeatureShift(
            score=as_json(evaluations.scores[-1, i]),
            effect=as_json(evaluations.effects[-1, i]),
            mean=as_json(evaluations.after[-1, i]),
            mean_before=as_json(evaluations.before[-1, i]),
            reference_mean=as_json(baseline.level_mean[i]),
            reference_sd=0.0 if constant[i] else as_json(baseline.level_sd[i]),
            since=_since(evaluations, i),
        )
        for i, name in enumerate(baseline.names)
    }
    effect = evaluations.effects[-1, top]
    return MeanShiftDetail(
        n_weeks=baseline.n_weeks,
        top=baseline.names[top],
        direction="up" if effect > 0 else "down",
        effect=as_json(effect),
        change=as_json(evaluations.after[-1, top] - evaluations.before[-1, top]),
        since=_since(evaluations, top) if breach else None,
        features=features,
    )
