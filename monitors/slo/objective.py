"""Service level objective: parameters, tiers of its alert, and state of its budget."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Any

import msgspec

from core.durations import DAY, HOUR, Duration, require_days
from monitors.detail import Detail
from monitors.slo import sli
from monitors.slo.sli import SliUnit

_TICK = timedelta(microseconds=1)


class BudgetState(StrEnum):
    """What an evaluation found; those that are no verdict are kept apart."""

    BURNING = "burning"
    QUIET = "quiet"
    NO_TRAFFIC = "no_traffic"
    UNKNOWN = "unknown"
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
    sli
        The SLI: what makes a prediction, or a slice of time, a bad one.
    sli_params
        Parameters of the SLI; what is absent has its default.
    objective
        Share of predictions that must be good, in (0, 1); None takes that of the SLI.
    period
        For which the objective holds.
    max_staleness
        Without a prediction for so long before the end of the day (event time),
        a budget that does not burn is `no_data`, state `source_stale`.
    by_segment
        Counts of each segment are in the detail, and a breach names those that burn.
    """

    sli: str = "availability"
    sli_params: Mapping[str, Any] = field(default_factory=dict)
    objective: float | None = None
    period: Duration = 30 * DAY
    max_staleness: Duration = DAY
    by_segment: bool = False

    def __post_init__(self) -> None:
        sli.parse(self.sli, self.sli_params)
        if not 0 < self.share < 1:
            raise ValueError("objective must be in (0, 1)")
        require_days("period", self.period)
        if self.max_staleness <= timedelta(0):
            raise ValueError("max_staleness must be positive")
        for tier in TIERS:
            if self.period < tier.long:
                raise ValueError(f"period is shorter than the window of tier {tier.name}")
            factor = tier.factor(self.period)
            if factor * self.budget >= 1:
                raise ValueError(
                    f"objective {self.share} can never fire tier {tier.name}: a burn rate "
                    f"of {float(factor):g} needs at least {float(1 - 1 / factor):.4f}"
                )

    @property
    def share(self) -> float:
        """Share that must be good."""
        return sli.find(self.sli).objective if self.objective is None else self.objective

    @property
    def unit(self) -> SliUnit:
        """What is counted."""
        return sli.find(self.sli).unit

    @property
    def budget(self) -> Fraction:
        """Share that may be bad, exactly as it was written."""
        return 1 - Fraction(str(self.share))


@dataclass(frozen=True, slots=True, kw_only=True)
class TierBurn:
    """The fastest burn of a tier, the factor above which it fires, and whether it does."""

    tier: str
    burn: float
    factor: float
    burning: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """Events of a day."""

    good: int
    bad: int
    unknown: int


class BurnRateDetail(Detail, frozen=True):
    """The state of the budget, its tiers, and the events by version and segment.

    Attributes
    ----------
    consumed, remaining, bad, total, unknown
        Of the period: shares of the budget, and events.
    versions, by_segment
        Events of the day.
    burned_by_segments
        The segments that burn the budget.
    n_failed
        Predictions of the day on which the SLI failed.
    """

    state: BudgetState | None = None
    consumed: float | None = None
    remaining: float | None = None
    bad: int | None = None
    total: int | None = None
    unknown: int | None = None
    tiers: tuple[TierBurn, ...] = ()
    versions: Mapping[str, EventCounts] = msgspec.field(default_factory=dict)
    by_segment: Mapping[str, EventCounts] = msgspec.field(default_factory=dict)
    burned_by_segments: tuple[str, ...] = ()
    n_failed: int = 0
