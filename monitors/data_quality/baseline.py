"""Baseline of data quality: missing values, gaps, repeats and ranges of the reference.

The arithmetic behind `monitors.data_quality.data_quality`: it knows days and shares, not
findings.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from monitors.false_alarms.threshold import episodes, fit_threshold, middle_and_spread
from monitors.false_alarms.warm_up import MIN_WINDOWS, WarmingUp
from monitors.summaries.daily import Daily
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Bools, Floats

WEEK = 7  # days
_MIN_WEEKS = 3  # that must agree before an hour is expected
_ALIVE = 4  # days of a week with a value: in a week of silence no hour is absent by habit

# A feature that hardly varies: how much of the floor counts as its spread.
_LEAST_SCALE = 0.5

# A day without any spread is odd only where no day came near to it.
_LEAST_SPREAD = 0.1  # of the typical spread of a day


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Habit:
    """Number of weeks in which an hour of the week had a value, and of all weeks.

    Attributes
    ----------
    seen, weeks : (day of the week, hour, feature)
        Day 0 is a Thursday, as 1970-01-01 was.
    """

    seen: Floats
    weeks: Floats

    def __add__(self, other: "Habit") -> "Habit":
        return Habit(seen=self.seen + other.seen, weeks=self.weeks + other.weeks)

    @property
    def expected(self) -> Bools:
        """Which hours always had a value, in three weeks at least."""
        found: Bools = (self.weeks >= _MIN_WEEKS) & (self.seen == self.weeks)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataQualityBaseline:
    """Fitted baseline of data quality; depends on reference and parameters only.

    Attributes
    ----------
    names
        The features.
    n_days
        Days of the reference with any value.
    habit
        When values come.
    median, limit
        By fact, each (feature,): the median over the days of the reference,
        and what is beyond it.
    low, span : (feature,)
        The smallest value, and the way to the largest; NaN for a category.
    spread : (feature,)
        The typical way from a day's smallest value to its largest; NaN where a
        day without any is nothing new.
    n : (feature,)
        Values of a typical day. NaN while fewer than 19 days of the reference hold a
        value: the feature has no reference, and is not evaluated.
    unknown : (feature, bin)
        Categories that the reference never had.
    promised_days, achieved_days
        Between false alarms: as asked for, and as replayed; None if none.
    """

    names: tuple[str, ...]
    n_days: int
    habit: Habit
    median: Mapping[str, Floats]
    limit: Mapping[str, Floats]
    low: Floats
    span: Floats
    spread: Floats
    n: Floats
    unknown: Bools
    promised_days: float
    achieved_days: float | None


def share(part: Floats, whole: Floats) -> Floats:
    """Return the share, NaN of nothing."""
    found: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return found


def habit(days: Daily, anchor: int) -> Habit:
    """Count in how many weeks each hour of the week had a value.

    Parameters
    ----------
    days
        Any stretch.
    anchor
        Weeks are counted in both directions from this day. Left out are those
        with less than four days of values and the days before the first
        value, by feature, and those that were not read.
    """
    shape = (WEEK, HOURS, len(days.names))
    seen, weeks = np.zeros(shape), np.zeros(shape)
    number = days.first_day + np.arange(len(days))
    alive = _alive(days, anchor)
    np.add.at(seen, number % WEEK, days.has & alive[:, np.newaxis])
    np.add.at(weeks, number % WEEK, np.broadcast_to(alive[:, np.newaxis], days.has.shape))
    return Habit(seen=seen, weeks=weeks)


def _alive(days: Daily, anchor: int) -> Bools:
    """Mark the days of weeks that count, (day, feature)."""
    if not len(days):
        return np.zeros((0, len(days.names)), dtype=np.bool_)
    week = (days.first_day + np.arange(len(days)) - anchor) // WEEK
    week -= week[0]
    has = days.has.any(axis=1)
    n_alive = np.zeros((week[-1] + 1, len(days.names)))
    np.add.at(n_alive, week, has)
    began = np.maximum.accumulate(has, axis=0)
    alive: Bools = (n_alive[week] >= _ALIVE) & began & days.is_read[:, np.newaxis]
    return alive


def _gaps(days: Daily) -> Floats:
    """Count each day's hours without a value that all other weeks have, (day, feature)."""
    whole = habit(days, days.first_day)
    alive = _alive(days, days.first_day)
    number = (days.first_day + np.arange(len(days))) % WEEK
    others = whole.weeks[number] - alive[:, np.newaxis]
    seen = whole.seen[number]  # this day's own hour was not
    gap = ~days.has & (others >= _MIN_WEEKS) & (seen == others)
    found: Floats = gap.sum(axis=1, dtype=np.float64)
    return found


def learn(
    reference: Daily,
    measured: Collection[str],
    floors: Mapping[str, float],
    promised_days: float,
) -> DataQualityBaseline | WarmingUp:
    """Fit the baseline on the days of the reference.

    Parameters
    ----------
    reference
        Days before the model was deployed.
    measured
        The names of the features that are numbers; the others are categories.
    floors
        How much more than in the baseline of `missing`, `repeats` and `gap` is never
        too much.
    promised_days
        Between false alarms, over those three and all features together.

    Returns
    -------
    DataQualityBaseline or WarmingUp
        `WarmingUp` while fewer than 19 days of the reference hold a value.
    """
    there = (reference.n + reference.n_missing).sum(axis=1) > 0
    n_days = int(there.sum())
    if n_days < MIN_WINDOWS:
        return WarmingUp(n_windows=n_days, window_days=1)
    facts = {
        "missing": share(reference.n_missing, reference.n + reference.n_missing),
        "repeats": share(reference.n_repeat, reference.n),
        "gap": np.where(there[:, np.newaxis], _gaps(reference), np.nan),
    }
    each = promised_days * len(facts)
    median = {name: _median(values) for name, values in facts.items()}
    limit = {name: _limit(facts[name], median[name], floors[name], each) for name in facts}
    beyond = [(np.nan_to_num(facts[name]) > limit[name]).any(axis=1) for name in facts]
    n_episodes = episodes(np.logical_or.reduce(beyond), gap=1)
    low, high = reference.low.min(axis=0), reference.high.max(axis=0)
    is_number = np.array([name in measured for name in reference.names], dtype=np.bool_)
    usable = is_number & (high > low)
    return DataQualityBaseline(
        names=reference.names,
        n_days=n_days,
        habit=habit(reference, reference.first_day),
        median=median,
        limit=limit,
        low=np.where(usable, low, np.nan),
        span=np.subtract(high, low, out=np.full(low.shape, np.nan), where=usable),
        spread=_spread(reference),
        n=_median_n(reference),
        unknown=_unknown(reference, is_number),
        promised_days=promised_days,
        achieved_days=n_days / n_episodes if n_episodes else None,
    )


def _limit(values: Floats, median: Floats, floor: float, promised_days: float) -> Floats:
    """Return what the reference shows to be beyond the typical, for each feature.

    The highest score over features is held to the promise, so that twenty
    features do not call twenty times as often.
    """
    _, spread = middle_and_spread(values)
    spread = np.maximum(spread, _LEAST_SCALE * floor)
    median = np.nan_to_num(median)
    known = np.isfinite(values)
    more = np.where(known, values - median, 0.0)
    scores = np.where(more > floor, more / spread, 0.0)
    evaluated = known.any(axis=1)
    if not evaluated.any():
        return median + floor
    joint = np.where(evaluated, scores.max(axis=1, initial=0.0), np.nan)
    threshold = fit_threshold(joint, promised_days, gap=1).value
    limit: Floats = median + np.maximum(floor, threshold * spread)
    return limit


def _spread(days: Daily) -> Floats:
    several = days.n > 1
    spread = np.subtract(days.high, days.low, out=np.full(days.n.shape, np.nan), where=several)
    median = _median(spread)
    least = np.min(spread, axis=0, where=several, initial=np.inf)
    never_still = (several.sum(axis=0) >= MIN_WINDOWS) & (least > _LEAST_SPREAD * median)
    return np.where(never_still, median, np.nan)


def _median_n(days: Daily) -> Floats:
    n = np.where(days.n > 0, days.n, np.nan)
    is_enough = np.isfinite(n).sum(axis=0) >= MIN_WINDOWS
    return np.where(is_enough, _median(n), np.nan)


def _unknown(days: Daily, is_number: Bools) -> Bools:
    counts = days.counts.sum(axis=0)
    is_counted: Bools = ~is_number & (counts.sum(axis=1) > 0)
    never: Bools = (counts == 0) & is_counted[:, np.newaxis]
    return never


def _median(values: Floats) -> Floats:
    """Return the median over days, without what is NaN; NaN of nothing."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    n = np.isfinite(values).sum(axis=0)
    each = np.arange(values.shape[1])
    low, high = ordered[np.maximum(n - 1, 0) // 2, each], ordered[n // 2, each]
    return np.where(n > 0, (low + high) / 2, np.nan)
