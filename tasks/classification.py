"""Classification: the probability of each class at the next steps."""

from collections.abc import Sequence

import numpy as np

from core.arrays import Floats
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.task import LabelStream, Matched, Measure, Scored, Task, Units
from tasks import calibration_sums
from tasks.errors import apart
from tasks.forecast import SKILL, output, residuals
from tasks.residual_sums import RESIDUALS


def label(contract: Contract) -> tuple[Feature, ...]:
    """Return 0 or 1 for each class, or the share of annotators with label 1."""
    return tuple(
        Feature(name=target, optional=True, minimum=0, maximum=1) for target in contract.targets
    )


def refuses(contract: Contract) -> Sequence[str]:
    """Return why a contract is none of a classifier."""
    if contract.targets != contract.label_map:
        return ("label_map must name the targets: each class is a target",)
    return ()


def score(contract: Contract, _: Units, matched: Matched) -> Scored:
    """Return the squared error of each probability: the Brier score [1]_ over all classes.

    |p - y| is no proper score: it is least for a model that always answers with the more
    frequent class. An output that is no probability is as wrong as one can be.

    References
    ----------
    .. [1] G. W. Brier, "Verification of forecasts expressed in terms of probability",
       Monthly Weather Review 78(1), 1950, pp. 1-3.
    """
    ones = np.ones(len(contract.targets))  # a probability has no unit
    error = apart(matched.predicted, matched.actual, ones)
    np.clip(error, -1.0, 1.0, out=error)
    naive = apart(matched.naive, matched.actual, ones)
    expected = np.isfinite(matched.predicted)
    labelled, compared = np.isfinite(error), np.isfinite(naive) & expected
    loss = np.where(labelled, error, 0.0)
    naive = np.where(compared, naive, 0.0)
    return Scored(
        expected=expected,
        labelled=labelled,
        loss=loss * loss,
        naive=naive * naive,
        compared=compared,
        usable=np.asarray(calibration_sums.is_share(matched.predicted).all(axis=(1, 2))),
        error=error,
    )


def probabilities(matched: Matched, _: Scored) -> Floats:
    """Return the sums of `tasks.calibration_sums`."""
    return calibration_sums.sums(matched.predicted, matched.actual)


TASK = Task(
    name="classification",
    question="Which class is it, with which probability?",
    output=output,
    label=label,
    refuses=refuses,
    score=score,
    measure=Measure(name="Brier score", digits=4, meaning="Brier score, summed over classes"),
    is_summed=True,
    is_bounded=True,
    is_squared=True,
    metrics=(SKILL,),
    streams=(
        LabelStream(stream=RESIDUALS, sums=residuals),
        LabelStream(stream=calibration_sums.CALIBRATION, sums=probabilities),
    ),
)
