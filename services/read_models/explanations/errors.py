"""Explanation by errors: horizon steps and days where the error grew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.schema import task
from core.schema.contract import Contract
from core.schema.task import LABELLED, LOSS
from core.window import Window
from monitors.explanation.contributions import Parts, days_moved, parts_moved
from monitors.finding import as_json
from monitors.summaries.summary import Floats
from services.labels import error_days

BEFORE = timedelta(days=28)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepError:
    """One step of the horizon: losses, and its part in the change."""

    step: int
    error: float | None
    error_before: float | None
    moved: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayError:
    """One event day of the window or before it; `moved` is None before it."""

    day: date
    error: float | None
    n_labelled: int
    moved: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """How wrong the champion was in the window, beside the four weeks before it.

    `measure` names what the errors are.
    """

    error: float | None
    error_before: float | None
    steps: tuple[StepError, ...]
    days: tuple[DayError, ...]
    measure: str


def compare(
    session: Session,
    model_id: UUID,
    version: str | None,
    contract: Contract,
    window: Window,
) -> Errors:
    """Compare a version's errors in a window with those of the four weeks before it.

    Without a version all that served count. Labels that came in since the finding count too.
    """
    first, n_days = (window.start - BEFORE).date(), (window.end - window.start).days
    n_before = BEFORE.days
    of = task.of(contract)
    n_steps = of.cells(contract)[0]
    sums, n = np.zeros((2, n_before + n_days, n_steps))
    end = first + timedelta(days=len(sums))
    for row in error_days.read(session, model_id, contract, (first, end), shadow=False):
        at = (row.day - first).days
        if row.is_forecast and version in (None, row.version):
            cells = row.cells.sum(axis=1)
            sums[at] += of.n_summed(contract) * cells[:, LOSS]
            n[at] += cells[:, LABELLED]
    now, before = (
        _by_step(sums[n_before:], n[n_before:]),
        _by_step(sums[:n_before], n[:n_before]),
    )
    steps = parts_moved(now, before)
    days = np.full(len(sums), np.nan)
    within = Parts(n=n[n_before:].sum(axis=1), total=sums[n_before:].sum(axis=1), n_days=n_days)
    days[n_before:] = days_moved(within, before)
    by_day = Parts(n=n.sum(axis=1), total=sums.sum(axis=1), n_days=len(sums))
    return Errors(
        error=_mean(sums[n_before:], n[n_before:]),
        error_before=_mean(sums[:n_before], n[:n_before]),
        steps=tuple(
            StepError(
                step=i + 1,
                error=as_json(now.mean[i]),
                error_before=as_json(before.mean[i]),
                moved=as_json(steps[i]),
            )
            for i in range(n_steps)
        ),
        days=_days(first, by_day, days),
        measure=of.measure.meaning,
    )


def _by_step(sums: Floats, n: Floats) -> Parts:
    return Parts(n=n.sum(axis=0), total=sums.sum(axis=0), n_days=len(n))


def _mean(sums: Floats, n: Floats) -> float | None:
    return float(sums.sum() / n.sum()) if n.any() else None


def _days(first: date, by_day: Parts, moved: Sequence[float] | Floats) -> tuple[DayError, ...]:
    return tuple(
        DayError(
            day=first + timedelta(days=i),
            error=as_json(by_day.mean[i]),
            n_labelled=int(by_day.n[i]),
            moved=as_json(moved[i]),
        )
        for i in range(len(by_day.n))
    )
