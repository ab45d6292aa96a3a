"""Tiers of a burn-rate alert: windows, and factors that follow from shares of the budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache

from core.durations import DAY, HOUR, MINUTE
from monitors.finding import Severity, in_words

_TICK = timedelta(microseconds=1)
LEAST_FACTOR = Fraction(9, 10)  # below it, a budget lasts for the period and the tier fires


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Fires when both windows burn faster than `factor`.

    Attributes
    ----------
    severity
        Of its alert.
    long, short
        The long window finds the burn, the short one its end.
    factor
        How many times faster than sustainable the budget burns.
    """

    name: str
    severity: Severity
    long: timedelta
    short: timedelta
    factor: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A tier that an objective cannot have, and why."""

    tier: str
    severity: Severity
    reason: str


# Name, severity, long and short window: chapter 5 of the Site Reliability Workbook.
_WINDOWS = (
    ("page quick", Severity.PAGE, HOUR, 5 * MINUTE),
    ("page slow", Severity.PAGE, 6 * HOUR, 30 * MINUTE),
    ("ticket quick", Severity.TICKET, DAY, 2 * HOUR),
    ("ticket slow", Severity.TICKET, 3 * DAY, 6 * HOUR),
)
# Per mille of the budget that are spent in the long window when a tier fires.
_OF_FOUR_WEEKS = (20, 50, 100, 100)  # and of more: of the workbook
_OF_A_WEEK = (80, 125, 200, 420)  # of Sloth's catalogue for seven days


def shares(period: timedelta) -> tuple[Fraction, ...]:
    """Return which share of the budget is spent as each tier fires, in the order of tiers.

    From 28 days on 2, 5, 10 and 10 %. Between 7 and 28 days the factors of 7 days hold, so
    the shares are those of 7 days times 7 days / period. Below 7 days those of 7 days.

    Examples
    --------
    >>> [float(share) for share in shares(14 * DAY)]
    [0.04, 0.0625, 0.1, 0.21]
    """
    if period >= 28 * DAY:
        return tuple(Fraction(share, 1000) for share in _OF_FOUR_WEEKS)
    less = Fraction(7 * DAY // _TICK, max(period, 7 * DAY) // _TICK)
    return tuple(Fraction(share, 1000) * less for share in _OF_A_WEEK)


@lru_cache(maxsize=1024)
def tiers(period: timedelta, budget: Fraction) -> tuple[tuple[Tier, ...], tuple[LeftOut, ...]]:
    """Return the tiers of an objective, and those that it cannot have.

    Parameters
    ----------
    period
        For which the objective holds.
    budget
        Share that may be bad, in (0, 1).

    Returns
    -------
    tiers, left_out
        Those of which a total outage exceeds the factor; and the others, each with its reason.

    Examples
    --------
    >>> kept, left_out = tiers(30 * DAY, Fraction(1, 10))
    >>> [(tier.name, float(tier.factor)) for tier in kept]
    [('page slow', 6.0), ('ticket quick', 3.0), ('ticket slow', 1.0)]
    >>> left_out[0].reason
    'a total outage burns 10 times too fast, less than 14.4: needs an objective above 0.9306'
    """
    kept, left_out = [], []
    for share, (name, severity, long, short) in zip(shares(period), _WINDOWS, strict=True):
        factor = share * Fraction(period // _TICK, long // _TICK)
        reason = _why_not(period, long, factor, budget)
        if reason:
            left_out.append(LeftOut(tier=name, severity=severity, reason=reason))
        else:
            kept.append(
                Tier(name=name, severity=severity, long=long, short=short, factor=factor)
            )
    return tuple(kept), tuple(left_out)


def _why_not(period: timedelta, long: timedelta, factor: Fraction, budget: Fraction) -> str:
    if long > period:
        return f"its window of {in_words(long)} is longer than the period"
    if factor < LEAST_FACTOR:
        return f"it would fire at {float(factor):.3g} times the sustainable rate"
    if factor * budget >= 1:
        return (
            f"a total outage burns {float(1 / budget):.4g} times too fast, less than "
            f"{float(factor):.4g}: needs an objective above {float(1 - 1 / factor):.4f}"
        )
    return ""


def in_one_line(left_out: tuple[LeftOut, ...]) -> str:
    """Return why there is no tier, for people."""
    by_reason: Mapping[str, str] = {one.tier: one.reason for one in left_out}
    return "; ".join(f"{tier}: {reason}" for tier, reason in by_reason.items())
