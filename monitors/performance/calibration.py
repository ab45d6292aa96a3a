"""Calibration of predicted probabilities, class by class.

A classifier may be right as often as ever and yet claim 90 % where 70 % come true, or
name one class too surely and another too rarely. The baseline is learnt from the
labelled probabilities of the same version, so that constant miscalibration is
no news: a window of some days is compared with those before it, class by class, and
one promise of days between false alarms holds over all classes and views.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from monitors.baselines.daily_evaluations import by_view, no_data
from monitors.baselines.self_reference import (
    Evaluated,
    SelfReferenceParams,
    evaluate_views,
    last_window,
    over_windows,
)
from monitors.detail import ViewDetail
from monitors.finding import Finding, as_json
from monitors.performance.reliability import Bin, overall, squared_error, sureness, table
from monitors.statistics.view import Statistic
from monitors.summaries.summary import Floats
from tasks.calibration_sums import EXPECTED, OBSERVED, PREDICTED, N

# In probability. Claims that come closer to what happens are no fault. What is finer than a
# grain is negligible: one in fifty.
VIEWS: Mapping[str, tuple[Statistic, ...]] = {
    "bias": (Statistic(name="bias", grain=0.02, more="too high", less="too low"),),
    "sureness": (
        Statistic(name="sureness", grain=0.02, more="too sure", less="not sure enough"),
    ),
    "bins": (Statistic(name="error", grain=0.02, more="off", less=None),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationParams(SelfReferenceParams):
    """Parameters of the test whether probabilities hold: the targets are the classes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbabilityDays:
    """What one version claimed, day after day.

    Attributes
    ----------
    names
        The classes.
    first_day
        Since the epoch.
    cells : (day, class, WIDTH)
        From `tasks.calibration_sums`; zeros where nothing was claimed.
    """

    names: tuple[str, ...]
    first_day: int
    cells: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCalibration:
    """Predicted and observed frequency of a class; by view, in the window and before."""

    predicted: float | None
    observed: float | None
    now: Mapping[str, float | None]
    baseline: Mapping[str, float | None]
    bins: tuple[Bin, ...]


class CalibrationDetail(ViewDetail, frozen=True):
    """Scores by class and view, and the figures of each class."""

    classes: Mapping[str, ClassCalibration] = msgspec.field(default_factory=dict)


def measure(days: ProbabilityDays, params: CalibrationParams) -> tuple[Floats, ...]:
    """Return what each view sees of the windows of some days.

    Returns
    -------
    (window, class, 1), one per view
        Mean claim less how often it happened; `monitors.performance.reliability.sureness`; the
        root of the square error less chance's share, with its sign. NaN where too
        few labels are in.
    """
    totals = over_windows(days.cells, params.window_days)
    n = totals[..., N].sum(axis=-1)
    is_known = (n > 0) & (n >= params.min_coverage * totals[..., EXPECTED])
    predicted, observed = overall(totals)
    square = squared_error(totals)
    of_views = (
        predicted - observed,
        sureness(totals),
        np.sign(square) * np.sqrt(np.abs(square)),
    )
    return tuple(np.where(is_known, seen, np.nan)[..., np.newaxis] for seen in of_views)


def evaluate(days: ProbabilityDays, params: CalibrationParams) -> Finding:
    """Evaluate the last window of the days.

    Parameters
    ----------
    days
        Of one version, without a gap, from its first day on; the last one is that
        whose labels have just become due.
    params
        Parameters of the test.

    Returns
    -------
    Finding
        `value` is the largest score over all classes and views. The detail holds
        what moved most, the scores of each class, what was claimed and what
        happened, and the reliability table of the class that moved most.
        `NO_DATA` while the labels of fewer than 20 windows are in, or too few of
        the window's.
    """
    window = last_window(days.first_day, len(days.cells), params.window_days)
    evaluated = evaluate_views(measure(days, params), [*VIEWS.values()], params, days.first_day)
    if isinstance(evaluated, str):
        return no_data(window, evaluated)
    now = days.cells[-params.window_days :].sum(axis=0)
    detail = CalibrationDetail(
        window_days=params.window_days, classes=_classes(days, evaluated, now)
    )
    names = [f"class {name}" for name in days.names]
    return evaluated.finding(
        window, lambda: _cause(days, evaluated, now), detail, names, [*VIEWS]
    )


def _cause(days: ProbabilityDays, evaluated: Evaluated, now: Floats) -> str:
    part, view = evaluated.top
    name = [*VIEWS][view]
    if name == "bias":
        mean_probability, share = (float(of) for of in overall(now[part]))
        baseline = float(evaluated.robust_baselines[view].middle[part, 0])
        text = (
            f"is predicted at {mean_probability:.2f} on average and observed at {share:.2f} "
            f"(difference {mean_probability - share:+.2f}, baseline {baseline:+.2f})"
        )
    else:
        n, predicted, observed = (now[part, of] for of in (N, PREDICTED, OBSERVED))
        worst = int(np.argmax(np.abs(predicted - observed)))
        moved = float(
            evaluated.lately[view][-1, part, 0]
            - evaluated.robust_baselines[view].middle[part, 0]
        )
        side = "overconfidently, " if moved > 0 else "underconfidently, "
        how = side if name == "sureness" else ""
        text = (
            f"is predicted {how}at {predicted[worst] / n[worst]:.2f} "
            f"and observed at {observed[worst] / n[worst]:.2f}"
        )
    when = "" if evaluated.since is None else f" since {evaluated.since:%Y-%m-%d}"
    return f"class {days.names[part]!r} {text}{when}"


def _classes(
    days: ProbabilityDays, evaluated: Evaluated, now: Floats
) -> dict[str, ClassCalibration]:
    (predicted, observed), (top, _) = overall(now), evaluated.top
    lately = np.column_stack([own[-1, :, 0] for own in evaluated.lately])
    middle = np.column_stack([own.middle[:, 0] for own in evaluated.robust_baselines])
    seen, baseline = (by_view(days.names, [*VIEWS], scores) for scores in (lately, middle))
    return {
        name: ClassCalibration(
            predicted=as_json(predicted[i]),
            observed=as_json(observed[i]),
            now=seen[name],
            baseline=baseline[name],
            bins=table(now[i]) if i == top else (),
        )
        for i, name in enumerate(days.names)
    }
