"""Three sigma: the mean of the last window against those of the windows of the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import numpy as np

from core.window import Window
from monitors.detail import FeatureScore, ScoreDetail
from monitors.finding import Finding, Outcome
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.show import Bars, Series, View
from monitors.sources import RecentInput
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.input_history import InputHistory
from monitors.summaries.summary import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """How many days a window has, and how many standard deviations are too many."""

    window_days: int = 1
    n_sd: float = 3.0

    def __post_init__(self) -> None:
        if self.window_days < 1:
            raise ValueError("window_days must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Mean and standard deviation of the means of windows, by feature."""

    names: tuple[str, ...]
    mean: Floats
    sd: Floats


class MeanDetail(ScoreDetail, frozen=True):
    """How many standard deviations the mean of each feature is away."""

    away: Mapping[str, float] = msgspec.field(default_factory=dict)


def means(hours: Hourly, window_days: int) -> Floats:
    """Return the mean of each whole window, shape (window, feature)."""
    length = window_days * HOURS
    n = len(hours) // length
    of_windows: Floats = np.nanmean(hours.mean[: n * length].reshape(n, length, -1), axis=1)
    return of_windows


def fit(params: Params, reference: InputHistory) -> Fitted:
    """Fit mean and standard deviation."""
    of_windows = means(reference.hours, params.window_days)
    return Fitted(
        names=reference.hours.names,
        mean=np.nanmean(of_windows, axis=0),
        sd=np.nanstd(of_windows, axis=0),
    )


def evaluate(params: Params, inputs: Inputs) -> Finding:
    """Evaluate the last window."""
    fitted: Fitted = inputs.fitted
    as_of = inputs.context.as_of
    window = Window(as_of - timedelta(days=params.window_days), as_of)
    last = means(inputs[RecentInput()].within(window).hours, params.window_days)[-1]
    away = np.abs(last - fitted.mean) / fitted.sd
    if not np.isfinite(away).any():
        return inputs.context.no_data("no value in the window")
    top = int(np.nanargmax(away))
    return Finding(
        outcome=Outcome.BREACH if away[top] > params.n_sd else Outcome.OK,
        value=float(away[top]),
        threshold=params.n_sd,
        window=window,
        cause=f"{fitted.names[top]}: mean {away[top]:.1f} SD from that of the reference",
        detail=MeanDetail(
            features={fitted.names[top]: FeatureScore(score=float(away[top]))},
            away={
                name: float(one)
                for name, one in zip(fitted.names, away, strict=True)
                if np.isfinite(one)
            },
        ),
    )


def show(detail: MeanDetail, _: float | None) -> list[View]:
    """Show how many standard deviations each mean is away."""
    if not detail.away:
        return []
    series = Series(name="SD", values=tuple(detail.away.values()))
    return [Bars(title="Away from the reference", names=tuple(detail.away), series=(series,))]


KIND = MonitorKind(
    name="mean_3sd",
    question="Is the mean of the input within three standard deviations of the reference?",
    params=Params,
    detail=MeanDetail,
    sources=lambda _: [RecentInput()],
    evaluate=evaluate,
    fit=fit,
    show=show,
    is_against_reference=True,
    is_explained_by=by_any,
)
