"""Burn rate of the error budget: two windows per tier, exact counts, three gates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

from core.durations import DAY, HOUR
from core.window import Window
from monitors.finding import Finding, Outcome, Severity
from monitors.slo import budget as budgets
from monitors.slo.budget import Budget
from monitors.slo.cells import SLICE
from monitors.slo.gates import burns, fewest
from monitors.slo.history import EventCounts, History
from monitors.slo.objective import (
    BudgetState,
    BurnRateDetail,
    BurnRateParams,
    Exhaustion,
    Method,
    TierBurn,
)
from monitors.slo.reading import Counted, SliReading, no_data_of
from monitors.slo.sli import NoData, SliUnit
from monitors.slo.tiers import Tier, tiers

# Of the budget as a whole; both end when it is consumed no faster than it lasts.
GONE_WITHIN = DAY
GONE = Tier(
    name="budget gone in a day",
    severity=Severity.PAGE,
    long=6 * HOUR,
    short=HOUR / 2,
    factor=Fraction(1),
)
SPENT_SHARE = 0.2
SPENT = Tier(
    name="a fifth of the budget spent",
    severity=Severity.TICKET,
    long=DAY,
    short=2 * HOUR,
    factor=Fraction(1),
)


def evaluate(
    reading: SliReading, params: BurnRateParams, as_of: datetime, zone: str = "UTC"
) -> Finding:
    """Evaluate every tier, and the budget, at an instant of event time.

    Parameters
    ----------
    reading
        The events. The objective is the service's: all versions count together, as users are
        served by all of them.
    params
        The objective.
    as_of
        Windows are `[as_of - w, as_of)`, by slices of ten seconds; the open one counts.
    zone
        IANA time zone of the contract.

    Returns
    -------
    Finding
        `value` is the burn of the long window of the tier that burns fastest for its factor,
        `threshold` that factor. The detail holds the state, what is consumed of the budget,
        each tier with its gates, the counts of each version on the last day, and under
        `burned_by` the versions that burn so fast by themselves; of segments likewise.
        `NO_DATA` without traffic, when all is unknown, or when predictions have stopped, as
        far as the SLO leaves it at that.

    References
    ----------
    .. [1] B. Beyer et al., "The Site Reliability Workbook", O'Reilly, 2018, chapter 5.
    """
    is_stale = reading.is_stale(params.max_staleness)
    rule = params.without_data
    missing = no_data_of(reading, rule, is_stale=is_stale, width=_width(params))
    if is_stale and rule in (NoData.GOOD, NoData.BAD):
        as_of = max(as_of, reading.now)
    counted = Counted.of(reading, as_of, params.method, missing)
    if reading.total.sums.size and (reading.total.sums[1:] < reading.total.sums[:-1]).any():
        found = _undecided(counted, BudgetState.INVALID, "negative counts", params)
        return replace(found, outcome=Outcome.ERROR, severities=None)
    budget = budgets.of(counted, params, zone)
    projected = budgets.exhaustion(counted, params, budget)
    kept, _ = tiers(budget.period.end - budget.period.start, params.budget)
    burning_of = [_burn(counted, tier, params) for tier in kept]
    burning_of += _of_budget(counted, params, budget, projected)
    burning = [one for one in burning_of if one.figures.burning]
    unsure = None if burning else _unsure(reading, counted, params, is_stale=is_stale)
    if unsure is not None:
        return unsure
    top = max(
        burning or burning_of,
        key=lambda one: (one.figures.severity == Severity.PAGE, one.excess),
    )
    return _decided(
        reading, counted, params, _State(budget, projected, burning_of, burning, top)
    )


@dataclass(frozen=True, slots=True)
class _Burn:
    tier: Tier
    figures: TierBurn
    limit: Fraction

    @property
    def excess(self) -> float:
        return self.figures.burn / self.figures.factor


@dataclass(frozen=True, slots=True)
class _State:
    budget: Budget
    projected: Exhaustion | None
    every: Sequence[_Burn]
    burning: Sequence[_Burn]
    top: _Burn


def _width(params: BurnRateParams) -> timedelta | None:
    """Return how long a slice of time is; None where events are counted."""
    if params.method is not Method.OCCURRENCES:
        return params.slice_width
    return SLICE if params.unit == SliUnit.TIME_SLICES else None


def _burn(counted: Counted, tier: Tier, params: BurnRateParams) -> _Burn:
    """Return what a tier measured; it burns if its gates hold, and what else it asks for."""
    good, bad, unknown = counted.last(tier.long)
    good_short, bad_short, unknown_short = counted.last(tier.short)
    total, total_short = good + bad + unknown, good_short + bad_short + unknown_short
    limit, share = budgets.limit_of(params, tier.factor), float(params.budget)
    needed = _fewest(params, bad, total, limit, counted.scale)
    is_burning = (
        needed is not None
        and bad >= needed * counted.scale
        and burns(bad, total, limit)
        and burns(bad_short, total_short, limit)
    )
    exceeds = fires = None
    if not is_burning:
        exceeds, fires = budgets.forecast(counted, tier, limit, params.min_failures)
    figures = TierBurn(
        tier=tier.name,
        severity=tier.severity,
        burn=bad / (share * total) if total else 0.0,
        burn_short=bad_short / (share * total_short) if total_short else 0.0,
        burn_high=(bad + unknown) / (share * total) if total else 0.0,
        factor=float(tier.factor),
        bad=bad / counted.scale,
        total=total / counted.scale,
        fewest_bad=needed,
        burning=is_burning,
        exceeds_in_seconds=exceeds,
        fires_in_seconds=fires,
    )
    return _Burn(tier, figures, limit)


def _fewest(
    params: BurnRateParams, bad: int, total: int, limit: Fraction, scale: int
) -> int | None:
    """Return how many bad ones the second and third gate ask for.

    Slices of time are equal by declaration, however few events they hold: of them the number
    alone. While nothing is bad, there is no need to know.
    """
    if params.method is not Method.OCCURRENCES or not bad:
        return params.min_failures
    return fewest(total // scale, limit, params.min_failures)


def _of_budget(
    counted: Counted, params: BurnRateParams, budget: Budget, projected: Exhaustion | None
) -> list[_Burn]:
    """Return the burns that fire by what is left of the budget."""
    seconds = None if projected is None else projected.seconds
    is_gone = seconds is not None and seconds <= GONE_WITHIN.total_seconds()
    found = [
        _burn(counted, tier, params)
        for tier, holds in ((GONE, is_gone), (SPENT, budget.spent >= SPENT_SHARE))
        if holds
    ]
    return [one for one in found if one.figures.burning]


def _unsure(
    reading: SliReading, counted: Counted, params: BurnRateParams, *, is_stale: bool
) -> Finding | None:
    """Return why a budget that does not burn is not known to be sound; None where it is."""
    day = counted.end - DAY // SLICE
    good, bad, unknown = reading.total.within(day, counted.end)
    if is_stale:
        assert reading.newest is not None
        cause = f"no prediction since {reading.newest:%Y-%m-%d %H:%M} UTC"
        return _undecided(counted, BudgetState.SOURCE_STALE, cause, params)
    if not good + bad + unknown:
        cause = "no prediction was counted on this day"
        return _undecided(counted, BudgetState.NO_TRAFFIC, cause, params)
    if not good + bad:
        n = unknown // counted.scale
        cause = f"none of the {n:,} {params.unit} of this day has a {_words(params)}"
        if reading.n_failed:
            cause += f"; SLI {params.sli} failed on {reading.n_failed:,} predictions"
        found = _undecided(counted, BudgetState.UNKNOWN, cause, params)
        versions = _of_day(counted, reading.versions)
        return found.with_figures(versions=versions, n_failed=reading.n_failed)
    return None


def _undecided(
    counted: Counted, state: BudgetState, cause: str, params: BurnRateParams
) -> Finding:
    outcome = Outcome.NO_DATA
    if state in (BudgetState.SOURCE_STALE, BudgetState.NO_TRAFFIC):
        outcome = {
            NoData.GOOD: Outcome.OK,
            NoData.ALERT: Outcome.BREACH,
        }.get(params.without_data, Outcome.NO_DATA)
    return Finding(
        outcome=outcome,
        window=Window(counted.end_at - DAY, counted.end_at),
        cause="" if outcome is Outcome.OK else cause,
        detail=BurnRateDetail(state=state),
    )


def _decided(
    reading: SliReading, counted: Counted, params: BurnRateParams, state: _State
) -> Finding:
    budget, top, burning = state.budget, state.top, state.burning
    parts = {
        name: _above(every, counted, top) if burning else {}
        for name, every in (("versions", reading.versions), ("segments", reading.segments))
    }
    burned_by = _burned(parts["versions"])
    by_segment = params.by_segment
    return Finding(
        outcome=Outcome.BREACH if burning else Outcome.OK,
        value=top.figures.burn,
        threshold=top.figures.factor,
        window=Window(counted.end_at - DAY, counted.end_at),
        cause=_cause(params, state, parts) if burning else "",
        severities=tuple(dict.fromkeys(one.tier.severity for one in burning)) or None,
        detail=BurnRateDetail(
            state=BudgetState.BURNING if burning else BudgetState.QUIET,
            period=None if params.calendar is None else budget.period,
            consumed=budget.consumed,
            remaining=1 - budget.consumed,
            consumed_of_forecast=budget.consumed_of_forecast,
            bad=round(budget.bad / counted.scale),
            total=round(budget.total / counted.scale),
            unknown=round(budget.unknown / counted.scale),
            tiers=tuple(one.figures for one in state.every),
            exhaustion=state.projected or Exhaustion(),
            versions=_of_day(counted, reading.versions),
            burned_by=tuple(burned_by),
            by_segment=_of_day(counted, reading.segments) if by_segment else {},
            burned_by_segments=tuple(_burned(parts["segments"])) if by_segment else (),
            n_failed=reading.n_failed,
        ),
    )


def _above(
    parts: Mapping[str, History], counted: Counted, top: _Burn
) -> dict[str, tuple[int, int, bool]]:
    """Return bad and all events of the parts that served, and whether they exceed the limit."""
    found = {}
    first = counted.end - top.tier.long // SLICE
    for name, history in sorted(parts.items()):
        good, bad, unknown = history.within(first, counted.end)
        total = good + bad + unknown
        if total:
            found[name] = (bad, total, burns(bad, total, top.limit))
    return found


def _burned(parts: Mapping[str, tuple[int, int, bool]]) -> list[str]:
    return [name for name, (*_, is_above) in parts.items() if is_above]


def _of_day(counted: Counted, parts: Mapping[str, History]) -> dict[str, EventCounts]:
    """Return the counts of each version, or segment, on the last day."""
    found: dict[str, EventCounts] = {}
    for name, history in sorted(parts.items()):
        counts = history.within(counted.end - DAY // SLICE, counted.end)
        if any(counts):
            good, bad, unknown = (round(n / counted.scale) for n in counts)
            found[name] = EventCounts(good=good, bad=bad, unknown=unknown)
    return found


def _cause(
    params: BurnRateParams,
    state: _State,
    parts: Mapping[str, Mapping[str, tuple[int, int, bool]]],
) -> str:
    figures = state.top.figures
    message = (
        f"{_words(params)} burns {figures.burn:.1f} times too fast ({figures.tier}), "
        f"{state.budget.spent:.0%} of the budget is spent"
    )
    if len(parts["versions"]) > 1:
        message += f"; burned by {_listed(parts['versions'].items())}"
    if any(is_above for *_, is_above in parts["segments"].values()):
        message += f"; in {_listed(parts['segments'].items())}"
    return message


def _listed(parts: Iterable[tuple[str, tuple[int, int, bool]]]) -> str:
    return ", ".join(
        f"{name} ({bad:,} of {n:,} bad)" for name, (bad, n, is_above) in parts if is_above
    )


def _words(params: BurnRateParams) -> str:
    return params.sli.replace("_", " ")
