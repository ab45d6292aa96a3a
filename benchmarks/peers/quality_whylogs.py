"""whylogs: profiles compared by its default for numbers, KS over 100 quantiles, p < .05."""

import logging
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import whylogs as why
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

from benchmarks.peers.exchange import serve


def profile(values: Any) -> Any:
    """Profile one column."""
    return why.log(pd.DataFrame({"x": values[np.isfinite(values)]})).view()


def evaluate(reference: Any, trials: Any) -> tuple[Any, Any]:
    """Compare the profile of each week with that of the reference."""
    then = profile(reference.ravel())
    score, alarm = [], []
    for trial in trials:
        found = calculate_drift_scores(profile(trial), then, with_thresholds=True)
        (one,) = found.values()
        score.append(one["statistic"])
        alarm.append(one["drift_category"] == "DRIFT")
    return score, alarm


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    serve(evaluate, str(why.__version__))
