"""Burn rate of the error budget: two windows per tier, exact counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from core.durations import DAY
from core.window import Window
from monitors.finding import Finding, Outcome
from monitors.slo.objective import (
    TIERS,
    BudgetState,
    BurnRateDetail,
    BurnRateParams,
    EventCounts,
    Tier,
    TierBurn,
)
from monitors.slo.slices import Counts, Slices

SLICE = timedelta(minutes=5)  # of event time, that windows are sums of
MIN_FAILURES = 3  # a single failure at night is not an outage, whatever its share


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
        Segments only where the parameters have `by_segment`.
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
        versions that burn so fast by themselves; of segments likewise. `NO_DATA`
        without traffic, when all is unknown, or when predictions stopped long before
        the end of the day.

    References
    ----------
    .. [1] B. Beyer et al., "The Site Reliability Workbook", O'Reilly, 2018, chapter 5.
    """
    window = Window(as_of - DAY, as_of)
    total = slices.total
    if min(part.min(initial=0) for part in (total.good, total.bad, total.unknown)) < 0:
        return _undecided(window, BudgetState.INVALID, "negative counts", Outcome.ERROR)
    if not sum(total.sums(slices.last(DAY))):
        return _without_traffic(slices, params, as_of)
    tiers = [_fastest(slices, tier, params) for tier in TIERS]
    burning = [tier for tier in tiers if tier.burned_by]
    if not burning and (found := _unsure(slices, params, as_of)) is not None:
        return found
    top = max(burning or tiers, key=lambda tier: tier.figures.burn)
    good, bad, unknown = total.sums(slices.last(params.period))
    consumed = Fraction(bad, good + bad) / params.budget
    return Finding(
        outcome=Outcome.BREACH if burning else Outcome.OK,
        value=top.figures.burn,
        threshold=top.figures.factor,
        window=window,
        cause=_cause(params, top, consumed) if burning else "",
        detail=BurnRateDetail(
            state=BudgetState.BURNING if burning else BudgetState.QUIET,
            consumed=float(consumed),
            remaining=float(1 - consumed),
            bad=bad,
            total=good + bad,
            unknown=unknown,
            tiers=tuple(tier.figures for tier in tiers),
            versions=_of_day(slices, slices.versions),
            burned_by=tuple(top.burned_by),
            by_segment=_of_day(slices, slices.segments) if params.by_segment else {},
            burned_by_segments=tuple(top.burned_by_segments) if params.by_segment else (),
            n_failed=slices.n_failed,
        ),
    )


def _without_traffic(slices: Slices, params: BurnRateParams, as_of: datetime) -> Finding:
    window, newest = Window(as_of - DAY, as_of), slices.newest(as_of)
    if newest is None:
        cause = f"no prediction was counted in {params.period.days} days"
        return _undecided(window, BudgetState.NO_TRAFFIC, cause)
    if as_of - newest >= params.max_staleness:
        return _stale(window, newest)
    return _undecided(window, BudgetState.NO_TRAFFIC, "no prediction was counted on this day")


def _unsure(slices: Slices, params: BurnRateParams, as_of: datetime) -> Finding | None:
    """Return why a budget that does not burn is not known to be sound; None where it is."""
    window, newest = Window(as_of - DAY, as_of), slices.newest(as_of)
    if newest is not None and as_of - newest >= params.max_staleness:
        return _stale(window, newest)
    good, bad, unknown = slices.total.sums(slices.last(DAY))
    if good + bad == 0:
        cause = f"none of the {unknown:,} {params.unit} of this day has a {_words(params)}"
        if slices.n_failed:
            cause += f"; SLI {params.sli} failed on {slices.n_failed:,} predictions"
        found = _undecided(window, BudgetState.UNKNOWN, cause)
        versions = _of_day(slices, slices.versions)
        return found.with_figures(versions=versions, n_failed=slices.n_failed)
    return None


def _stale(window: Window, newest: datetime) -> Finding:
    cause = f"no prediction since {newest:%Y-%m-%d %H:%M} UTC"
    return _undecided(window, BudgetState.SOURCE_STALE, cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Burn:
    """The fastest burn of one tier.

    Attributes
    ----------
    burned_by
        When the tier fires: versions whose own predictions of the long window burn
        faster than the factor, each with bad and total. At least one does.
    burned_by_segments
        The segments likewise; there may be none.
    n_versions
        That served in the long window.
    """

    figures: TierBurn
    burned_by: Mapping[str, tuple[int, int]]
    burned_by_segments: Mapping[str, tuple[int, int]]
    n_versions: int


def _fastest(slices: Slices, tier: Tier, params: BurnRateParams) -> _Burn:
    """Find the fastest burn of the last day at which the tier fires, or of all."""
    n_day = DAY // slices.width
    bad_long, total_long = slices.trailing(tier.long, n_day)
    bad_short, total_short = slices.trailing(tier.short, n_day)
    factor, budget = tier.factor(params.period), params.budget  # fractions: made once
    some = [i for i, bad in enumerate(bad_long) if bad]  # the others burn nothing
    shares = {i: Fraction(bad_long[i], total_long[i]) / budget for i in some}
    fires = [
        i
        for i in some
        if bad_long[i] >= MIN_FAILURES
        and burns(bad_long[i], total_long[i], factor, budget)
        and burns(bad_short[i], total_short[i], factor, budget)
    ]
    top = max(fires or some, key=lambda i: (shares[i], bad_long[i]), default=0)
    end = len(slices.total.bad) - len(bad_long) + 1 + top
    long = slice(max(end - max(1, tier.long // slices.width), 0), end)
    known, segments = _known(slices.versions, long), _known(slices.segments, long)
    limit = factor * budget if fires else None
    burned_by = _above(known, limit)
    burn, fires_at = float(shares.get(top, 0)), float(factor)
    return _Burn(
        figures=TierBurn(tier=tier.name, burn=burn, factor=fires_at, burning=bool(burned_by)),
        burned_by=burned_by,
        burned_by_segments=_above(segments, limit),
        n_versions=len(known),
    )


def _known(parts: Mapping[str, Counts], long: slice) -> dict[str, tuple[int, int]]:
    """Return bad and total of the parts of which anything is known in a window."""
    served = {name: counts.sums(long) for name, counts in sorted(parts.items())}
    return {name: (bad, good + bad) for name, (good, bad, _) in served.items() if good + bad}


def _above(
    known: Mapping[str, tuple[int, int]], limit: Fraction | None
) -> dict[str, tuple[int, int]]:
    """Return the parts whose share of bad ones exceeds a limit; none without a limit."""
    if limit is None:
        return {}
    return {
        name: (bad, total)
        for name, (bad, total) in known.items()
        if Fraction(bad, total) > limit
    }


def _of_day(slices: Slices, parts: Mapping[str, Counts]) -> dict[str, EventCounts]:
    """Return the counts of each version, or segment, on the last day."""
    found: dict[str, EventCounts] = {}
    for name, counts in sorted(parts.items()):
        good, bad, unknown = counts.sums(slices.last(DAY))
        if good + bad + unknown:
            found[name] = EventCounts(good=good, bad=bad, unknown=unknown)
    return found


def _cause(params: BurnRateParams, top: _Burn, consumed: Fraction) -> str:
    message = (
        f"{_words(params)} burns {top.figures.burn:.1f} times too fast "
        f"({top.figures.tier} window), {float(consumed):.0%} of the budget is spent"
    )
    if top.n_versions > 1:
        message += f"; burned by {_listed(top.burned_by)}"
    if top.burned_by_segments:
        message += f"; in {_listed(top.burned_by_segments)}"
    return message


def _listed(burning: Mapping[str, tuple[int, int]]) -> str:
    return ", ".join(f"{name} ({bad:,} of {n:,} bad)" for name, (bad, n) in burning.items())


def _words(params: BurnRateParams) -> str:
    return params.sli.replace("_", " ")


def _undecided(
    window: Window, state: BudgetState, cause: str, outcome: Outcome = Outcome.NO_DATA
) -> Finding:
    detail = BurnRateDetail(state=state)
    return Finding(outcome=outcome, window=window, cause=cause, detail=detail)
