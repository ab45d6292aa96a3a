"""Service level objective: parameters, tiers of its alert, and state of its budget."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any

import msgspec

from core.durations import DAY, HOUR, MINUTE, Duration, require_days, to_text
from core.schema.zone import Zone
from core.window import Window
from monitors.detail import Detail
from monitors.finding import Severity
from monitors.slo import sli
from monitors.slo.cells import SLICE
from monitors.slo.history import EventCounts
from monitors.slo.period import CalendarPeriod, of_calendar
from monitors.slo.sli import NoData, SliUnit
from monitors.slo.tiers import in_one_line, tiers

LONGEST_PERIOD = 366 * DAY
NOMINAL = {
    CalendarPeriod.WEEK: 7 * DAY,
    CalendarPeriod.MONTH: 30 * DAY,
    CalendarPeriod.QUARTER: 91 * DAY,
    CalendarPeriod.YEAR: 365 * DAY,
}


@lru_cache(maxsize=1024)
def _budget(share: float) -> Fraction:
    return 1 - Fraction(str(share))


class BudgetState(StrEnum):
    """What an evaluation found; those that are no verdict are kept apart."""

    BURNING = "burning"
    QUIET = "quiet"
    NO_TRAFFIC = "no_traffic"
    UNKNOWN = "unknown"
    SOURCE_STALE = "source_stale"
    INVALID = "invalid"


class Method(StrEnum):
    """What the budget is made of.

    Events; or slices of time, good when the share of good events reaches a target; or slices
    of which each is as bad as the share of its bad events.
    """

    OCCURRENCES = "occurrences"
    TIME_SLICES = "time_slices"
    RATIO_TIME_SLICES = "ratio_time_slices"


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
        Share that must be good, in (0, 1); None takes that of the SLI.
    period
        For which the objective holds, up to now.
    calendar
        The period is a week, month, quarter or year of the calendar instead.
    zone
        IANA time zone of the calendar; None takes that of the contract.
    method
        What the budget is made of: events, or slices of time.
    slice_width
        Of a slice of time; divides an hour.
    slice_target
        Share of good events from which a slice of `time_slices` is good.
    min_failures
        Bad events, or slices, in the long window below which no tier fires.
    no_data
        What a time without predictions counts as; None takes that of the SLI.
    max_staleness
        Without a prediction for so long, there is no data: state `source_stale`.
    by_segment
        Counts of each segment are in the detail, and a breach names those that burn.
    """

    sli: str = "availability"
    sli_params: Mapping[str, Any] = field(default_factory=dict)
    objective: float | None = None
    period: Duration = 30 * DAY
    calendar: CalendarPeriod | None = None
    zone: str | None = None
    method: Method = Method.OCCURRENCES
    slice_width: Duration = MINUTE
    slice_target: float = 0.95
    min_failures: int = 3
    no_data: NoData | None = None
    max_staleness: Duration = DAY
    by_segment: bool = False

    def __post_init__(self) -> None:
        sli.parse(self.sli, self.sli_params)
        if not 0 < self.share < 1:
            raise ValueError("objective must be in (0, 1)")
        require_days("period", self.period)
        if self.period > LONGEST_PERIOD:
            raise ValueError(f"period must be at most {to_text(LONGEST_PERIOD)}")
        if self.max_staleness <= timedelta(0):
            raise ValueError("max_staleness must be positive")
        if self.slice_width < SLICE or self.slice_width % SLICE or HOUR % self.slice_width:
            raise ValueError("slice_width must divide an hour, and be a multiple of PT10S")
        if not 0 < self.slice_target <= 1:
            raise ValueError("slice_target must be in (0, 1]")
        if self.min_failures < 1:
            raise ValueError("min_failures must be at least 1")
        if self.zone is not None:
            Zone(self.zone)
        kept, left_out = tiers(self.nominal_period, self.budget)
        if not kept:
            why = in_one_line(left_out)
            raise ValueError(f"objective {self.share} can never fire a tier: {why}")

    @property
    def share(self) -> float:
        """Share that must be good."""
        return sli.find(self.sli).objective if self.objective is None else self.objective

    @property
    def unit(self) -> str:
        """What is counted."""
        if self.method is Method.OCCURRENCES:
            return sli.find(self.sli).unit
        return SliUnit.TIME_SLICES

    @property
    def budget(self) -> Fraction:
        """Share that may be bad, exactly as it was written."""
        return _budget(self.share)

    @property
    def without_data(self) -> NoData:
        """What a time without predictions counts as."""
        return sli.find(self.sli).no_data if self.no_data is None else self.no_data

    @property
    def nominal_period(self) -> timedelta:
        """The period, or about how long it is in the calendar."""
        return self.period if self.calendar is None else NOMINAL[self.calendar]

    @property
    def longest_period(self) -> timedelta:
        """How far back events count."""
        return self.period if self.calendar is None else self.calendar.longest

    def period_at(self, at: datetime, zone: str) -> Window:
        """Return the period that an instant is in, whole if it is of the calendar.

        Parameters
        ----------
        at
            Event time: the end of a rolling period.
        zone
            Of the contract.
        """
        if self.calendar is None:
            return Window(at - self.period, at)
        return of_calendar(self.calendar, self.zone or zone, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierBurn:
    """What a tier measured, and its three gates.

    Attributes
    ----------
    burn, burn_short
        Of the long and of the short window; unknown events count as good. Both must exceed
        `factor`.
    burn_high
        Of the long window, if all unknown events were bad.
    bad, total, fewest_bad
        Of the long window; with fewer bad ones the tier does not fire: fewer than
        `min_failures`, or no evidence at 5 % that their share exceeds the limit. None: no
        number of bad ones is evidence.
    burning
        All gates hold.
    exceeds_in_seconds, fires_in_seconds
        When the burn of both windows will exceed the factor, and when all gates will hold, at
        the error rate of the newest minute; None: not at this rate.
    """

    tier: str
    severity: Severity
    burn: float
    burn_short: float
    burn_high: float
    factor: float
    bad: float
    total: float
    fewest_bad: int | None
    burning: bool
    exceeds_in_seconds: float | None = None
    fires_in_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhaustion:
    """When the budget will be spent at the rate of the last six hours; 0 where it is.

    `low_seconds` and `high_seconds` follow from the interval of the rate at 90 %; None: never.
    """

    seconds: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None


class BurnRateDetail(Detail, frozen=True):
    """The state of the budget, its tiers, and the events by version and segment.

    Attributes
    ----------
    period
        Of the calendar; None of a rolling one, which ends with the newest event.
    consumed, remaining, bad, total, unknown
        Of the period so far: shares of the budget, and events (or slices of time).
    consumed_of_forecast
        Share of the budget of the whole period, of which the events are estimated; None where
        the period is over with its newest event.
    exhaustion
        Without figures while the budget lasts.
    versions, by_segment
        Events of the day.
    burned_by_segments
        The segments that burn the budget.
    n_failed
        Predictions of the newest hours on which the SLI failed.
    """

    state: BudgetState | None = None
    period: Window | None = None
    consumed: float | None = None
    remaining: float | None = None
    consumed_of_forecast: float | None = None
    bad: int | None = None
    total: int | None = None
    unknown: int | None = None
    tiers: tuple[TierBurn, ...] = ()
    exhaustion: Exhaustion | None = None
    versions: Mapping[str, EventCounts] = msgspec.field(default_factory=dict)
    by_segment: Mapping[str, EventCounts] = msgspec.field(default_factory=dict)
    burned_by_segments: tuple[str, ...] = ()
    n_failed: int = 0
