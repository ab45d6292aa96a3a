"""Linter of SLOs: what a definition can find at some traffic, and how often in vain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, floor

import scipy

from core.durations import DAY, HOUR
from monitors.finding import Severity, in_words
from monitors.slo.gates import fewest
from monitors.slo.objective import BurnRateParams, Method
from monitors.slo.tiers import Tier, tiers

YEAR = 365 * DAY
_MOST_FALSE_PAGES = 1.0  # a year, that are no warning


@dataclass(frozen=True, slots=True, kw_only=True)
class TierLint:
    """What one tier can do.

    Attributes
    ----------
    reason
        Why the objective has no such tier; "" where it has.
    events
        In its long window, at the given traffic.
    detects_after_seconds
        A total outage; None: never, or the traffic is not known.
    false_alarms_per_year
        While exactly as many events are bad as the objective allows, at most: one chance for
        each short window that a binomial number of bad events fires it.
    """

    tier: str
    severity: Severity
    factor: float | None
    reason: str = ""
    events: float | None = None
    detects_after_seconds: float | None = None
    false_alarms_per_year: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lint:
    """What a definition can do.

    Attributes
    ----------
    per_hour
        Events, or slices of time, that were counted lately; None where none were.
    least_per_hour
        Below which no page can fire.
    """

    per_hour: float | None
    least_per_hour: float | None
    tiers: tuple[TierLint, ...]
    warnings: tuple[str, ...]


def lint(params: BurnRateParams, per_hour: float | None) -> Lint:
    """Return what a definition can find, and what is doubtful about it.

    Parameters
    ----------
    params
        The definition; it is valid.
    per_hour
        Events that are counted in an hour; None where that is not known.

    Examples
    --------
    >>> found = lint(BurnRateParams(objective=0.999), 36_000)
    >>> found.tiers[0].detects_after_seconds, found.warnings
    (55.7, ())
    >>> lint(BurnRateParams(objective=0.8), 36_000).warnings[0]
    'no total outage pages: objective 0.8 leaves out page quick, page slow'
    """
    if params.method is not Method.OCCURRENCES:
        per_hour = HOUR / params.slice_width if per_hour else None
    kept, left_out = tiers(params.nominal_period, params.budget)
    found = [_tier(tier, params, per_hour) for tier in kept]
    pages = [tier for tier in kept if tier.severity is Severity.PAGE]
    least = min((params.min_failures * (HOUR / tier.long) for tier in pages), default=None)
    found += [
        TierLint(tier=one.tier, severity=one.severity, factor=None, reason=one.reason)
        for one in left_out
    ]
    return Lint(
        per_hour=per_hour,
        least_per_hour=least,
        tiers=tuple(found),
        warnings=tuple(_warnings(params, found, per_hour)),
    )


def _tier(tier: Tier, params: BurnRateParams, per_hour: float | None) -> TierLint:
    figures = TierLint(tier=tier.name, severity=tier.severity, factor=float(tier.factor))
    if not per_hour:
        return figures
    n = per_hour * (tier.long / HOUR)
    needed = _needed(params, tier, floor(n))
    seconds = false = None
    if needed is not None:
        seconds = round(needed / per_hour * HOUR.total_seconds(), 1)
        chance = float(scipy.special.betainc(needed, n - needed + 1, float(params.budget)))
        false = chance * (YEAR / tier.short)
    return TierLint(
        tier=tier.name,
        severity=tier.severity,
        factor=float(tier.factor),
        events=n,
        detects_after_seconds=seconds,
        false_alarms_per_year=false if needed is not None else 0.0,
    )


def _needed(params: BurnRateParams, tier: Tier, n: int) -> int | None:
    """Return how many bad events of `n` fire a tier; None: no number does."""
    if n < 1:
        return None
    limit = tier.factor * params.budget
    above = max(floor(n * limit) + 1, params.min_failures)
    if params.method is Method.OCCURRENCES:
        return fewest(n, limit, above)
    return above if above <= n else None


def _warnings(
    params: BurnRateParams, found: Sequence[TierLint], per_hour: float | None
) -> list[str]:
    warnings = []
    pages = [one for one in found if one.severity is Severity.PAGE]
    if all(one.reason for one in pages):
        names = ", ".join(one.tier for one in pages)
        warnings.append(f"no total outage pages: objective {params.share} leaves out {names}")
    if not per_hour:
        warnings.append("no traffic is known: nothing is estimated")
        return warnings
    for one in found:
        if not one.reason and one.detects_after_seconds is None:
            warnings.append(
                f"{one.tier} cannot fire: {one.events:.3g} events in its window are no "
                f"evidence, even if all are bad"
            )
        n_false = one.false_alarms_per_year or 0.0
        if one.severity is Severity.PAGE and n_false > _MOST_FALSE_PAGES:
            warnings.append(
                f"{one.tier} pages {ceil(n_false)} times a year in vain, while the objective "
                "is just met"
            )
    slowest = [one.detects_after_seconds for one in pages if one.detects_after_seconds]
    if slowest and min(slowest) > HOUR.total_seconds():
        after = in_words(timedelta(seconds=min(slowest)))
        warnings.append(f"a total outage pages after {after}")
    return warnings
