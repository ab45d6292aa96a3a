"""A task: one number for each window, such as the remaining life of a machine."""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.task import LabelKey, Matched, Measure, Metric, Scored, Task, Units


def output(contract: Contract) -> tuple[Feature, ...]:
    """Return one number for each target."""
    return tuple(Feature(name=name, max_length=1) for name in contract.targets)


def label(contract: Contract) -> tuple[Feature, ...]:
    """Return one number for each target, as far as it is known."""
    return tuple(Feature(name=name, max_length=1, optional=True) for name in contract.targets)


def refuses(contract: Contract) -> Sequence[str]:
    """Return why a contract is none of one number for each window."""
    return ["horizon must be 1"] if contract.horizon != 1 else []


def score(_: Contract, units: Units, matched: Matched) -> Scored:
    """Return the squared error, beside that of the last known value of a season ago."""
    error = (matched.predicted - matched.actual) / units.std
    naive = (matched.naive - matched.actual) / units.std
    labelled, compared = np.isfinite(error), np.isfinite(naive)
    expected = np.isfinite(matched.predicted)
    return Scored(
        expected=expected,
        labelled=labelled,
        loss=np.where(labelled, error, 0.0) ** 2,
        naive=np.where(compared, naive, 0.0) ** 2,
        compared=compared & expected,
        usable=np.asarray(expected.all(axis=(1, 2))),
        error=error,
    )


def rmse(sums: Mapping[str, float]) -> float:
    """Return the root of the mean squared error."""
    return sqrt(sums["loss"] / sums["labelled"])


TASK = Task(
    name="regression",
    question="Which number belongs to a window?",
    output=output,
    label=label,
    refuses=refuses,
    score=score,
    measure=Measure(name="squared error", meaning="mean squared error in units of the scaler"),
    metrics=(Metric(name="RMSE", unit="SD", of=rmse),),
    is_squared=True,
    keys=frozenset(LabelKey),
)
