"""Accuracy: mean error of labelled forecasts against the objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

import msgspec
import numpy as np

from core.durations import require_days
from core.schema.task import Measure
from core.window import Window
from monitors.baselines.daily_evaluations import no_data
from monitors.baselines.windows import WindowParams
from monitors.detail import Detail
from monitors.finding import Finding, as_json
from monitors.summaries.summary import Floats, Ints

MARGIN = 1.1  # above the worst window of the backtest: an objective is not a record
FLOOR = 1.25  # times the typical error: less is not worth a page


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyParams(WindowParams):
    """Parameters of `accuracy`.

    Attributes
    ----------
    window
        Days of forecasts that are evaluated together.
    min_coverage
        Share of labels, among those expected, below which the outcome is `NO_DATA`.
    objective
        Largest mean loss of the model's task; None takes the one that was derived when
        the first version was trained.
    """

    min_coverage: float = 0.8
    objective: float | None = None

    def __post_init__(self) -> None:
        require_days("window", self.window)
        if not 0 < self.min_coverage <= 1:
            raise ValueError("min_coverage must be in (0, 1]")
        if self.objective is not None and not self.objective > 0:
            raise ValueError("objective must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledError:
    """Mean error of a version in a window, and the share of its labels that are in."""

    error: float | None
    coverage: float | None

    @classmethod
    def of(cls, total: float, n_labelled: int, n_expected: int, **step: int) -> Self:
        """Return both from the sum of the errors, and from values labelled and expected."""
        error = as_json(total / n_labelled) if n_labelled else None
        coverage = as_json(n_labelled / n_expected) if n_expected else None
        return cls(error=error, coverage=coverage, **step)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledStep(LabelledError):
    """Those of one step of the horizon."""

    step: int


class AccuracyDetail(Detail, frozen=True):
    """Label coverage, what the error is at least, and errors by step and of other versions."""

    coverage: float | None = None
    at_least: float | None = None
    per_step: tuple[LabelledStep, ...] = ()
    other_versions: Mapping[str, LabelledError] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DayErrors:
    """Errors of the forecasts that the champion made on some days, in order.

    Attributes
    ----------
    days
        Event days.
    sums : (day, step)
        Sums of the loss of the model's task over everything that is labelled.
    n_labelled, n_expected : (day, step)
        How many values are in the sum, and how many will be.
    others
        Of the versions that served beside the champion: shown, and not evaluated.
    measure
        What the loss is called.
    """

    days: tuple[date, ...]
    sums: Floats
    n_labelled: Ints
    n_expected: Ints
    others: Mapping[str, LabelledError] = field(default_factory=dict)
    measure: Measure = field(default_factory=lambda: Measure(name="error", unit="SD"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a version may be held to, and where it comes from.

    Attributes
    ----------
    value
        The objective.
    median, worst
        Of the windows of the backtest.
    n_windows
        How many there are, overlapping by all days but one.
    """

    value: float
    median: float
    worst: float
    n_windows: int


def evaluate(errors: DayErrors, params: AccuracyParams, objective: float | None) -> Finding:
    """Evaluate a window of days whose labels are due.

    Parameters
    ----------
    errors
        The days of the window.
    params
        Parameters of the test.
    objective
        Largest mean loss; None when none was ever derived.

    Returns
    -------
    Finding
        `value` is the champion's mean loss over all that is labelled. The detail holds
        error and coverage per horizon step, what the error is at least, if every missing
        label proved its forecast perfect, and error and coverage of other versions.
        `NO_DATA` without forecasts, without an objective, or with too few labels.

    Examples
    --------
    >>> errors = DayErrors(
    ...     days=(date(2026, 1, 1),), sums=np.array([[6.0, 9.0]]),
    ...     n_labelled=np.array([[10, 10]]), n_expected=np.array([[10, 10]]),
    ... )
    >>> found = evaluate(errors, AccuracyParams(), objective=0.5)
    >>> found.outcome.value, found.value
    ('breach', 0.75)
    """
    window = _window(errors.days)
    n_labelled, n_expected = int(errors.n_labelled.sum()), int(errors.n_expected.sum())
    threshold = params.objective if params.objective is not None else objective
    if n_expected == 0:
        cause = "no forecast was served on these days"
        if errors.others:
            cause = (
                f"no forecast of the champion was served, of others: {', '.join(errors.others)}"
            )
        return no_data(window, cause, threshold=threshold)
    coverage = n_labelled / n_expected
    if coverage < params.min_coverage:
        cause = f"{coverage:.0%} of the labels are in"
        return no_data(window, cause, threshold=threshold)
    if threshold is None:
        return no_data(window, "no objective: none was set, none was derived")
    value = float(errors.sums.sum()) / n_labelled
    measure = errors.measure
    cause = (
        f"{measure.name} {measure.text(value)} over {len(errors.days)} days,"
        f" objective {measure.text(threshold)}"
    )
    detail = AccuracyDetail(
        coverage=coverage,
        at_least=float(errors.sums.sum()) / n_expected,
        per_step=_per_step(errors),
        other_versions=errors.others,
    )
    return Finding.of(value, threshold, window, cause, detail)


def objective(backtest: Floats, params: AccuracyParams) -> Objective:
    """Derive what a version may be held to from forecasts of its own past.

    Parameters
    ----------
    backtest : (day, step)
        Mean absolute errors, standardised, of days that the forecasting
        network had not learned. NaN where no label is in.
    params
        The window in which live errors will be evaluated.

    Returns
    -------
    Objective
        A tenth above the worst window of the backtest, and never less than
        1.25 times the median: no normal season of the past would have paged.

    Raises
    ------
    ValueError
        If the backtest is shorter than one window, or empty.

    Examples
    --------
    >>> round(objective(np.full((30, 2), 0.4), AccuracyParams()).value, 3)
    0.5
    """
    length = params.window_days
    if len(backtest) < length:
        raise ValueError(f"a backtest of {len(backtest)} days has no window of {length}")
    there = np.isfinite(backtest)
    sums, n = (
        np.lib.stride_tricks.sliding_window_view(part.sum(axis=1), length).sum(axis=1)
        for part in (np.where(there, backtest, 0.0), there)
    )
    means = sums[n > 0] / n[n > 0]
    if means.size == 0:
        raise ValueError("the backtest holds no error at all")
    median, worst = float(np.median(means)), float(means.max())
    return Objective(
        value=max(MARGIN * worst, FLOOR * median),
        median=median,
        worst=worst,
        n_windows=len(means),
    )


def _per_step(errors: DayErrors) -> tuple[LabelledStep, ...]:
    parts = (errors.sums, errors.n_labelled, errors.n_expected)
    steps = zip(*(part.sum(axis=0) for part in parts), strict=True)
    return tuple(LabelledStep.of(*of, step=step) for step, of in enumerate(steps, start=1))


def _window(days: tuple[date, ...]) -> Window:
    start = datetime.combine(days[0], time(), UTC)
    return Window(start, datetime.combine(days[-1], time(), UTC) + timedelta(days=1))
