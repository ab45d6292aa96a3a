"""Data quality: completeness, freshness and range of one event day.

Facts about one event day, each against a limit. Those that a stream has its
own habits of (missing values, repeats, hours without any) are held to what the
days of the reference showed; the others to a number that anybody can name. None
is a change of the modelled process, so none is a reason to retrain.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from core.durations import HOUR
from core.window import Window
from monitors.data_quality.baseline import WEEK, DataQualityBaseline, Habit, habit, learn, share
from monitors.data_quality.flaws import (
    REFUSED,
    DataQualityDetail,
    DataQualityParams,
    DayVolume,
    Fact,
    FeatureQuality,
    Flaw,
)
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, Outcome, as_json
from monitors.summaries.daily import Daily
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Bools, Floats, chunk_at

LOOK_BACK_WEEKS = 5
_LEAST_WEEKS = 2  # of rows, before their typical number is estimated
_MAX_NAMED = 3  # in the sentence for people; the detail has all


def fit(
    reference: Daily, measured: Collection[str], params: DataQualityParams
) -> DataQualityBaseline | WarmingUp:
    """Fit the baseline of data quality on the reference.

    Parameters
    ----------
    reference
        Days before the model was deployed.
    measured
        The names of the features that are numbers; the others are categories.
    params
        How much is too much.

    Returns
    -------
    DataQualityBaseline or WarmingUp
        `WarmingUp` while fewer than 19 days of the reference hold a value.
    """
    floors = {
        "missing": params.min_missing,
        "repeats": params.min_repeats,
        "gap": params.min_gap / HOUR,
    }
    return learn(reference, measured, floors, params.days_between_false_alarms)


def evaluate(
    baseline: DataQualityBaseline | WarmingUp | None,
    recent: Daily,
    volume: DayVolume,
    params: DataQualityParams,
    day: Window,
) -> Finding:
    """Evaluate one event day.

    Parameters
    ----------
    baseline
        From `fit`; None: there is no reference.
    recent
        The days up to the evaluated one, which is the last; five weeks before it
        hold what has become typical since the reference.
    volume
        The rows of the day.
    params
        How much is too much.
    day
        The event day.

    Returns
    -------
    Finding
        `value` is how far the worst fact is beyond its limit: over 1 is a
        breach. The detail holds what is beyond, and the figures by feature.
        `NO_DATA` for a day without rows that nobody expected, and, with
        nothing beyond its limit, while features cannot be evaluated.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    >>> from monitors.summaries.daily import daily
    >>> from monitors.summaries.summary import empty
    >>> none = daily(empty(0), (), day.start, day.end)
    >>> volume = DayVolume(n_rows=97, refused={"range": 3})
    >>> evaluate(None, none, volume, DataQualityParams(), day).cause
    '3.0% of the rows refused: out of range'
    """
    end = chunk_at(day.end) // HOURS
    today, before = recent.until(end, 1), recent.until(end - 1, LOOK_BACK_WEEKS * WEEK)
    found = [flaw for fact in Fact if (flaw := _of_rows(fact, volume, params)) is not None]
    detail = DataQualityDetail(rows=volume.n_rows)
    why = "the champion has no reference" if baseline is None else ""
    if isinstance(baseline, WarmingUp):
        why = str(baseline)
    elif baseline is not None and len(today):
        evaluation = _measure(baseline, today, before, end - 1)
        found += _of_features(baseline, evaluation, params)
        detail = _detail(baseline, evaluation, detail)
    silent = volume.n_rows == 0 and not today.n.any()
    worst = sorted(found, key=lambda flaw: (-flaw.ratio, flaw.fact, flaw.feature or ""))
    flaws = [flaw for flaw in worst if flaw.ratio > 1]
    finding = Finding(
        outcome=Outcome.BREACH if flaws else Outcome.OK,
        value=worst[0].ratio if worst else 0.0,
        threshold=1.0,
        window=day,
        cause=_cause(flaws),
        detail=msgspec.structs.replace(detail, flaws=tuple(flaws)),
    )
    if flaws or not (why or silent):
        return finding
    cause = "no rows" if silent else why
    return replace(finding, outcome=Outcome.NO_DATA, value=None, threshold=None, cause=cause)


def _cause(flaws: Sequence[Flaw]) -> str:
    listed = [str(flaw) for flaw in flaws[:_MAX_NAMED]]
    rest = len(flaws) - len(listed)
    return "; ".join([*listed, f"and {rest} more"] if rest else listed)


def _of_rows(fact: Fact, volume: DayVolume, params: DataQualityParams) -> Flaw | None:
    """Measure a fact about rows; None where it is not known."""
    n_refused = sum(n for why, n in volume.refused.items() if why in REFUSED)
    match fact:
        case Fact.VOLUME:
            days = sorted(n for n in volume.baseline if n > 0)
            if len(days) < _LEAST_WEEKS:
                return None
            typical, limit = float(np.median(days)), params.max_volume_ratio
            value = float(volume.n_rows)
        case Fact.DUPLICATES:
            value = volume.n_duplicates / max(volume.n_rows, 1)
            typical, limit = 0.0, params.max_duplicates
        case _ if fact in REFUSED.values():
            n = sum(n for why, n in volume.refused.items() if REFUSED.get(why) is fact)
            value = n / max(volume.n_rows + n_refused, 1)
            typical, limit = 0.0, params.max_refused
        case _:
            return None
    return Flaw(fact=fact, feature=None, value=value, baseline=typical, limit=limit)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Measured:
    """The figures of one day, each (feature,); NaN: not known."""

    missing: Floats
    repeats: Floats
    gap: Floats
    stale: Floats
    constant: Bools
    beyond: Floats
    new_category: Floats


def _measure(baseline: DataQualityBaseline, today: Daily, before: Daily, day: int) -> _Measured:
    n, counts, has = today.n[0], today.counts[0], today.has[0]
    expected = _expected(baseline.habit, before, day)
    absent = expected & ~has
    later = np.cumsum(has[::-1], axis=0)[::-1] > 0  # a value in this hour or after it
    low, high = today.low[0], today.high[0]
    moved = np.subtract(high, low, out=np.full(n.shape, np.inf), where=n > 0)
    return _Measured(
        missing=share(today.n_missing[0], n + today.n_missing[0]),
        repeats=share(today.n_repeat[0], n),
        gap=absent.sum(axis=0, dtype=np.float64),
        stale=(absent & ~later).sum(axis=0, dtype=np.float64),
        constant=(moved == 0) & (2 * n >= baseline.n) & (n > 1) & np.isfinite(baseline.spread),
        beyond=_beyond(baseline, low, high),
        new_category=share((counts * baseline.unknown).sum(axis=-1), n),
    )


def _expected(known: Habit, before: Daily, day: int) -> Bools:
    """Return which hours of a day should have a value, (hour, feature)."""
    both = known + habit(before, day)
    found: Bools = both.expected[day % WEEK]
    return found


def _beyond(baseline: DataQualityBaseline, low: Floats, high: Floats) -> Floats:
    there = np.isfinite(low) & np.isfinite(baseline.span)
    out = np.full(low.shape, np.nan)
    least, most = baseline.low, baseline.low + baseline.span
    below = np.subtract(least, low, out=out.copy(), where=there)
    above = np.subtract(high, most, out=out.copy(), where=there)
    found: Floats = np.maximum(np.maximum(below, above) / baseline.span, 0.0)
    return found


def _of_features(
    baseline: DataQualityBaseline, evaluation: _Measured, params: DataQualityParams
) -> list[Flaw]:
    none = np.zeros(len(baseline.names))
    figures: Mapping[Fact, tuple[Floats, Floats, Floats]] = {
        Fact.MISSING: (
            evaluation.missing,
            baseline.median["missing"],
            baseline.limit["missing"],
        ),
        Fact.REPEATS: (
            evaluation.repeats,
            baseline.median["repeats"],
            baseline.limit["repeats"],
        ),
        Fact.GAP: (evaluation.gap, baseline.median["gap"], baseline.limit["gap"]),
        # A fact without degrees: twice what is allowed.
        Fact.CONSTANT: (np.where(evaluation.constant, 2.0, none), baseline.spread, none + 1.0),
        Fact.BEYOND: (evaluation.beyond, none, none + params.max_beyond),
        Fact.NEW_CATEGORY: (evaluation.new_category, none, none + params.max_new_category),
    }
    return [
        Flaw(
            fact=fact,
            feature=name,
            value=float(values[i]),
            baseline=as_json(typical[i]),
            limit=float(limits[i]),
        )
        for fact, (values, typical, limits) in figures.items()
        for i, name in enumerate(baseline.names)
        if math.isfinite(values[i]) and math.isfinite(baseline.n[i])
    ]


def _detail(
    baseline: DataQualityBaseline, evaluation: _Measured, rows: DataQualityDetail
) -> DataQualityDetail:
    return msgspec.structs.replace(
        rows,
        promised_days=baseline.promised_days,
        achieved_days=baseline.achieved_days,
        reference_days=baseline.n_days,
        quality={
            name: FeatureQuality(
                missing=as_json(evaluation.missing[i]),
                missing_limit=as_json(baseline.limit["missing"][i]),
                repeats=as_json(evaluation.repeats[i]),
                repeats_limit=as_json(baseline.limit["repeats"][i]),
                gap_hours=as_json(evaluation.gap[i]),
                gap_limit=as_json(baseline.limit["gap"][i]),
                stale_hours=as_json(evaluation.stale[i]),
                constant=bool(evaluation.constant[i]),
                beyond=as_json(evaluation.beyond[i]),
                new_category=as_json(evaluation.new_category[i]),
            )
            for i, name in enumerate(baseline.names)
            if math.isfinite(baseline.n[i])
        },
    )
