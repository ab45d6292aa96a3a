"""How a peer, in its own environment, is asked: arrays in a file, arrays back.

Needs numpy alone. The file of questions holds `reference_0`, `trials_0`,
`reference_1` and so on; the answer `score_0`, `alarm_0` and so on, the CPU
seconds of evaluating without imports, and the peer's version.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Evaluator = Callable[[Any, Any], tuple[Any, Any]]


def serve(evaluate: Evaluator, version: str) -> None:
    """Evaluate each question; `evaluate(reference, trials)` answers scores and alarms."""
    questions, answers = sys.argv[1:3]
    out: dict[str, Any] = {"version": version}
    with np.load(questions) as asked:
        n = sum(name.startswith("trials_") for name in asked.files)
        cpu = time.process_time()
        for i in range(n):
            score, alarm = evaluate(asked[f"reference_{i}"], asked[f"trials_{i}"])
            out[f"score_{i}"] = np.asarray(score, dtype=float)
            out[f"alarm_{i}"] = np.asarray(alarm, dtype=bool)
        out["cpu"] = time.process_time() - cpu
    np.savez(answers, **out)
