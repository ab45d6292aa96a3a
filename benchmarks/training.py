"""How good is the built-in forecaster on a public series, and how long does it train?

Run: `python -m benchmarks.training [FILE]`: ETTh1, from `SEQWATCH_DATA` or
`../shared/data` by default, by the split of the literature (12, 4 and 4 months,
standardised by the first), 96 hours back, 24 and 96 ahead, seed 0.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.bar import Bar, report
from core.errors import Unprocessable
from examples.forecaster.world import find_series, read_series
from retrain.plan import Sizes
from retrain.template import FitRun, TrainingSet
from retrain.templates.segment_lstm import KIND, Params
from retrain.windows import Floats, spread

BACK = 96
MONTH = 30 * 24
ENDS = (12 * MONTH, 16 * MONTH, 20 * MONTH)  # of training, validation and test
ERRORS = {24: 0.33, 96: 0.41}  # mean squared, by horizon
CPU_SECONDS = 120


def test_error(series: Floats, horizon: int) -> tuple[float, float]:
    """Return the mean squared error over the test months, and the CPU seconds of training."""
    inputs = series[None]
    began = time.process_time()
    template = KIND.load()
    data = TrainingSet(
        inputs=inputs,
        targets=inputs,
        learn=spread(1, BACK, ENDS[0] - horizon + 1, 1),
        validate=spread(1, ENDS[0], ENDS[1] - horizon + 1, 1),
        sizes=Sizes(input_length=BACK, horizon=horizon, day=24),
    )
    trained = template.fit(Params(), data, FitRun())
    seconds = time.process_time() - began
    origins = np.arange(ENDS[1], ENDS[2] - horizon + 1)
    predicted = template.predict(
        trained.fitted, np.stack([series[origin - BACK : origin] for origin in origins])
    )
    actual = np.stack([series[origin : origin + horizon] for origin in origins])
    return float(((predicted - actual) ** 2).mean()), seconds


def main() -> int:
    """Report both horizons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    path = find_series(parser.parse_args().file)
    if path is None:
        raise Unprocessable("no ETTh1.csv: name the file, or set SEQWATCH_DATA")
    torch.set_num_threads(1)
    series = read_series(path, 0)
    learnt = series[: ENDS[0]]
    series = (series - learnt.mean(axis=0)) / learnt.std(axis=0)
    total = 0.0
    for horizon, limit in ERRORS.items():
        error, seconds = test_error(series, horizon)
        total += seconds
        name = f"training: ETTh1 MSE, {horizon} ahead"
        report(Bar(name=name, figure=error, unit="", at_most=limit))
    report(Bar(name="training: CPU of both", figure=total, unit="s", at_most=CPU_SECONDS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
