"""Forecast: numbers at the next steps of a series."""

from collections.abc import Mapping
from math import isnan, sqrt

import numpy as np

from core.arrays import Floats
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.task import LabelStream, Matched, Measure, Metric, Scored, Task, Units
from tasks import residual_sums
from tasks.errors import apart


def output(contract: Contract) -> tuple[Feature, ...]:
    """Return a list of so many numbers as the horizon has steps, for each target."""
    n = contract.horizon
    return tuple(Feature(name=name, min_length=n, max_length=n) for name in contract.targets)


def label(contract: Contract) -> tuple[Feature, ...]:
    """Return numbers for each target; a label may be partial."""
    return tuple(Feature(name=target, optional=True) for target in contract.targets)


def score(_: Contract, units: Units, matched: Matched) -> Scored:
    """Return the absolute error in units, beside that of what happened a season ago."""
    error = apart(matched.predicted, matched.actual, units.std)
    naive = apart(matched.naive, matched.actual, units.std)
    expected = np.isfinite(matched.predicted)
    labelled, compared = np.isfinite(error), np.isfinite(naive) & expected
    loss = np.abs(np.where(labelled, error, 0.0))
    return Scored(
        expected=expected,
        labelled=labelled,
        loss=loss,
        naive=np.abs(np.where(compared, naive, 0.0)),
        compared=compared,
        usable=np.asarray(expected.all(axis=(1, 2))),
        sums=(loss * loss,),
        error=error,
    )


def residuals(matched: Matched, scored: Scored) -> Floats:
    """Return the sums of `tasks.residual_sums`."""
    assert scored.error is not None
    return residual_sums.of_rows(matched.rows, scored.error, scored.expected)


def skill(sums: Mapping[str, float]) -> float | None:
    """Return the loss over that of the naive baseline; None where that is not known."""
    return None if isnan(sums["naive"]) or not sums["naive"] else sums["loss"] / sums["naive"]


SKILL = Metric(name="relative to naive", unit="", of=skill)

TASK = Task(
    name="forecast",
    question="Which numbers follow in a series?",
    output=output,
    label=label,
    score=score,
    measure=Measure(
        name="error",
        unit="SD",
        meaning="mean absolute error in units of the scaler",
    ),
    sums=("squared",),
    metrics=(
        Metric(name="MAE", unit="SD", of=lambda sums: sums["loss"] / sums["labelled"]),
        Metric(
            name="RMSE", unit="SD", of=lambda sums: sqrt(sums["squared"] / sums["labelled"])
        ),
        SKILL,
    ),
    streams=(LabelStream(stream=residual_sums.RESIDUALS, sums=residuals),),
)
