"""Backtest of an SLO: which tiers would have fired, and when."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
import scipy

from core.window import Window
from monitors.finding import Severity
from monitors.slo.cells import SLICE
from monitors.slo.gates import ALPHA
from monitors.slo.history import BAD, History, slice_at, time_of
from monitors.slo.objective import BurnRateParams, Method
from monitors.slo.reading import SCALE
from monitors.slo.tiers import Tier, tiers
from monitors.summaries.summary import Bools, Ints

Pair: TypeAlias = tuple[Ints, Ints]


@dataclass(frozen=True, slots=True, kw_only=True)
class TierEpisode:
    """A tier that would have burned.

    Attributes
    ----------
    until
        The first newest event with which it does not; None: it still does.
    worst_burn
        Of the long window.
    """

    tier: str
    severity: Severity
    since: datetime
    until: datetime | None
    worst_burn: float


def backtest(history: History, params: BurnRateParams, window: Window) -> list[TierEpisode]:
    """Return when each tier would have burned, oldest first.

    It is evaluated with each part of the history: every ten seconds with an event where
    slices are kept, and every hour where they are not.

    Parameters
    ----------
    history
        Of the window, and of the longest window of a tier before it.
    params
        The definition.
    window
        What is returned.

    Examples
    --------
    >>> from monitors.slo.history import of_slices
    >>> hour = of_slices(np.arange(720), np.array([[10, 0, 0]] * 660 + [[0, 10, 0]] * 60))
    >>> whole = Window(time_of(0), time_of(720))
    >>> first, *_ = backtest(hour, BurnRateParams(objective=0.999), whole)
    >>> first.tier, str(first.since - time_of(660))
    ('page quick', '0:01:10')
    """
    kept, _ = tiers(params.nominal_period, params.budget)
    found = [one for tier in kept for one in _episodes(history, params, tier, window)]
    return sorted(found, key=lambda one: (one.since, one.tier))


def _episodes(
    history: History, params: BurnRateParams, tier: Tier, window: Window
) -> Iterator[TierEpisode]:
    first, end = slice_at(window.start), slice_at(window.end)
    low = max(int(history.ends.searchsorted(first, side="right")), 1)
    high = int(history.ends.searchsorted(end, side="right"))
    if low >= high:
        return
    places = np.arange(low, high)
    bad, total = _counts(history, places, tier.long // SLICE)
    bad_short, total_short = _counts(history, places, tier.short // SLICE)
    limit = tier.factor * params.budget
    share = float(limit)
    fires = (bad > share * total) & (bad_short > share * total_short)
    fires &= _has_evidence(bad, total, fires, params, share)
    edges = np.flatnonzero(np.diff(fires, prepend=False, append=False))
    burn = bad / np.maximum(total, 1) / float(params.budget)
    for start, stop in edges.reshape(-1, 2).tolist():
        is_open = stop == fires.size
        yield TierEpisode(
            tier=tier.name,
            severity=tier.severity,
            since=time_of(int(history.ends[low + start])),
            until=None if is_open else time_of(int(history.ends[low + stop])),
            worst_burn=float(burn[start:stop].max()),
        )


def _counts(history: History, places: Ints, n_slices: int) -> Pair:
    """Return bad and all events of the window that ends with each part."""
    starts = history.ends[places] - n_slices
    before = np.maximum(history.ends.searchsorted(starts, side="right") - 1, 0)
    sums = history.sums[places] - history.sums[before]
    total = sums.sum(axis=1)
    # Time before the first event counts as good, as in an evaluation.
    began = int(history.ends[1]) - 1
    missing = np.clip(began - starts, 0, n_slices - 1)
    total = total + total * missing // np.maximum(n_slices - missing, 1)
    return sums[:, BAD], total


def _has_evidence(
    bad: Ints, total: Ints, fires: Bools, params: BurnRateParams, share: float
) -> Bools:
    scale = SCALE if params.method is Method.RATIO_TIME_SLICES else 1
    enough: Bools = bad >= params.min_failures * scale
    if params.method is not Method.OCCURRENCES:
        return enough
    is_certain = np.zeros(bad.size, dtype=np.bool_)
    at = np.flatnonzero(fires & enough)
    tail = scipy.special.betainc(bad[at], total[at] - bad[at] + 1, share)
    is_certain[at] = tail < ALPHA
    return enough & is_certain
