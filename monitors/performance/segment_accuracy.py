"""Segment accuracy: test for an error of one segment that grows against the others.

A storm makes every forecast worse, and is no fault of one segment. So what is evaluated is
by how much a segment's forecasts became worse beside those for the others on the same days:
what befalls all cancels, and what befalls one of many shows, which the total hides. What is
typical is learnt from the labelled forecasts of the same version, and one promise of days
between false alarms holds over all segments and targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from monitors.baselines.daily_evaluations import no_data
from monitors.baselines.segments import NONE, OTHER, Label
from monitors.baselines.self_reference import (
    Evaluated,
    SelfReferenceParams,
    evaluate_views,
    last_window,
    n_reference,
    over_windows,
)
from monitors.detail import EvaluatedSegments, ViewDetail
from monitors.false_alarms.warm_up import MIN_WINDOWS
from monitors.finding import Finding, as_json
from monitors.statistics.view import Statistic, log_size
from monitors.summaries.summary import Floats

EXPECTED, LABELLED, LOSS = range(3)  # the last axis of what is summed
ALL_TARGETS = "all targets"

# Of the others, at the least: with one alone the changed one cannot be identified.
_OTHERS = 2

# An error that shrinks beside the others is no fault. A twentieth more is negligible.
VIEW = "relative error"
_STATISTICS = (Statistic(name=VIEW, grain=0.05, more="is off more than it was", less=None),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentAccuracyParams(SelfReferenceParams):
    """Parameters of the test for an error of a segment that grew against the others."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentDays:
    """How wrong one version was about each segment, day after day.

    Attributes
    ----------
    segments, targets
        Their names. All targets together come first where there are several.
    first_day
        Since the epoch.
    cells : (day, segment, target, 3)
        Expected, labelled and summed losses: absolute errors in units of the version's
        scaler, squared errors of a classifier.
        Zeros where nothing was forecast.
    """

    segments: tuple[str, ...]
    targets: tuple[str, ...]
    first_day: int
    cells: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parts: each target of each segment."""
        return tuple(f"{target} [{one}]" for one in self.segments for target in self.targets)


def of_segments(
    sums: Floats, targets: Sequence[str], label: Label, first_day: int, n_classes: int = 1
) -> SegmentDays:
    """Take the segments that can be evaluated out of what is stored.

    Parameters
    ----------
    sums : (day, place, target, 3)
        Expected, labelled and summed losses: absolute errors in units of the version's
        scaler, squared errors of a classifier:
        those of several targets may be added.
    targets
        Their names.
    label
        Names the segments. What is pooled is left out: its members change.
    first_day
        Since the epoch.
    n_classes
        What one loss is the sum over: the classes of a classifier, else 1.

    Examples
    --------
    >>> days = of_segments(np.ones((1, 4, 2, 3)), ["load", "wind"],
    ...     Label(by="shop", names={2: "a", 3: "b"}), first_day=0)
    >>> days.segments, days.targets
    (('shop=a', 'shop=b', 'no shop'), ('all targets', 'load', 'wind'))
    >>> days.cells[0, 0, :, LABELLED]
    array([2., 1., 1.])
    """
    if len(targets) > 1:
        whole = sums.sum(axis=2, keepdims=True)
        whole[..., LOSS] *= n_classes
        sums = np.concatenate([whole, sums], axis=2)
        targets = [ALL_TARGETS, *targets]
    places = [place for place in (*label.names, NONE) if place != OTHER]
    return SegmentDays(
        segments=tuple(label(place) for place in places),
        targets=tuple(targets),
        first_day=first_day,
        cells=sums[:, places],
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """How wrong segments were in each window; (window, segment, target), as logarithms.

    Attributes
    ----------
    own
        The mean absolute error over the baseline for it. NaN where too few labels
        are in, and of a segment that was known for fewer than 19 windows of the
        reference: it is still being learnt.
    common
        The same of the others: their median.
    """

    own: Floats
    common: Floats

    @property
    def apart(self) -> Floats:
        """By how much more each part became worse than the others, (window, part, 1)."""
        n_windows, n_segments, n_targets = self.own.shape
        return (self.own - self.common).reshape(n_windows, n_segments * n_targets, 1)


def measure(days: SegmentDays, params: SegmentAccuracyParams) -> Seen:
    """Measure by how much each segment became worse, and the others with it.

    Windows and segments are each freed of their median [1]_, so that one segment that
    changes, for the better too, moves no other.

    References
    ----------
    .. [1] J. W. Tukey, "Exploratory Data Analysis", Addison-Wesley, 1977, ch. 11: median
       polish.
    """
    flat = days.cells.reshape(len(days.cells), -1, days.cells.shape[-1])
    totals = over_windows(flat, params.window_days)
    totals = totals.reshape(len(totals), *days.cells.shape[1:])
    expected, labelled, total = np.moveaxis(totals, -1, 0)
    is_known = (labelled > 0) & (labelled >= params.min_coverage * expected)
    size = log_size(np.where(is_known, total / np.maximum(labelled, 1.0), np.nan))
    reference = size[: n_reference(len(size), params)]
    is_learnt = np.isfinite(reference).sum(axis=0) // params.window_days >= MIN_WINDOWS
    if is_learnt.any():  # while none is, the best known gives the remaining time
        size = np.where(is_learnt, size, np.nan)
    own = size - _upper_median(reference, axis=0)
    common = np.full_like(own, np.nan)
    for place in range(len(days.segments)):
        others = np.delete(own, place, axis=1)
        enough = np.isfinite(others).sum(axis=1) >= _OTHERS
        common[:, place] = np.where(enough, _upper_median(others, axis=1), np.nan)
    return Seen(own=own, common=common)


def _upper_median(values: Floats, axis: int) -> Floats:
    """Return the median of what is known; of two in the middle the larger, NaN of nothing.

    So one of two others that became better does not raise the score of a segment.
    """
    if values.shape[axis] == 0:
        return np.full(np.delete(values.shape, axis), np.nan)
    at = np.isfinite(values).sum(axis=axis, keepdims=True) // 2
    ordered = np.sort(values, axis=axis)  # NaN last
    middle = np.take_along_axis(ordered, np.minimum(at, values.shape[axis] - 1), axis=axis)
    return np.squeeze(middle, axis=axis)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentError:
    """The error of a segment, its baseline, and how many times that is; of the others too."""

    error: float | None
    baseline: float | None
    times: float | None
    others: float | None


class SegmentAccuracyDetail(ViewDetail, frozen=True):
    """Scores by segment and target, and their errors."""

    errors: Mapping[str, SegmentError] = msgspec.field(default_factory=dict)


def evaluate(days: SegmentDays, params: SegmentAccuracyParams) -> Finding:
    """Evaluate the last window of the days.

    Parameters
    ----------
    days
        Of one version, without a gap, from its first day on or from the beginning of its
        reference; the last one is that whose labels have just become due.
    params
        Parameters of the test.

    Returns
    -------
    Finding
        `value` is the largest score over all segments and targets. The detail holds what
        moved most, the score of each part, and of each how wrong it was, beside what is
        typical and beside the others. `NO_DATA` while the labels of fewer than 20 windows
        are in, or too few of the window's, or where there are fewer than three segments.
    """
    window = last_window(days.first_day, len(days.cells), params.window_days)
    n_segments = len(_there(days))
    if n_segments <= _OTHERS:
        return no_data(window, f"not evaluated: {n_segments} segments, at least 3 required")
    seen = measure(days, params)
    evaluated = evaluate_views([seen.apart], [_STATISTICS], params, days.first_day, alike=True)
    if isinstance(evaluated, str):
        return no_data(window, evaluated)
    places = np.flatnonzero(np.isfinite(seen.own).any(axis=(0, 2)))
    known = {days.segments[i] for i in places}
    detail = SegmentAccuracyDetail(
        window_days=params.window_days,
        errors=_errors(days, seen, params),
        segments=EvaluatedSegments.of(known, _there(days)),
    )
    return evaluated.finding(
        window, lambda: _cause(days, seen, evaluated), detail, days.names, [VIEW]
    )


def _cause(days: SegmentDays, seen: Seen, evaluated: Evaluated) -> str:
    segment, target = divmod(evaluated.top[0], len(days.targets))
    own, common = np.exp([seen.own[-1, segment, target], seen.common[-1, segment, target]])
    when = "" if evaluated.since is None else f" since {evaluated.since:%Y-%m-%d}"
    return (
        f"errors of {days.targets[target]} for {days.segments[segment]} are {own:.2f} "
        f"times the baseline, those for the others {common:.2f} times{when}"
    )


def _errors(
    days: SegmentDays, seen: Seen, params: SelfReferenceParams
) -> dict[str, SegmentError]:
    totals = days.cells[-params.window_days :].sum(axis=0)
    n_targets = len(days.targets)
    errors: dict[str, SegmentError] = {}
    for i, name in enumerate(days.names):
        at = divmod(i, n_targets)
        own, common = seen.own[-1][at], seen.common[-1][at]
        if np.isfinite(own - common):
            error = totals[at][LOSS] / totals[at][LABELLED]
            errors[name] = SegmentError(
                error=as_json(error),
                baseline=as_json(error / np.exp(own)),
                times=as_json(np.exp(own)),
                others=as_json(np.exp(common)),
            )
    return errors


def _there(days: SegmentDays) -> set[str]:
    """Return the segments that were ever forecast for."""
    places = np.flatnonzero(days.cells[..., EXPECTED].any(axis=(0, 2)))
    return {days.segments[i] for i in places}
