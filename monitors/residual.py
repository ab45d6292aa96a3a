"""Are the errors still without a pattern? Bias, spread and memory, judged together.

The size of errors alone does not show that a model has become wrong in one
direction, repeats its errors, or is now and then far off, and all of that perhaps at
one horizon only. What is usual is learnt from the labelled forecasts of the same
version: a window of some days is compared with those before it, part by part of
the horizon, and one promise of days between false alarms holds over all parts.
"""

from dataclasses import dataclass

import numpy as np

from core.window import Window
from monitors.conformal import Contract, contract
from monitors.finding import Finding, Json, Outcome, as_json
from monitors.hourly import HOURS
from monitors.learning import MIN_WINDOWS, Learning
from monitors.looks import no_data, since
from monitors.panel import largest
from monitors.residual_views import VIEWS, ErrorDays, measure, seen_json, sentence
from monitors.summary import Floats, chunk_start
from monitors.usual import Usual, distances, farthest, scored_apart, usuals

# What makes the views comparable is the distance of so many of the looks, as for the panel.
_OF_LOOKS = 0.03
LOOKS_BACK = 28  # so far back a run of breaches is followed


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualParams:
    """How to look for a pattern in errors.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all targets, steps ahead and views together. Larger
        means later alarms.
    window_days
        Length of a window. Longer sees smaller changes, later; labels of 20 windows
        must be in before the version is judged.
    reference_days
        The version is measured against so many of its own first days. While
        they last, against those before the window.
    min_coverage
        Share of labels, among those expected, below which a window says nothing.
    """

    days_between_false_alarms: float = 90.0
    window_days: int = 7
    reference_days: int = 365
    min_coverage: float = 0.8

    def __post_init__(self) -> None:
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        if self.window_days < 1:
            raise ValueError("window_days must be at least 1")
        least = (MIN_WINDOWS + 1) * self.window_days
        if self.reference_days < least:
            raise ValueError(f"reference_days must be at least {least}")
        if not 0 < self.min_coverage <= 1:
            raise ValueError("min_coverage must be in (0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Baseline:
    """What the windows of the reference teach."""

    usuals: tuple[Usual, ...]
    scale: Floats
    n_windows: int
    contract: Contract


def evaluate(days: ErrorDays, params: ResidualParams) -> Finding:
    """Judge the last window of the days.

    Parameters
    ----------
    days
        Of one version, without a gap, from its first day on or from the
        beginning of its reference; the last one is that whose labels have just
        become due.
    params
        How to look.

    Returns
    -------
    Finding
        `value` is the largest score over all parts of targets and views. The
        detail holds what moved most, and of each part the scores, and what was
        seen beside what is usual. `NO_DATA` while the labels of fewer than 20
        windows are in, or too few of the window's.
    """
    end = days.first_day + len(days.cells)
    start = end - params.window_days
    window = Window(chunk_start(start * HOURS), chunk_start(end * HOURS))
    seen = measure(days, params.window_days, params.min_coverage)
    n_looks = len(seen[0])
    # The reference ends before the window begins.
    last = min(n_looks - params.window_days, params.reference_days - params.window_days + 1)
    reference = [part[: max(last, 0)] for part in seen]
    learnt = _learn(reference, params)
    if isinstance(learnt, Learning):
        return no_data(window, str(learnt))
    if np.isnan(seen[0][-1]).all():
        return no_data(window, f"fewer than {params.min_coverage:.0%} of the labels are in")
    lately = [part[-LOOKS_BACK:] for part in seen]
    scores = distances(lately, learnt.usuals) / learnt.scale
    joint = largest(scores, axis=(1, 2))
    value, limit = float(joint[-1]), learnt.contract.threshold
    began = since(joint, end - len(joint), limit)
    breach = value > limit
    return Finding(
        outcome=Outcome.BREACH if breach else Outcome.OK,
        value=value,
        threshold=limit,
        window=window,
        cause=_cause(days, lately, scores, learnt, began) if breach else "",
        detail={
            **_detail(days, lately, scores, learnt),
            "window_days": params.window_days,
            "since": began,
            "reference": {
                "start": chunk_start(days.first_day * HOURS).isoformat(),
                "end": chunk_start(
                    (days.first_day + len(reference[0]) + params.window_days - 1) * HOURS
                ).isoformat(),
            },
        },
    )


def _learn(reference: list[Floats], params: ResidualParams) -> _Baseline | Learning:
    there = np.isfinite(reference[0]).any(axis=(1, 2))
    n_windows = int(there.sum()) // params.window_days
    if n_windows < MIN_WINDOWS:
        return Learning(n_windows=n_windows, window_days=params.window_days)
    parts = [*VIEWS.values()]
    away = scored_apart(reference, parts, params.window_days)
    scale = farthest(away, _OF_LOOKS)
    return _Baseline(
        usuals=usuals(reference, parts),
        scale=scale,
        n_windows=n_windows,
        contract=contract(
            largest(away / scale, axis=(1, 2)),
            params.days_between_false_alarms,
            params.window_days,
        ),
    )


def _top(scores: Floats) -> tuple[int, int]:
    """Return the part of a target and the view that moved most in the last look."""
    last = np.where(np.isfinite(scores[-1]), scores[-1], -1.0)
    part, view = np.unravel_index(int(np.argmax(last)), last.shape)
    return int(part), int(view)


def _cause(
    days: ErrorDays,
    lately: list[Floats],
    scores: Floats,
    learnt: _Baseline,
    began: str | None,
) -> str:
    part, view = _top(scores)
    away = learnt.usuals[view].standardised(lately[view][-1:])[0, part]
    most = int(np.argmax(np.abs(away)))
    said = sentence(
        [*VIEWS.values()][view][most].name,
        float(lately[view][-1, part, most]),
        float(learnt.usuals[view].middle[part, most]),
        days.ahead[part],
    )
    target, _, steps = days.names[part].rpartition("+")
    plural = "step" if steps == "1" else "steps"
    when = "" if began is None else f" since {began[:10]}"
    return f"forecasts of {target} {steps.replace('..', ' to ')} {plural} ahead {said}{when}"


def _detail(
    days: ErrorDays, lately: list[Floats], scores: Floats, learnt: _Baseline
) -> dict[str, Json]:
    part, view = _top(scores)
    achieved = learnt.contract.replayed_days_between
    features: dict[str, Json] = {
        name: {of: as_json(score) for of, score in zip(VIEWS, row, strict=True)}
        for name, row in zip(days.names, scores[-1], strict=True)
    }
    parts: dict[str, Json] = {
        name: {
            "now": seen_json([own[-1, i] for own in lately]),
            "usual": seen_json([own.middle[i] for own in learnt.usuals]),
        }
        for i, name in enumerate(days.names)
    }
    return {
        "promised_days": learnt.contract.promised_days,
        "achieved_days": None if achieved is None else as_json(achieved),
        "replayed_days": learnt.contract.replayed_days,
        "extrapolated": learnt.contract.extrapolated,
        "n_windows": learnt.n_windows,
        "top": days.names[part],
        "view": [*VIEWS][view],
        "features": features,
        "parts": parts,
    }
