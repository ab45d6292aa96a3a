"""Evidently's choice of test for a numerical column, at its default threshold."""

import warnings
from typing import Any

import evidently
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from evidently.legacy.calculations.stattests import get_stattest

from benchmarks.peers.exchange import serve


def evaluate(reference: Any, trials: Any) -> tuple[Any, Any]:
    """Ask what a drift report asks of each column."""
    then = pd.Series(reference.ravel())
    found = []
    for trial in trials:
        now = pd.Series(trial[np.isfinite(trial)])
        found.append(get_stattest(then, now, "num", None)(then, now, "num", None))
    # Above 1,000 rows of reference this is a distance: larger is more unusual.
    return [one.drift_score for one in found], [one.drifted for one in found]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(evaluate, str(evidently.__version__))
