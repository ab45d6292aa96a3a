"""What must be kept of a feature's day, at a thousand values an hour."""

import numpy as np

from monitors.summaries.serialization import to_bytes
from monitors.summaries.summary import freeze
from monitors.summaries.values import Column, summarise

PER_HOUR, HOURS = 1000, 24
_SUMMARIES = ("Seqwatch",)
_NOTHING = ("always", "never", "tosses")


def kept(name: str) -> str:
    """Return the bytes that a detector's kind keeps of a feature's day.

    Whoever compares raw values keeps them, as float64. whylogs keeps
    profiles; what one takes is not measured here.
    """
    if name.startswith(_NOTHING):
        return "0"
    if name.startswith(_SUMMARIES):
        return f"{_summary():,}"
    if name.startswith("whylogs"):
        return "a profile"
    if name.startswith("River"):
        return "its own window"
    return f"{PER_HOUR * HOURS * 8:,} raw"


def _summary() -> int:
    values = np.random.default_rng(0).normal(size=PER_HOUR * HOURS)
    column = Column(
        values=values,
        chunks=np.repeat(np.arange(HOURS), PER_HOUR),
        repeats=np.zeros(values.size, dtype=np.bool_),
    )
    return len(to_bytes(summarise([column], freeze({"x": values}))))
