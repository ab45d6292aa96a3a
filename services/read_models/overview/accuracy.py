"""Error of a model by event day and by step of the horizon."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from core.durations import DAY
from core.schema import task
from core.schema.contract import Contract
from core.schema.task import EXPECTED, LABELLED, LOSS, NAIVE
from core.window import Window, midnight
from services.labels.error_days import ErrorDay
from tasks.sums import metrics

WEEK = timedelta(days=7)  # over which the error by step is a mean

Cells = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayError:
    """One event day of one version.

    Attributes
    ----------
    error
        Mean loss of the model's task; None before the first label.
    coverage
        Share of the expected labels that are in, 0 to 1.
    """

    day: date
    version: str
    is_shadow: bool
    error: float | None
    coverage: float
    n_predictions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepErrors:
    """The error at each step of the horizon, over the last days with labels.

    `metrics` are those of the model's task, over all steps and targets.
    """

    version: str
    is_shadow: bool
    errors: tuple[float | None, ...]
    naive: tuple[float | None, ...]
    metrics: Mapping[str, float | None]


def by_day(rows: Sequence[ErrorDay], contract: Contract) -> tuple[DayError, ...]:
    """Return the error of each day and version, in the order of the rows."""
    return tuple(_day_error(row, contract) for row in rows if row.is_forecast)


def by_step(rows: Sequence[ErrorDay], contract: Contract) -> tuple[StepErrors, ...]:
    """Return each version's error by step, over the last week with labels: the same for all."""
    groups: dict[tuple[str, bool], list[tuple[date, Cells]]] = defaultdict(list)
    for row in rows:
        if row.is_forecast and row.cells[:, :, LABELLED].any():
            groups[row.version, row.is_shadow].append((row.day, row.cells))
    newest = max((day for days in groups.values() for day, _ in days), default=date.min)
    since = max(newest, date.min + WEEK) - WEEK
    recent = {
        key: [cells for day, cells in days if day > since] for key, days in groups.items()
    }
    return tuple(
        _step_errors(version, is_shadow, days, contract)
        for (version, is_shadow), days in recent.items()
        if days
    )


def week_until(newest: date) -> Window:
    """Return the week of event days up to one, that day included."""
    return Window(midnight(newest - WEEK + DAY), midnight(newest + DAY))


def _day_error(row: ErrorDay, contract: Contract) -> DayError:
    total = row.cells.sum(axis=(0, 1))
    loss = task.of(contract).n_summed(contract) * total[LOSS]
    return DayError(
        day=row.day,
        version=row.version,
        is_shadow=row.is_shadow,
        error=_ratio(loss, total[LABELLED]),
        coverage=_ratio(total[LABELLED], total[EXPECTED]) or 0.0,
        n_predictions=row.n_predictions,
    )


def _step_errors(
    version: str, is_shadow: bool, days: list[Cells], contract: Contract
) -> StepErrors:
    of, total = task.of(contract), np.sum(days, axis=0)
    steps, n = total.sum(axis=1), of.n_summed(contract)
    return StepErrors(
        version=version,
        is_shadow=is_shadow,
        errors=tuple(_ratio(n * step[LOSS], step[LABELLED]) for step in steps),
        naive=tuple(_ratio(n * step[NAIVE], step[LABELLED]) for step in steps),
        metrics=metrics(of, total),
    )


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 and np.isfinite(part) else None
