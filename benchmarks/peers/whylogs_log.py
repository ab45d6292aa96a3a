"""What `why.log(row=...)` costs its host; run by the Python of `.peers/whylogs`.

Prints one JSON object: for each case the median and the 99th percentile, in
microseconds. A window is logged as one number per step and feature, which is
how whylogs profiles numbers.
"""

import json
import logging
import sys
import time

import numpy as np
import whylogs as why

N_STEPS, N_FEATURES = 24, 8


def measure(row: dict[str, float], n_calls: int) -> list[float]:
    """Return median and 99th percentile of one call, in microseconds."""
    seconds = []
    for _ in range(n_calls):
        started = time.perf_counter_ns()
        why.log(row=row)
        seconds.append(time.perf_counter_ns() - started)
    return [float(value) / 1000 for value in np.percentile(seconds, [50, 99])]


def main() -> None:
    """Measure both rows."""
    logging.disable(logging.WARNING)
    values = np.random.default_rng(7).uniform(size=(N_STEPS, N_FEATURES))
    window = {
        f"feature_{j}.{i}": float(values[i, j])
        for i in range(N_STEPS)
        for j in range(N_FEATURES)
    }
    cases = {
        "one step": measure({"load": 1.5, "output.load": 2.5}, 2000),
        "24 x 8": measure(window, 100),
    }
    sys.stdout.write(json.dumps(cases))


if __name__ == "__main__":
    main()
