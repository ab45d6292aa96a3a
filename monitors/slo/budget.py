"""Error budget of a period: what is consumed, when it is spent, and when a tier will fire."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache

import numpy as np

from core.durations import DAY, HOUR, MINUTE
from core.window import Window
from monitors.slo.cells import SLICE
from monitors.slo.gates import bounds, is_significant
from monitors.slo.history import slice_at
from monitors.slo.objective import BurnRateParams, Exhaustion
from monitors.slo.reading import Counted
from monitors.slo.tiers import Tier
from monitors.summaries.summary import Floats

RECENT = 6 * HOUR  # whose rate is projected
_WEEK = 7 * DAY
_FILLED = 0.95  # of a rolling period with events from its start on
_N_POINTS = 720  # of a projection
_WINDOWS = (3 * SLICE, MINUTE, 5 * MINUTE)  # the first with enough events gives the rate
_ENOUGH = 10
_N_LATER = 180  # twenty seconds each of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The budget of one period.

    Attributes
    ----------
    bad, total, unknown
        Of the period so far; unknown ones are part of the total.
    expected
        Events of the whole period, estimated; None where the newest event ends it.
    consumed
        Share of the budget of the events so far; more than 1 when it is overspent.
    consumed_of_forecast
        Share of the budget of the events that are expected; None without an estimate.
    """

    period: Window
    bad: int
    total: int
    unknown: int
    expected: float | None
    consumed: float
    consumed_of_forecast: float | None

    @property
    def spent(self) -> float:
        """The share that is consumed, of the whole period."""
        if self.consumed_of_forecast is not None:
            return self.consumed_of_forecast
        return self.consumed


def of(counted: Counted, params: BurnRateParams, zone: str) -> Budget:
    """Return the budget of the period that the newest slice is in.

    Parameters
    ----------
    counted
        The events.
    params
        The objective.
    zone
        Of the contract.
    """
    at = counted.end_at - (timedelta() if params.calendar is None else timedelta.resolution)
    period = params.period_at(at, zone)
    start = slice_at(period.start)
    good, bad, unknown = counted.within(start, counted.end)
    total = good + bad + unknown
    expected = _expected(counted, period, total, is_rolling=params.calendar is None)
    budget = float(params.budget)
    return Budget(
        period=period,
        bad=bad,
        total=total,
        unknown=unknown,
        expected=expected,
        consumed=bad / (budget * total) if total else 0.0,
        consumed_of_forecast=None if not expected else bad / (budget * expected),
    )


def _expected(
    counted: Counted, period: Window, total: int, *, is_rolling: bool
) -> float | None:
    start, stop = slice_at(period.start), slice_at(period.end)
    first = counted.history.first(start)
    if first is None:
        return None
    covered = max(counted.end - max(start, first - 1), 1)
    if is_rolling:
        is_filled = covered >= _FILLED * (stop - start)
        return None if is_filled else total * (stop - start) / covered
    rest = stop - counted.end
    if rest <= 0:
        return None
    # In the weeks before: the same hours of the week.
    shift = -(-rest // (_WEEK // SLICE)) * (_WEEK // SLICE)
    if int(counted.history.ends[1]) <= counted.end - shift:
        return total + sum(counted.history.within(counted.end - shift, stop - shift))
    return total + total * rest / covered


def exhaustion(counted: Counted, params: BurnRateParams, budget: Budget) -> Exhaustion | None:
    """Return when the budget will be spent; None while it lasts at the rate of six hours.

    A rolling period sheds its oldest events meanwhile.
    """
    first = max(counted.end - RECENT // SLICE, min(counted.began, counted.end - 1))
    good, bad, unknown = counted.within(first, counted.end)
    total = good + bad + unknown
    share = float(params.budget)
    if bad <= share * total:
        return None
    rate, scale = total / (counted.end - first), counted.scale
    low, high = bounds(bad / scale, max(total, bad) / scale)

    def seconds(share_bad: float) -> float | None:
        slices = _until_spent(counted, budget, share, rate * share_bad, rate)
        return None if slices is None else slices * SLICE.total_seconds()

    return Exhaustion(
        seconds=seconds(bad / total), low_seconds=seconds(high), high_seconds=seconds(low)
    )


def _until_spent(
    counted: Counted, budget: Budget, share: float, rate_bad: float, rate: float
) -> float | None:
    """Return after how many slices the budget is spent; None: not in a period from now."""
    start, stop = slice_at(budget.period.start), slice_at(budget.period.end)
    if budget.spent >= 1:
        return 0.0
    if budget.expected is not None:
        left = share * budget.expected - budget.bad
        rest = stop - counted.end if stop > counted.end else stop - start
        slices = left / rate_bad if rate_bad > 0 else np.inf
        return float(slices) if slices <= rest else None
    later = np.linspace(0, stop - start, _N_POINTS + 1)
    bad, total = counted.since(start + later.astype(np.int64))
    return crossing(later, bad + rate_bad * later - share * (total + rate * later))


def crossing(at: Floats, excess: Floats) -> float | None:
    """Return where a function first reaches 0, between two points in a straight line.

    Parameters
    ----------
    at, excess : (point,)
        Ascending; and the function there.

    Examples
    --------
    >>> crossing(np.array([0.0, 10.0, 20.0]), np.array([-3.0, -1.0, 3.0]))
    12.5
    """
    above = np.flatnonzero(excess >= 0)
    if not above.size:
        return None
    place = int(above[0])
    if place == 0:
        return float(at[0])
    low, high = float(excess[place - 1]), float(excess[place])
    return float(at[place - 1] + (at[place] - at[place - 1]) * -low / (high - low))


def limit_of(params: BurnRateParams, factor: Fraction) -> Fraction:
    """Return the share of bad events above which a budget burns faster than a factor."""
    return factor * params.budget


def forecast(
    counted: Counted, tier: Tier, limit: Fraction, min_failures: int
) -> tuple[float | None, float | None]:
    """Return in how many seconds a tier exceeds its factor, and fires.

    At the error rate, and the traffic, of the newest seconds.

    Parameters
    ----------
    counted
        The events.
    tier
        That does not fire yet.
    limit
        Share of bad events that both windows must exceed.
    min_failures
        And the bad events that the long one must have.

    Returns
    -------
    exceeds, fires
        None: not at this rate. The second is later where the evidence takes more events.
    """
    rate_bad, rate = present_rate(counted)
    share = float(limit)
    if rate_bad <= share * rate:
        return None, None
    long, short = tier.long // SLICE, tier.short // SLICE
    later = _points(long)
    bad, total = _at(counted, long, later, rate_bad, rate)
    bad_short, total_short = _at(counted, short, later, rate_bad, rate)
    excess = np.minimum(bad - share * total, bad_short - share * total_short)
    exceeds = crossing(later, excess)
    above = np.flatnonzero(excess >= 0)
    # The evidence grows with time: the first point at which there is enough.
    place = bisect_left(
        above.tolist(),
        True,
        key=lambda i: is_evidence(
            float(bad[i]) / counted.scale,
            float(total[i]) / counted.scale,
            share,
            min_failures,
        ),
    )
    fires = float(later[above[place]]) if place < above.size else None
    seconds = SLICE.total_seconds()
    return (
        None if exceeds is None else exceeds * seconds,
        None if fires is None else fires * seconds,
    )


@lru_cache(maxsize=64)
def _points(window: int) -> Floats:
    """Return the slices, from now on, at which a tier with such a window is forecast."""
    return np.linspace(0, window, _N_LATER + 1)


def is_evidence(bad: float, total: float, share: float, min_failures: int) -> bool:
    """Return whether the second and third gate hold.

    Examples
    --------
    >>> is_evidence(2, 2, 0.01, 3), is_evidence(3, 3, 0.01, 3)
    (False, True)
    """
    return bad >= min_failures and is_significant(bad, max(total, bad), share)


def present_rate(counted: Counted) -> tuple[float, float]:
    """Return bad and all events per slice of the newest seconds, at most five minutes."""
    bad = total = 0
    n = 1
    for window in _WINDOWS:
        good, bad, unknown = counted.last(window)
        total, n = good + bad + unknown, window // SLICE
        if total >= _ENOUGH * counted.scale:
            break
    return bad / n, total / n


def _at(
    counted: Counted, window: int, later: Floats, rate_bad: float, rate: float
) -> tuple[Floats, Floats]:
    """Return bad and all events of a window that ends later."""
    starts = counted.end - window + later.astype(np.int64)
    bad, total = counted.since(np.minimum(starts, counted.end))
    added = np.minimum(later, window)
    return bad + rate_bad * added, total + rate * added
