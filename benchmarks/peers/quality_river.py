"""River's ADWIN, which reads values as they come; delta .002 as documented.

A path starts five weeks before the first day that counts. The score of a day
is the strictest delta that calls on it.
"""

from typing import Any

import numpy as np
import river
from river import drift

from benchmarks.peers.exchange import serve

DELTAS = (0.5, 0.1, 0.02, 0.002, 1e-4, 1e-6, 1e-9, 1e-13, 1e-18)
DEFAULT = 0.002


def evaluate(reference: Any, trials: Any) -> tuple[Any, Any]:
    """Read each path once for every delta; `reference` is (lead, span) in hours."""
    lead, span = (int(part) for part in reference)
    score, alarm = [], []
    for path in trials:
        calls = {delta: calls_of(path, delta)[lead:].reshape(-1, span) for delta in DELTAS}
        strict = [
            np.where(of.any(axis=1), -np.log10(delta), -1.0) for delta, of in calls.items()
        ]
        score.append(np.max(strict, axis=0))
        alarm.append(calls[DEFAULT].any(axis=1))
    return score, alarm


def calls_of(path: Any, delta: float) -> Any:
    """Return at which hours ADWIN calls."""
    detector, calls = drift.ADWIN(delta=delta), np.zeros(len(path), dtype=bool)
    for i, value in enumerate(path.tolist()):
        if value == value:  # a step that was dropped never arrives
            detector.update(value)
            calls[i] = detector.drift_detected
    return calls


if __name__ == "__main__":
    serve(evaluate, str(river.__version__))
