"""NannyML's univariate drift: Jensen-Shannon, three deviations of the reference chunks."""

import warnings
from typing import Any

import nannyml
import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from benchmarks.peers.exchange import serve


def evaluate(reference: Any, trials: Any) -> tuple[Any, Any]:
    """Take each week as a chunk, of the reference and of the trials."""
    width = trials.shape[1]
    calculator = nannyml.UnivariateDriftCalculator(column_names=["x"], chunk_size=width)
    calculator.fit(pd.DataFrame({"x": reference.ravel()}))
    found = calculator.calculate(pd.DataFrame({"x": trials.ravel()}))
    chunks = found.filter(period="analysis").to_df()
    chunk = chunks[("x", "jensen_shannon")]
    return np.array(chunk["value"]), np.array(chunk["alert"])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(evaluate, str(nannyml.__version__))
