"""Robust distance of windows from their baseline, view by view."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from monitors.statistics.folds import folds, is_known
from monitors.statistics.view import Statistic
from monitors.summaries.summary import Floats

# Of what a standardised statistic may add to what counts as ordinary: one odd
# window must not hide itself, nor those like it, by making odd ordinary.
_CLIP = 3.0

# Of a view's covariance, the part that is believed; the rest is taken as
# independent. A year has some fifty windows for up to six statistics.
_BELIEVED = 0.7

# The quantiles that a spread is measured by, on each side of the middle. Nearer
# ones do not know the weeks in which a sensor stood still (on ETTh2, with a
# sixth on either side, noise was found in .71 of weeks for .85).
_EDGE = 0.07
_SPREADS = NormalDist().inv_cdf(1.0 - _EDGE)  # that a normal statistic's edge is away

# Each half of the reference is scored against the other, so that the replayed
# evaluations meet half a year that they have not seen, as live ones will (on Elec2,
# with quarters as in `monitors.drift.input_drift`, .6 of the promise is kept, not 1.0).
_FOLDS = 2

_SQUARE = "wfi,fij,wfj->wf"
_FARTHEST = 1e6  # spreads; farther is not more unusual, and its square is finite


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RobustBaseline:
    """Robust baseline of one view: median, spreads and weights.

    Attributes
    ----------
    middle : (feature, statistic)
        Median.
    below, above : (feature, statistic)
        Spread on either side of it, in units of a standard deviation. A
        statistic that now and then falls far is not forgiven for rising.
        Infinite below where low is no fault.
    weight : (feature, statistic, statistic)
        Inverse of the shrunk covariance of the standardised statistics.
    """

    middle: Floats
    below: Floats
    above: Floats
    weight: Floats

    def standardised(self, statistics: Floats) -> Floats:
        """Return how many ordinary spreads statistics lie from their middle.

        Parameters
        ----------
        statistics : (window, feature, statistic)
            NaN counts as the middle.
        """
        away = statistics - self.middle
        with np.errstate(over="ignore"):
            away = away / np.where(away > 0, self.above, self.below)
        return np.clip(np.nan_to_num(away, nan=0.0), -_FARTHEST, _FARTHEST)


def robust_baseline(statistics: Floats, parts: Sequence[Statistic]) -> RobustBaseline:
    """Fit the robust baseline on windows, treating all alike.

    Parameters
    ----------
    statistics : (window, feature, statistic)
        NaN is left out.
    parts
        Their grains.
    """
    low, middle, high = _quantiles(statistics, (_EDGE, 0.5, 1.0 - _EDGE))
    grain = np.array([part.grain for part in parts])
    floor = 1e-9 * np.abs(middle) + np.finfo(float).tiny
    alone = RobustBaseline(
        middle=middle,
        below=np.where(
            [part.less is None for part in parts],
            np.inf,
            np.hypot((middle - low) / _SPREADS, grain) + floor,
        ),
        above=np.hypot((high - middle) / _SPREADS, grain) + floor,
        weight=np.eye(len(parts)),
    )
    away = np.clip(alone.standardised(statistics), -_CLIP, _CLIP)
    n = np.maximum(np.isfinite(statistics).any(axis=2).sum(axis=0), 1)
    together = np.einsum("wfi,wfj->fij", away, away) / n[:, np.newaxis, np.newaxis]
    shrunk = _BELIEVED * together + (1.0 - _BELIEVED) * alone.weight
    return replace(alone, weight=np.linalg.inv(shrunk))


def _quantiles(statistics: Floats, shares: tuple[float, ...]) -> list[Floats]:
    """Return quantiles over windows; 0 where there is no window at all."""
    ordered = np.sort(statistics, axis=0)  # NaN last
    n = np.isfinite(statistics).sum(axis=0)
    found = []
    for share in shares:
        at = share * np.maximum(n - 1, 0)
        below = np.floor(at).astype(int)[np.newaxis]
        above = np.minimum(below + 1, np.maximum(n - 1, 0))
        low = np.take_along_axis(ordered, below, axis=0)[0]
        high = np.take_along_axis(ordered, above, axis=0)[0]
        part = at - below[0]
        found.append(np.where(n > 0, low * (1 - part) + high * part, 0.0))
    return found


def distance(statistics: Floats, robust_baseline: RobustBaseline) -> Floats:
    """Return the Mahalanobis distance of windows from the baseline, for one view.

    Parameters
    ----------
    statistics : (window, feature, statistic)
        A statistic that is NaN is left out.

    Returns
    -------
    (window, feature)
        NaN where all statistics are.
    """
    away = robust_baseline.standardised(statistics)
    parts = away, robust_baseline.weight, away
    order = _order(*(part.shape for part in parts))
    square = np.einsum(_SQUARE, *parts, optimize=order)
    return np.where(np.isfinite(statistics).any(axis=2), np.sqrt(square), np.nan)


@lru_cache(maxsize=256)
def _order(*shapes: tuple[int, ...]) -> list[str | tuple[int, ...]]:
    """Return the order in which arrays of these shapes are multiplied: searching takes long."""
    return np.einsum_path(_SQUARE, *map(np.empty, shapes), optimize=True)[0]


def distances(
    statistics: Sequence[Floats], robust_baselines: Sequence[RobustBaseline]
) -> Floats:
    """Return the distance in each view; (window, feature, view)."""
    return np.stack(
        [distance(seen, own) for seen, own in zip(statistics, robust_baselines, strict=True)],
        axis=2,
    )


def robust_baselines(
    seen: Sequence[Floats], parts: Sequence[Sequence[Statistic]]
) -> tuple[RobustBaseline, ...]:
    """Fit the robust baseline of each view; `seen` and `parts` are one per view."""
    return tuple(robust_baseline(own, of) for own, of in zip(seen, parts, strict=True))


def scored_apart(
    seen: Sequence[Floats], parts: Sequence[Sequence[Statistic]], overlap: int
) -> Floats:
    """Score each half of the windows against the other.

    Parameters
    ----------
    seen : (window, feature, statistic), one per view
        In time order.
    parts
        The statistics of each view.
    overlap
        So many windows on either side share hours with a half, and teach it nothing.

    Returns
    -------
    (window, feature, view)
    """
    n = len(seen[0])
    scored = []
    for start, end in folds(is_known(seen[0]), _FOLDS):
        others = np.r_[0 : max(start - overlap, 0), min(end + overlap, n) : n]
        learnt = robust_baselines([own[others] for own in seen], parts)
        scored.append(distances([own[start:end] for own in seen], learnt))
    return np.concatenate(scored)


def farthest(away: Floats, share: float) -> Floats:
    """Return the typical distance of the farthest windows: makes views comparable.

    Parameters
    ----------
    away : (window, feature, view)
        Less than one ordinary spread, and NaN, count as one.
    share
        How many of the known windows are asked; at least one.

    Returns
    -------
    (feature, view)
        Geometric mean, at least 1.

    Examples
    --------
    >>> away = np.array([0.1, 2.0, 0.2, 8.0]).reshape(4, 1, 1)
    >>> farthest(away, share=0.5).item()
    4.0
    """
    n = max(round(share * int(is_known(away).sum())), 1)
    far = np.sort(np.maximum(np.nan_to_num(away), 1.0), axis=0)[-n:]
    typical: Floats = np.exp(np.log(far).mean(axis=0))
    return typical
