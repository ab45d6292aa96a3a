"""Frouros: its two-sample test of Cramer and von Mises, p < .05."""

from importlib.metadata import version
from typing import Any

import numpy as np
from frouros.detectors.data_drift import CVMTest

from benchmarks.peers.exchange import serve


def evaluate(reference: Any, trials: Any) -> tuple[Any, Any]:
    """Fit on the reference, compare each week."""
    detector = CVMTest()
    detector.fit(X=reference.ravel())
    found = [detector.compare(X=trial[np.isfinite(trial)])[0] for trial in trials]
    return [one.statistic for one in found], [one.p_value < 0.05 for one in found]


if __name__ == "__main__":
    serve(evaluate, version("frouros"))
