"""Self-reference baseline: a version compared with its own labelled past.

The baseline is learnt from windows of the version's own first days, view by view. The
farthest of all views and parts is held against one limit, from which one promise of days
between false alarms follows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from core.durations import require_days
from core.window import Window
from monitors.baselines.daily_evaluations import by_view, since
from monitors.baselines.windows import OwnReferenceParams
from monitors.detail import ViewDetail
from monitors.false_alarms.decision import verdict
from monitors.false_alarms.threshold import FalseAlarmThreshold, fit_threshold
from monitors.false_alarms.warm_up import MIN_WINDOWS, WarmingUp
from monitors.finding import Finding
from monitors.statistics.max_statistic import largest
from monitors.statistics.robust_distance import (
    RobustBaseline,
    distances,
    farthest,
    robust_baselines,
    scored_apart,
)
from monitors.statistics.view import Statistic
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Bools, Floats, chunk_start

# Views are scaled by the distance of their farthest evaluations: this share, as in the panel.
_OF_EVALUATIONS = 0.03
EVALUATIONS_BACK = 28  # so far back a run of breaches is followed
# While the reference grows, a change must have lasted so many days to be part of the
# baseline. Otherwise its alert would end when the first window of it has passed.
LASTING_DAYS = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfReferenceParams(OwnReferenceParams):
    """Parameters of a test against the version's own labelled past.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all targets and views together. Larger means later alarms.
    window
        Length of a window. Longer sees smaller changes, later; labels of 20 windows
        must be in before the version is evaluated.
    reference
        The version is measured against so many of its own first days. While
        they last, against those that end 28 days before the window, or sooner if
        they would be fewer than 19 windows.
    min_coverage
        Share of labels, among those expected, below which a window is not evaluated.
    """

    days_between_false_alarms: float = 90.0
    min_coverage: float = 0.8

    def __post_init__(self) -> None:
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        require_days("window", self.window)
        require_days("reference", self.reference, (MIN_WINDOWS + 1) * self.window_days)
        if not 0 < self.min_coverage <= 1:
            raise ValueError("min_coverage must be in (0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """Result of the last evaluation against the self-reference.

    Attributes
    ----------
    lately : (evaluation, part, statistic), one per view
        The last evaluations.
    scores : (evaluation, part, view)
        1 is typical of the farthest 3 % of the evaluations of the reference.
    robust_baselines
        One per view.
    value
        The largest score of the last evaluation.
    since
        When the run of breaches began; None where the last evaluation is none.
    """

    lately: list[Floats]
    scores: Floats
    robust_baselines: tuple[RobustBaseline, ...]
    n_windows: int
    alarm_threshold: FalseAlarmThreshold
    value: float
    since: datetime | None
    reference: Window

    @property
    def top(self) -> tuple[int, int]:
        """The part and the view that moved most in the last evaluation."""
        last = np.where(np.isfinite(self.scores[-1]), self.scores[-1], -1.0)
        part, view = np.unravel_index(int(np.argmax(last)), last.shape)
        return int(part), int(view)

    @property
    def most(self) -> int:
        """The statistic of that view which moved most in that part."""
        part, view = self.top
        away = self.robust_baselines[view].standardised(self.lately[view][-1:])[0, part]
        return int(np.argmax(np.abs(away)))

    def finding(
        self,
        window: Window,
        cause: Callable[[], str],
        detail: ViewDetail,
        names: Sequence[str],
        views: Sequence[str],
    ) -> Finding:
        """Return the verdict on the last window.

        Parameters
        ----------
        window
            That window.
        cause
            Called for a breach alone.
        detail
            Figures of the kind; the scores are added.
        names, views
            Of the parts, and of the views.
        """
        part, view = self.top
        scores = msgspec.structs.replace(
            detail,
            n_windows=self.n_windows,
            top=names[part],
            view=views[view],
            since=self.since,
            reference=self.reference,
            features=by_view(names, views, self.scores[-1]),
        )
        return verdict(self.alarm_threshold, self.value, window, cause, scores)


def over_windows(cells: Floats, window_days: int) -> Floats:
    """Return the sums over the days of each window.

    Parameters
    ----------
    cells : (day, part, sum)
        In order, without a gap.
    window_days
        One window ends with each day but the first ones.

    Returns
    -------
    (window, part, sum)
    """
    if len(cells) < window_days:
        return np.empty((0, *cells.shape[1:]))
    days = np.lib.stride_tricks.sliding_window_view(cells, window_days, axis=0)
    totals: Floats = days.sum(axis=-1)
    return totals


def last_window(first_day: int, n_days: int, window_days: int) -> Window:
    """Return the window that ends with the last of some days; `first_day` since the epoch."""
    end = first_day + n_days
    return Window(chunk_start((end - window_days) * HOURS), chunk_start(end * HOURS))


def n_reference(n_windows: int, params: SelfReferenceParams) -> int:
    """Return how many of the windows are the reference.

    Examples
    --------
    >>> from core.durations import DAY
    >>> params = SelfReferenceParams(window=7 * DAY)
    >>> [n_reference(n, params) for n in (7, 120, 140, 150, 175, 500)]
    [0, 113, 133, 133, 140, 359]
    """
    before = n_windows - params.window_days  # all that end before the last one begins
    least = min(before, MIN_WINDOWS * params.window_days)
    grown = max(before - LASTING_DAYS, least, 0)
    return min(grown, params.reference_days - params.window_days + 1)


def evaluate_views(
    seen: Sequence[Floats],
    parts: Sequence[Sequence[Statistic]],
    params: SelfReferenceParams,
    first_day: int,
    *,
    alike: bool = False,
) -> Evaluated | str:
    """Hold the last window against those before it, or against the first days.

    Parameters
    ----------
    seen : (window, part, statistic), one per view
        One window ends with each day. NaN where it is not known.
    parts
        The statistics of each view.
    params
        How to measure.
    first_day
        The day (since the epoch) that the first window begins with.
    alike
        Parts are the same thing many times over, in the unit of their own spread: how
        heavy their tail is beyond it is learnt from all of them together. Measured one
        by one, of many parts some have a light tail by chance, and breach later.

    Returns
    -------
    Evaluated, or str
        Why the last window is not evaluated: too few windows are known, or too few of its
        labels are in.
    """
    n_evaluations = len(seen[0])
    reference = [own[: n_reference(n_evaluations, params)] for own in seen]
    there = np.isfinite(reference[0]).any(axis=(1, 2))
    n_windows = int(there.sum()) // params.window_days
    if n_windows < MIN_WINDOWS:
        return str(WarmingUp(n_windows=n_windows, window_days=params.window_days))
    if np.isnan(seen[0][-1]).all():
        return f"fewer than {params.min_coverage:.0%} of the labels are in"
    away = scored_apart(reference, parts, params.window_days)
    scale = farthest(away, _OF_EVALUATIONS)
    if alike:
        there = np.isfinite(away).any(axis=(0, 2))
        scale = np.exp(np.log(scale[there]).mean(axis=0, keepdims=True))
    learnt = robust_baselines(reference, parts)
    limit = fit_threshold(
        largest(away / scale, axis=(1, 2)),
        params.days_between_false_alarms,
        params.window_days,
    )
    lately = [own[-EVALUATIONS_BACK:] for own in seen]
    scale = np.where(_is_learnt(reference, params.window_days), scale, np.nan)
    scores = distances(lately, learnt) / scale
    joint = largest(scores, axis=(1, 2))
    end = first_day + n_evaluations + params.window_days - 1
    return Evaluated(
        lately=lately,
        scores=scores,
        robust_baselines=learnt,
        n_windows=n_windows,
        alarm_threshold=limit,
        value=float(joint[-1]),
        since=since(joint, end - len(joint), limit.value),
        reference=Window(
            chunk_start(first_day * HOURS),
            chunk_start((first_day + len(reference[0]) + params.window_days - 1) * HOURS),
        ),
    )


def _is_learnt(reference: Sequence[Floats], window_days: int) -> Bools:
    """Return of which parts each view has 19 windows of the reference, (part, view)."""
    n = [np.isfinite(own).any(axis=2).sum(axis=0) for own in reference]
    learnt: Bools = np.stack(n, axis=1) // window_days >= MIN_WINDOWS
    return learnt
