"""The mean of the last day as evidence: the platform sets the threshold."""

from dataclasses import dataclass

import numpy as np

from core.durations import DAY
from core.window import Window
from monitors.evidence import Cause, Evidence, EvidenceDetail, Implicated
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.sources import RecentInput
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.input_history import InputHistory
from monitors.summaries.summary import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """There are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Daily means of the reference, (day, feature)."""

    names: tuple[str, ...]
    days: Floats


def means(hours: Hourly) -> Floats:
    """Return the mean of each whole day, (day, feature)."""
    n = len(hours) // HOURS
    of_days: Floats = np.nanmean(hours.mean[: n * HOURS].reshape(n, HOURS, -1), axis=1)
    return of_days


def fit(_: Params, reference: InputHistory) -> Fitted:
    """Keep the daily means."""
    return Fitted(names=reference.hours.names, days=means(reference.hours))


def away(days: Floats, others: Floats) -> Floats:
    """Return how far days are from the mean of others, in their standard deviations."""
    found: Floats = np.abs(days - np.nanmean(others, axis=0)) / np.nanstd(others, axis=0)
    return found


def evaluate(_: Params, inputs: Inputs) -> Evidence:
    """Measure the last day, and each day of the reference beside the others."""
    fitted: Fitted = inputs.fitted
    window = Window(inputs.context.as_of - DAY, inputs.context.as_of)
    hours = inputs[RecentInput()].within(window).hours
    assert len(hours) == HOURS
    now = away(means(hours)[-1], fitted.days)
    null = [
        np.nanmax(away(day, np.delete(fitted.days, i, axis=0)))
        for i, day in enumerate(fitted.days)
    ]
    order = np.argsort(-now)
    name = fitted.names[order[0]]
    return Evidence(
        score=float(now[order[0]]),
        null=np.array(null),
        window=window,
        message=f"{name}: the mean of the day is unusual",
        effect=float(now[order[0]]),
        implicated=[Implicated(name=fitted.names[i], score=float(now[i])) for i in order],
        causes=[Cause(name="offset", probability=0.7), Cause(name="scale", probability=0.3)],
    )


KIND = MonitorKind(
    name="mean_rank",
    question="Is the mean of the day as usual?",
    params=Params,
    detail=EvidenceDetail,
    sources=lambda _: [RecentInput()],
    evaluate=evaluate,
    gives_evidence=True,
    fit=fit,
    is_against_reference=True,
    is_explained_by=by_any,
)
