"""A task of lists: a class by name for each step of a sequence of any length."""

import numpy as np

from core.arrays import Floats
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature
from core.schema.task import LabelKey, Matched, Measure, Metric, Scored, Task, Units


def tags(contract: Contract) -> tuple[Feature, ...]:
    """Return a list of class names for each target, as long as the horizon at most."""
    return tuple(
        Feature(
            name=name,
            dtype=Dtype.CATEGORY,
            vocabulary=contract.label_map,
            max_length=contract.horizon,
        )
        for name in contract.targets
    )


def one_cell(contract: Contract) -> tuple[int, int]:
    """Return one cell for each target, over all steps."""
    return 1, len(contract.targets)


def score(contract: Contract, _: Units, matched: Matched) -> Scored:
    """Count the steps whose class is wrong; a list of another length is wrong throughout."""
    shape = (matched.rows.num_rows, *one_cell(contract))
    expected, labelled, wrong = np.zeros((3, *shape))
    outputs = matched.rows["output"].to_pylist()
    labels = [None] * len(outputs) if matched.labels is None else matched.labels.to_pylist()
    for i, (output, label) in enumerate(zip(outputs, labels, strict=True)):
        for k, target in enumerate(contract.targets):
            predicted, actual = (output or {}).get(target), (label or {}).get(target)
            expected[i, 0, k] = len(predicted or ())
            if predicted and actual:
                labelled[i, 0, k] = len(predicted)
                wrong[i, 0, k] = _n_wrong(predicted, actual)
    none: Floats = np.zeros(shape)
    usable = np.asarray(expected.all(axis=(1, 2)))
    return Scored(
        expected=expected,
        labelled=labelled,
        loss=wrong,
        naive=none,
        compared=none,
        usable=usable,
    )


def _n_wrong(predicted: list[str], actual: list[str]) -> int:
    if len(predicted) != len(actual):
        return len(predicted)
    return sum(a != b for a, b in zip(predicted, actual, strict=True))


TASK = Task(
    name="tagging",
    question="Which class has each step of a sequence?",
    output=tags,
    label=tags,
    score=score,
    compares_lists=True,
    keys=frozenset({LabelKey.PREDICTION_ID, LabelKey.TARGET_AT, LabelKey.SESSION_STEP}),
    cells=one_cell,
    measure=Measure(name="error rate", meaning="share of steps whose class is wrong"),
    metrics=(
        Metric(name="accuracy", unit="", of=lambda sums: 1 - sums["loss"] / sums["labelled"]),
    ),
)
