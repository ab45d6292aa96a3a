"""Residuals: test for changed bias, spread or autocorrelation of errors.

The size of errors alone does not show that a model has become wrong in one
direction, repeats its errors, or is now and then far off, and all of that perhaps at
one horizon only. The baseline is learnt from the labelled forecasts of the same
version: a window of some days is compared with those before it, part by part of
the horizon, and one promise of days between false alarms holds over all parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from monitors.baselines.daily_evaluations import no_data
from monitors.baselines.self_reference import (
    Evaluated,
    SelfReferenceParams,
    evaluate_views,
    last_window,
)
from monitors.detail import ViewDetail
from monitors.finding import Finding
from monitors.performance.residual_statistics import (
    VIEWS,
    ErrorDays,
    measure,
    seen_json,
    sentence,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualParams(SelfReferenceParams):
    """Parameters of the test for a pattern in errors, at one false alarm rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualPart:
    """The statistics of one part of the horizon, in the window and in the baseline."""

    now: Mapping[str, float | None]
    baseline: Mapping[str, float | None]


class ResidualDetail(ViewDetail, frozen=True):
    """Scores by part and view, and the statistics of each part."""

    parts: Mapping[str, ResidualPart] = msgspec.field(default_factory=dict)


def evaluate(days: ErrorDays, params: ResidualParams) -> Finding:
    """Evaluate the last window of the days.

    Parameters
    ----------
    days
        Of one version, without a gap, from its first day on or from the
        beginning of its reference; the last one is that whose labels have just
        become due.
    params
        Parameters of the test.

    Returns
    -------
    Finding
        `value` is the largest score over all parts of targets and views. The
        detail holds what moved most, and of each part the scores, and what was
        seen beside the baseline. `NO_DATA` while the labels of fewer than 20
        windows are in, or too few of the window's.
    """
    window = last_window(days.first_day, len(days.cells), params.window_days)
    seen = measure(days, params.window_days, params.min_coverage)
    evaluated = evaluate_views(seen, [*VIEWS.values()], params, days.first_day)
    if isinstance(evaluated, str):
        return no_data(window, evaluated)
    detail = ResidualDetail(window_days=params.window_days, parts=_parts(days, evaluated))
    return evaluated.finding(
        window, lambda: _cause(days, evaluated), detail, days.names, [*VIEWS]
    )


def _cause(days: ErrorDays, evaluated: Evaluated) -> str:
    part, view = evaluated.top
    most = evaluated.most
    text = sentence(
        [*VIEWS.values()][view][most].name,
        float(evaluated.lately[view][-1, part, most]),
        float(evaluated.robust_baselines[view].middle[part, most]),
        days.ahead[part],
    )
    target, _, steps = days.names[part].rpartition("+")
    plural = "step" if steps == "1" else "steps"
    when = "" if evaluated.since is None else f" since {evaluated.since:%Y-%m-%d}"
    return f"forecasts of {target} {steps.replace('..', ' to ')} {plural} ahead {text}{when}"


def _parts(days: ErrorDays, evaluated: Evaluated) -> dict[str, ResidualPart]:
    return {
        name: ResidualPart(
            now=seen_json([own[-1, i] for own in evaluated.lately]),
            baseline=seen_json([own.middle[i] for own in evaluated.robust_baselines]),
        )
        for i, name in enumerate(days.names)
    }
