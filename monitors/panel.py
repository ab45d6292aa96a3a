"""Do values still follow each other as they did? All views, judged together.

A marginal test does not see a sensor whose hours were shuffled, held or made
noisy. Several views do, each another fault; but asked one by one they raise
several times the false alarms. Here every statistic of every view is measured
in its own ordinary spread, the statistics of a view make one distance, and
the largest distance is the score: its own past says how large is unusual.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitors.conformal import Contract, contract, p_value
from monitors.hourly import HOURS, Hourly, whole_days
from monitors.learning import MIN_WINDOWS, Learning
from monitors.summary import Floats
from monitors.views.autocorrelation import autocorrelation
from monitors.views.company import company
from monitors.views.daily_rhythm import daily_rhythm
from monitors.views.first_difference import first_difference
from monitors.views.noise_floor import noise_floor
from monitors.views.pulse import pulse
from monitors.views.seasonal_difference import seasonal_difference
from monitors.views.spectrum import spectrum
from monitors.views.stuck import stuck
from monitors.views.timing import timing
from monitors.views.view import Statistic, View

Order: TypeAlias = NDArray[np.intp]

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

_FARTHEST = 1e6  # spreads; farther is not more unusual, and its square is finite

# What makes the views comparable is the typical distance among the farthest
# windows: it knows how heavy a view's tail is, and one mad window alone does not
# set it. Of fifty weeks a tenth are asked; of a year of daily looks fewer: one
# restless sensor must not raise the threshold of all.
_OF_WEEKS, _OF_LOOKS = 0.1, 0.03

# Hours of windows, over all features, that a view looks at in one go: 16 MB.
_AT_ONCE = 2**21

# Each half of the reference is scored against the other, so that the replayed
# looks meet half a year that they have not seen, as live ones will (on Elec2,
# with quarters as in `monitors.drift`, .6 of the promise is kept, not 1.0).
_PARTS = 2


def panel_views(season: int = HOURS) -> tuple[View, ...]:
    """Return all views, in the order of the panel.

    Parameters
    ----------
    season
        In hours.
    """
    return (
        daily_rhythm(),
        first_difference(),
        noise_floor(),
        seasonal_difference(season),
        autocorrelation(season),
        spectrum(),
        stuck(),
        pulse(),
        company(),
        timing(),
    )


def measure(hours: Hourly, views: Sequence[View], window: int, step: int) -> tuple[Floats, ...]:
    """Return what each view sees of the same windows.

    Parameters
    ----------
    hours
        Any stretch.
    views
        The first window starts where the one that looks back furthest can
        see all it needs; rounded up to whole days.
    window, step
        In hours.

    Returns
    -------
    (window, feature, statistic), one per view
        NaN where fewer than half of the window's hours hold a value.
    """
    before = lead(views)
    n_windows = max((len(hours) - before - window) // step + 1, 0)
    at_once = max(_AT_ONCE // (max(len(hours.names), 1) * window), 1)
    bounds = [*range(0, n_windows, at_once), n_windows]
    seen = []
    for view in views:
        parts = [np.empty((0, len(hours.names), len(view.parts)))]
        for first, end in itertools.pairwise(bounds):
            start = before - view.before + first * step
            stop = before + (end - 1) * step + window
            part = hours.until(hours.first + stop, stop - start)
            parts.append(view.statistics(part, window, step))
        seen.append(np.concatenate(parts))
    return tuple(seen)


def lead(views: Sequence[View]) -> int:
    """Return how many hours the views need before a window, in whole days."""
    return -(-max(view.before for view in views) // HOURS) * HOURS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Usual:
    """What is ordinary for one view.

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
            NaN counts as the middle: it says nothing.
        """
        away = statistics - self.middle
        with np.errstate(over="ignore"):
            away = away / np.where(away > 0, self.above, self.below)
        return np.clip(np.nan_to_num(away, nan=0.0), -_FARTHEST, _FARTHEST)


def usual(statistics: Floats, parts: Sequence[Statistic]) -> Usual:
    """Learn what is ordinary, treating all windows alike.

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
    alone = Usual(
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
    together = np.einsum("wfi,wfj->fij", away, away) / max(len(away), 1)
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


def distance(statistics: Floats, usual: Usual) -> Floats:
    """Return how far windows lie from what is ordinary (Mahalanobis), for one view.

    Parameters
    ----------
    statistics : (window, feature, statistic)
        A statistic that is NaN says nothing.

    Returns
    -------
    (window, feature)
        NaN where all statistics are.
    """
    away = usual.standardised(statistics)
    square = np.einsum("wfi,fij,wfj->wf", away, usual.weight, away, optimize=True)
    return np.where(np.isfinite(statistics).any(axis=2), np.sqrt(square), np.nan)


def distances(statistics: Sequence[Floats], usuals: Sequence[Usual]) -> Floats:
    """Return the distance in each view; (window, feature, view)."""
    return np.stack(
        [distance(seen, own) for seen, own in zip(statistics, usuals, strict=True)], axis=2
    )


def farthest(away: Floats, share: float) -> Floats:
    """Return the typical distance of the farthest windows: makes views comparable.

    Parameters
    ----------
    away : (window, feature, view)
        Less than one ordinary spread, and NaN, count as one.
    share
        How many of the windows are asked; at least one.

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
    n = max(round(share * len(away)), 1)
    far = np.sort(np.maximum(np.nan_to_num(away), 1.0), axis=0)[-n:]
    typical: Floats = np.exp(np.log(far).mean(axis=0))
    return typical


def symmetric_scores(statistics: Sequence[Floats], views: Sequence[View]) -> Floats:
    """Score each window by all windows, itself included, so that none is special.

    Parameters
    ----------
    statistics : (window, feature, statistic), one per view
        From `measure`, of windows without overlap.
    views
        The same.

    Returns
    -------
    (window, feature, view)
        1 is the typical (geometric mean) distance of the farthest tenth.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a
       Random World", Springer, 2005, ch. 2.
    """
    away = distances(statistics, _usuals(statistics, views))
    return away / farthest(away, _OF_WEEKS)


def largest(scores: Floats, axis: int | tuple[int, ...]) -> Floats:
    """Return the largest score over views, or features; NaN only where all are NaN.

    References
    ----------
    .. [1] P. H. Westfall and S. S. Young, "Resampling-Based Multiple
       Testing", Wiley, 1993.
    """
    there = np.isfinite(scores)
    highest = np.where(there, scores, 0.0).max(axis=axis, initial=0.0)
    return np.where(there.any(axis=axis), highest, np.nan)


def conformal_p(scores: Floats, at: int) -> float:
    """Return the p-value of one window among all.

    Parameters
    ----------
    scores : (window,)
        Symmetric: the largest over views, or over views and features.
    at
        The place of the window on trial.
    """
    return p_value(np.append(np.delete(scores, at), scores[at]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelParams:
    """How to look for sequence faults.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all views and features together. Larger means later
        alarms.
    window_days
        Length of a window; at least two, so that there are paces between the
        harmonics of the day. Longer sees smaller changes, later; the
        reference must hold 19 windows.
    season_hours
        The season of the differences and of the longest lag.
    """

    days_between_false_alarms: float = 90.0
    window_days: int = 7
    season_hours: int = HOURS

    def __post_init__(self) -> None:
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        if self.window_days < 2:
            raise ValueError("window_days must be at least 2")
        if not 1 < self.season_hours < self.window_days * HOURS:
            raise ValueError("season_hours must be above 1 and less than a window")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanelBaseline:
    """What the reference teaches; depends on reference and parameters only.

    Attributes
    ----------
    usuals
        One per view.
    scale : (feature, view)
        Typical distance of the farthest 3 % of the reference's looks.
    n_windows
        How many windows the reference holds without overlap.
    """

    params: PanelParams
    names: tuple[str, ...]
    usuals: tuple[Usual, ...]
    scale: Floats
    n_windows: int
    contract: Contract


def calibrate(reference: Hourly, params: PanelParams) -> PanelBaseline | Learning:
    """Learn from the reference what is usual.

    Parameters
    ----------
    reference
        Hours before the model was deployed, quiet as far as anyone knows.
    params
        How to look.

    Returns
    -------
    PanelBaseline or Learning
        `Learning` while the reference holds fewer than 19 windows.
    """
    whole = whole_days(reference)
    views = panel_views(params.season_hours)
    seen = measure(whole, views, params.window_days * HOURS, HOURS)
    there = np.isfinite(seen[0]).any(axis=(1, 2))
    n_windows = int(there.sum()) // params.window_days
    if n_windows < MIN_WINDOWS:
        return Learning(n_windows=n_windows, window_days=params.window_days)
    away = _apart(seen, views, params.window_days)
    scale = farthest(away, _OF_LOOKS)
    return PanelBaseline(
        params=params,
        names=reference.names,
        usuals=_usuals(seen, views),
        scale=scale,
        n_windows=n_windows,
        contract=contract(
            largest(away / scale, axis=(1, 2)),
            params.days_between_false_alarms,
            params.window_days,
        ),
    )


def _usuals(seen: Sequence[Floats], views: Sequence[View]) -> tuple[Usual, ...]:
    return tuple(usual(part, view.parts) for part, view in zip(seen, views, strict=True))


def _apart(seen: Sequence[Floats], views: Sequence[View], window_days: int) -> Floats:
    """Score each part of the reference against the others, their overlap left out."""
    n = len(seen[0])
    bounds = np.linspace(0, n, _PARTS + 1).astype(int)
    parts = []
    for start, end in itertools.pairwise(bounds):
        others = np.r_[0 : max(start - window_days, 0), min(end + window_days, n) : n]
        usuals = _usuals([part[others] for part in seen], views)
        parts.append(distances([part[start:end] for part in seen], usuals))
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanelLooks:
    """One look per closed day.

    Attributes
    ----------
    first_day
        The day (since the epoch) that the first look closes.
    joint : (look,)
        The score that is compared with the threshold; NaN: no data.
    scores : (look, feature, view)
        What each contributes: the joint score is the largest.
    statistics : (look, feature, statistic), one per view
        What was seen.
    """

    first_day: int
    joint: Floats
    scores: Floats
    statistics: tuple[Floats, ...]


def replay(baseline: PanelBaseline, hours: Hourly) -> PanelLooks:
    """Look at every closed day of `hours` that has a full window behind it.

    Parameters
    ----------
    baseline
        What is usual.
    hours
        Any stretch of the stream.
    """
    whole = whole_days(hours)
    views = panel_views(baseline.params.season_hours)
    days = baseline.params.window_days
    seen = measure(whole, views, days * HOURS, HOURS)
    scores = distances(seen, baseline.usuals) / baseline.scale
    return PanelLooks(
        first_day=(whole.first + lead(views)) // HOURS + days - 1,
        joint=largest(scores, axis=(1, 2)),
        scores=scores,
        statistics=seen,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What moved most in the last look.

    Attributes
    ----------
    feature, view, statistic
        By name.
    away
        How far the statistic lies from its middle, in ordinary spreads.
    sentence
        For people.
    """

    feature: str
    view: str
    statistic: str
    away: float
    sentence: str


def explain(baseline: PanelBaseline, looks: PanelLooks) -> Explanation:
    """Say which feature moved most in the last look, in which view, and how."""
    scores = np.where(np.isfinite(looks.scores[-1]), looks.scores[-1], -1.0)
    feature, at = np.unravel_index(int(np.argmax(scores)), scores.shape)
    view = panel_views(baseline.params.season_hours)[at]
    own = baseline.usuals[at]
    away = own.standardised(looks.statistics[at][-1:])[0, feature]
    most = int(np.argmax(np.abs(away)))
    part = view.parts[most]
    words = part.less if part.less is not None and away[most] < 0 else part.more
    name = baseline.names[feature]
    return Explanation(
        feature=name,
        view=view.name,
        statistic=part.name,
        away=float(away[most]),
        sentence=f"{name} {words} ({away[most]:+.1f} ordinary spreads)",
    )
