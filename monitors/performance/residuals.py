"""Residuals: test for changed bias, spread or autocorrelation of errors.

The size of errors alone does not show that a model has become wrong in one
direction, repeats its errors, or is now and then far off, and all of that perhaps at
one horizon only. The baseline is learnt from the labelled forecasts of the same
version: a window of some days is compared with those before it, part by part of
the horizon, and one promise of days between false alarms holds over all parts.
"""

from dataclasses import dataclass

from monitors.baselines.daily_evaluations import no_data
from monitors.baselines.self_reference import (
    Evaluated,
    SelfReferenceParams,
    evaluate_views,
    last_window,
)
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, Json
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
    if isinstance(evaluated, WarmingUp):
        return no_data(window, str(evaluated))
    if evaluated is None:
        return no_data(window, f"fewer than {params.min_coverage:.0%} of the labels are in")
    detail: dict[str, Json] = {
        **evaluated.to_json(days.names, [*VIEWS]),
        "parts": _parts(days, evaluated),
        "window_days": params.window_days,
    }
    return evaluated.finding(window, lambda: _cause(days, evaluated), detail)


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
    when = "" if evaluated.since is None else f" since {evaluated.since[:10]}"
    return f"forecasts of {target} {steps.replace('..', ' to ')} {plural} ahead {text}{when}"


def _parts(days: ErrorDays, evaluated: Evaluated) -> dict[str, Json]:
    return {
        name: {
            "now": seen_json([own[-1, i] for own in evaluated.lately]),
            "baseline": seen_json([own.middle[i] for own in evaluated.robust_baselines]),
        }
        for i, name in enumerate(days.names)
    }
