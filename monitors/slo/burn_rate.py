"""Burn rate of the error budget: two windows per tier, exact counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

import numpy as np

from core.window import Window
from monitors.finding import Finding, Json, Outcome
from monitors.slo.slices import Slices

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_TICK = timedelta(microseconds=1)
SLICE = timedelta(minutes=5)  # of event time, that windows are sums of
MIN_FAILURES = 3  # a single failure at night is not an outage, whatever its share


class Indicator(StrEnum):
    """What makes a prediction a bad one."""

    AVAILABILITY = "availability"
    LATENCY = "latency"


class State(StrEnum):
    """What an evaluation found; those that are no verdict are kept apart."""

    BURNING = "burning"
    QUIET = "quiet"
    NO_TRAFFIC = "no_traffic"
    NO_LATENCY = "no_latency"
    SOURCE_STALE = "source_stale"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Fires when both windows burn so fast that `budget_share` is spent in the long one.

    Attributes
    ----------
    long, short
        The long window finds the burn, the short one its end.
    budget_share
        Of the budget of the whole period.
    """

    name: str
    long: timedelta
    short: timedelta
    budget_share: Fraction

    def factor(self, period: timedelta) -> Fraction:
        """Return how many times faster than sustainable the budget must burn.

        Examples
        --------
        >>> float(TIERS[0].factor(timedelta(days=30)))
        14.4
        """
        return self.budget_share * Fraction(period // _TICK, self.long // _TICK)


# Chapter 5 of the Site Reliability Workbook: the shares, not the factors, which depend
# on the period.
TIERS = (
    Tier(name="quick", long=HOUR, short=HOUR / 12, budget_share=Fraction(2, 100)),
    Tier(name="slow", long=6 * HOUR, short=HOUR / 2, budget_share=Fraction(5, 100)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRateParams:
    """A service level objective.

    Attributes
    ----------
    indicator
        `availability`: an error or a time-out is bad. `latency`: so is an
        answer slower than `slower_than_seconds`; a prediction without a latency
        is unknown, neither good nor bad.
    objective
        Share of predictions that must be good, in (0, 1).
    period_days
        For which the objective holds.
    slower_than_seconds
        For `latency`.
    max_staleness_seconds
        Without a prediction for so long before the end of the day (event time),
        a budget that does not burn is `no_data`, state `source_stale`.
    """

    indicator: Indicator = Indicator.AVAILABILITY
    objective: float = 0.99
    period_days: int = 30
    slower_than_seconds: float = 1.0
    max_staleness_seconds: float = 86_400.0

    def __post_init__(self) -> None:
        if not 0 < self.objective < 1:
            raise ValueError("objective must be in (0, 1)")
        if self.slower_than_seconds <= 0 or self.max_staleness_seconds <= 0:
            raise ValueError("durations must be positive")
        for tier in TIERS:
            if self.period < tier.long:
                raise ValueError(f"period_days is shorter than the window of tier {tier.name}")
            factor = tier.factor(self.period)
            if factor * self.budget >= 1:
                raise ValueError(
                    f"objective {self.objective} can never fire tier {tier.name}: a burn rate "
                    f"of {float(factor):g} needs at least {float(1 - 1 / factor):.4f}"
                )

    @property
    def period(self) -> timedelta:
        """For which the objective holds."""
        return timedelta(days=self.period_days)

    @property
    def max_staleness(self) -> timedelta:
        """How long before the end of the day predictions may have stopped."""
        return timedelta(seconds=self.max_staleness_seconds)

    @property
    def budget(self) -> Fraction:
        """Share of predictions that may be bad, exactly as it was written."""
        return 1 - Fraction(str(self.objective))


def burns(bad: int, total: int, factor: Fraction, budget: Fraction) -> bool:
    """Return whether bad / total exceeds factor x budget, in whole numbers.

    Floats would round 14.4 times 0.001 to either side.

    Examples
    --------
    >>> burns(144, 10_000, Fraction(144, 10), Fraction(1, 1000))
    False
    >>> burns(145, 10_000, Fraction(144, 10), Fraction(1, 1000))
    True
    """
    return total > 0 and Fraction(bad, total) > factor * budget


def evaluate(slices: Slices, params: BurnRateParams, as_of: datetime) -> Finding:
    """Evaluate the budget at `as_of`, and at each slice of the day before.

    An outage that began and ended between two evaluations has burnt all the same, so
    that every slice since the last one is evaluated by itself.

    Parameters
    ----------
    slices
        Of the whole period before `as_of`, by version. The objective is the
        service's: all versions count together, as users are served by all of them.
    params
        The objective.
    as_of
        Event time.

    Returns
    -------
    Finding
        `value` is the fastest burn of any long window, `threshold` its tier's
        factor. The detail holds the state, what is consumed of the budget, each
        tier, the counts of each version on the last day, and under `burned_by` the
        versions that burn so fast by themselves. `NO_DATA` without traffic, without
        any latency, or when predictions stopped long before the end of the day.

    References
    ----------
    .. [1] B. Beyer et al., "The Site Reliability Workbook", O'Reilly, 2018, chapter 5.
    """
    window = Window(as_of - DAY, as_of)
    total = slices.total
    if min(part.min(initial=0) for part in (total.good, total.bad, total.unknown)) < 0:
        return _undecided(window, State.INVALID, "negative counts", Outcome.ERROR)
    if not sum(total.sums(slices.last(DAY))):
        return _without_traffic(slices, params, as_of)
    tiers = [_fastest(slices, tier, params) for tier in TIERS]
    burning = [tier for tier in tiers if tier.burned_by]
    if not burning and (found := _unsure(slices, params, as_of)) is not None:
        return found
    top = max(burning or tiers, key=lambda tier: tier.burn)
    good, bad, unknown = total.sums(slices.last(params.period))
    consumed = Fraction(bad, good + bad) / params.budget
    return Finding(
        outcome=Outcome.BREACH if burning else Outcome.OK,
        value=float(top.burn),
        threshold=float(top.factor),
        window=window,
        cause=_cause(params, top, consumed) if burning else "",
        detail={
            "state": State.BURNING if burning else State.QUIET,
            "consumed": float(consumed),
            "remaining": float(1 - consumed),
            "bad": bad,
            "total": good + bad,
            "unknown": unknown,
            "tiers": [tier.to_json() for tier in tiers],
            "versions": _by_version(slices),
            "burned_by": [*top.burned_by],
        },
    )


def _without_traffic(slices: Slices, params: BurnRateParams, as_of: datetime) -> Finding:
    window, newest = Window(as_of - DAY, as_of), _newest(slices, as_of)
    if newest is None:
        cause = f"no prediction was served in {params.period_days} days"
        return _undecided(window, State.NO_TRAFFIC, cause)
    if as_of - newest >= params.max_staleness:
        return _stale(window, newest)
    return _undecided(window, State.NO_TRAFFIC, "no prediction was served on this day")


def _unsure(slices: Slices, params: BurnRateParams, as_of: datetime) -> Finding | None:
    """Return why a budget that does not burn is not known to be sound; None where it is."""
    window, newest = Window(as_of - DAY, as_of), _newest(slices, as_of)
    if newest is not None and as_of - newest >= params.max_staleness:
        return _stale(window, newest)
    good, bad, unknown = slices.total.sums(slices.last(DAY))
    if good + bad == 0:
        cause = f"none of the {unknown:,} predictions of this day has a latency"
        found = _undecided(window, State.NO_LATENCY, cause)
        return replace(found, detail={**found.detail, "versions": _by_version(slices)})
    return None


def _stale(window: Window, newest: datetime) -> Finding:
    cause = f"no prediction since {newest:%Y-%m-%d %H:%M} UTC"
    return _undecided(window, State.SOURCE_STALE, cause)


def _newest(slices: Slices, as_of: datetime) -> datetime | None:
    """Return the end of the newest slice with a prediction."""
    total = slices.total
    there = np.flatnonzero(total.good + total.bad + total.unknown)
    if not there.size:
        return None
    return as_of - (len(total.good) - 1 - int(there[-1])) * slices.width


@dataclass(frozen=True, slots=True, kw_only=True)
class _Burn:
    """The fastest burn of one tier.

    Attributes
    ----------
    burned_by
        When the tier fires: versions whose own predictions of the long window burn
        faster than the factor, each with bad and total. At least one does.
    n_versions
        That served in the long window.
    """

    tier: str
    burn: Fraction
    factor: Fraction
    burned_by: Mapping[str, tuple[int, int]]
    n_versions: int

    def to_json(self) -> dict[str, Json]:
        return {
            "tier": self.tier,
            "burn": float(self.burn),
            "factor": float(self.factor),
            "burning": bool(self.burned_by),
        }


def _fastest(slices: Slices, tier: Tier, params: BurnRateParams) -> _Burn:
    """Find the fastest burn of the last day at which the tier fires, or of all."""
    n_day = DAY // slices.width
    bad_long, total_long = _trailing(slices, tier.long, n_day)
    bad_short, total_short = _trailing(slices, tier.short, n_day)
    factor, budget = tier.factor(params.period), params.budget  # fractions: made once
    fires = [
        bad >= MIN_FAILURES
        and burns(bad, total, factor, budget)
        and burns(short, n_short, factor, budget)
        for bad, total, short, n_short in zip(
            bad_long, total_long, bad_short, total_short, strict=True
        )
    ]
    shares = [
        Fraction(bad, total) / budget if bad else Fraction(0)
        for bad, total in zip(bad_long, total_long, strict=True)
    ]
    places = [i for i, fired in enumerate(fires) if fired] or range(len(shares))
    top = max(places, key=lambda i: (shares[i], bad_long[i]))
    end = len(slices.total.bad) - len(shares) + 1 + top
    long = slice(max(end - max(1, tier.long // slices.width), 0), end)
    served = {name: counts.sums(long) for name, counts in slices.versions.items()}
    known = {name: (bad, good + bad) for name, (good, bad, _) in served.items() if good + bad}
    return _Burn(
        tier=tier.name,
        burn=shares[top],
        factor=factor,
        burned_by={
            name: (bad, total)
            for name, (bad, total) in sorted(known.items())
            if fires[top] and burns(bad, total, factor, budget)
        },
        n_versions=len(known),
    )


def _trailing(
    slices: Slices, duration: timedelta, n_evaluations: int
) -> tuple[Sequence[int], Sequence[int]]:
    """Return bad and total of the window that ends with each of the last slices."""
    n = max(1, duration // slices.width)
    total, sums = slices.total, []
    for counts in (total.bad, total.bad + total.good):
        running = np.concatenate([[0], np.cumsum(counts)])
        ends = np.arange(max(1, len(counts) - n_evaluations + 1), len(counts) + 1)
        sums.append((running[ends] - running[np.maximum(ends - n, 0)]).tolist())
    return sums[0], sums[1]


def _by_version(slices: Slices) -> dict[str, Json]:
    """Return what each version served on the last day."""
    found: dict[str, Json] = {}
    for name, counts in sorted(slices.versions.items()):
        good, bad, unknown = counts.sums(slices.last(DAY))
        if good + bad + unknown:
            found[name] = {"good": good, "bad": bad, "unknown": unknown}
    return found


def _cause(params: BurnRateParams, top: _Burn, consumed: Fraction) -> str:
    message = (
        f"{params.indicator} burns {float(top.burn):.1f} times too fast "
        f"({top.tier} window), {float(consumed):.0%} of the budget is spent"
    )
    if top.n_versions < 2:
        return message
    by = ", ".join(f"{v} ({bad:,} of {n:,} bad)" for v, (bad, n) in top.burned_by.items())
    return f"{message}; burned by {by}"


def _undecided(
    window: Window, state: State, cause: str, outcome: Outcome = Outcome.NO_DATA
) -> Finding:
    return Finding(
        outcome=outcome,
        value=None,
        threshold=None,
        window=window,
        cause=cause,
        detail={"state": state},
    )
