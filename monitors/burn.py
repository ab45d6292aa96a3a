"""Is the error budget burning? Two windows per tier, exact counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

import numpy as np

from core.window import Window
from monitors.finding import Finding, Json, Outcome
from monitors.summary import Ints

HOUR = timedelta(hours=1)
_TICK = timedelta(microseconds=1)
MIN_FAILURES = 3  # a single failure at night is not an outage, whatever its share


class Indicator(StrEnum):
    """What makes a prediction a bad one."""

    AVAILABILITY = "availability"
    LATENCY = "latency"


class State(StrEnum):
    """What an evaluation found; the four that are no verdict are kept apart."""

    BURNING = "burning"
    QUIET = "quiet"
    NO_TRAFFIC = "no_traffic"
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
class BurnParams:
    """A service level objective.

    Attributes
    ----------
    indicator
        `availability`: an error or a time-out is bad. `latency`: so is an
        answer slower than `slower_than_seconds`.
    objective
        Share of predictions that must be good, in (0, 1).
    period_days
        For which the objective holds.
    slower_than_seconds
        For `latency`.
    max_staleness_seconds
        Without an event for so long (event time), nothing is judged.
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
    def budget(self) -> Fraction:
        """Share of predictions that may be bad, exactly as it was written."""
        return 1 - Fraction(str(self.objective))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slices:
    """Counts per slice of event time, without gaps; the last slice ends at `as_of`.

    Attributes
    ----------
    width
        Of one slice.
    good, bad : (slice,)
        The oldest first.
    """

    width: timedelta
    good: Ints
    bad: Ints

    def last(self, duration: timedelta) -> tuple[int, int]:
        """Return bad and total of the newest slices."""
        n = max(1, duration // self.width)
        bad, good = int(self.bad[-n:].sum()), int(self.good[-n:].sum())
        return bad, bad + good


def burns(bad: int, total: int, factor: Fraction, budget: Fraction) -> bool:
    """Tell whether bad / total exceeds factor x budget, in whole numbers.

    Floats would round 14.4 times 0.001 to either side.

    Examples
    --------
    >>> burns(144, 10_000, Fraction(144, 10), Fraction(1, 1000))
    False
    >>> burns(145, 10_000, Fraction(144, 10), Fraction(1, 1000))
    True
    """
    return total > 0 and Fraction(bad, total) > factor * budget


def evaluate(
    slices: Slices, params: BurnParams, watermark: datetime | None, as_of: datetime
) -> Finding:
    """Judge the budget at `as_of`, and at each slice of the day before.

    An outage that began and ended between two looks has burnt all the same,
    so that every slice since the last look is judged as if one had looked then.

    Parameters
    ----------
    slices
        Of the whole period before `as_of`.
    params
        The objective.
    watermark
        Of the source (event time).
    as_of
        Event time.

    Returns
    -------
    Finding
        `value` is the fastest burn of any long window, `threshold` its tier's
        factor. The detail holds the state, what is consumed of the budget, and
        each tier. `NO_DATA` without traffic or with a stale source.

    References
    ----------
    .. [1] B. Beyer et al., "The Site Reliability Workbook", O'Reilly, 2018, chapter 5.
    """
    window = Window(as_of - timedelta(days=1), as_of)
    if slices.bad.min(initial=0) < 0 or slices.good.min(initial=0) < 0:
        return _undecided(window, State.INVALID, "negative counts", Outcome.ERROR)
    stale = timedelta(seconds=params.max_staleness_seconds)
    if watermark is None or as_of - watermark > stale:
        return _undecided(window, State.SOURCE_STALE, "the source has gone silent")
    bad, total = slices.last(params.period)
    if slices.last(timedelta(days=1))[1] == 0:
        return _undecided(window, State.NO_TRAFFIC, "no prediction was served")
    tiers = [_fastest(slices, tier, params) for tier in TIERS]
    burning = [tier for tier in tiers if tier["burning"]]
    top = max(burning or tiers, key=lambda tier: float(str(tier["burn"])))
    consumed = Fraction(bad, total) / params.budget
    return Finding(
        outcome=Outcome.BREACH if burning else Outcome.OK,
        value=float(str(top["burn"])),
        threshold=float(str(top["factor"])),
        window=window,
        cause=_cause(params, top, consumed) if burning else "",
        detail={
            "state": State.BURNING if burning else State.QUIET,
            "consumed": float(consumed),
            "remaining": float(1 - consumed),
            "bad": bad,
            "total": total,
            "tiers": tiers,
        },
    )


def _fastest(slices: Slices, tier: Tier, params: BurnParams) -> dict[str, Json]:
    """Find the fastest burn of the last day at which the tier fires, or of all."""
    n_day = timedelta(days=1) // slices.width
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
    counted = [share for share, fired in zip(shares, fires, strict=True) if fired] or shares
    return {
        "tier": tier.name,
        "burn": float(max(counted)),
        "factor": float(factor),
        "burning": any(fires),
    }


def _trailing(
    slices: Slices, duration: timedelta, n_looks: int
) -> tuple[Sequence[int], Sequence[int]]:
    """Return bad and total of the window that ends with each of the last slices."""
    n = max(1, duration // slices.width)
    sums = []
    for counts in (slices.bad, slices.bad + slices.good):
        running = np.concatenate([[0], np.cumsum(counts)])
        ends = np.arange(max(1, len(counts) - n_looks + 1), len(counts) + 1)
        sums.append((running[ends] - running[np.maximum(ends - n, 0)]).tolist())
    return sums[0], sums[1]


def _cause(params: BurnParams, tier: dict[str, Json], consumed: Fraction) -> str:
    return (
        f"{params.indicator} burns {float(str(tier['burn'])):.1f} times too fast "
        f"({tier['tier']} window), {float(consumed):.0%} of the budget is spent"
    )


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
