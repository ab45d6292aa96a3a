"""Columns of the prediction log, built from what callers send."""

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from core.rows import NUMBERS, TIME

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")


class Faults:
    """What is wrong, by row; the first fault found in a row is the one reported."""

    def __init__(self) -> None:
        self.by_row: dict[int, tuple[str, str]] = {}

    def add(self, row: int, field: str, reason: str) -> None:
        """Note that one row is bad."""
        self.by_row.setdefault(row, (printable(field), reason))

    def where(
        self, bad: np.ndarray[tuple[int], np.dtype[np.bool_]], field: str, reason: str
    ) -> None:
        """Note all rows at which `bad : (row,)` is true."""
        for row in np.flatnonzero(bad):
            self.add(int(row), field, reason)


def printable(text: str) -> str:
    """Return a caller's text fit for a log line and for every database."""
    return _UNPRINTABLE.sub("?", text[:200])


def times(texts: Sequence[str | None], field: str, faults: Faults) -> pa.Array:
    """Read RFC 3339 timestamps; a fault, and null, where there is no moment or no zone."""
    column = pa.array(texts, pa.string())
    try:
        return column.cast(TIME)
    except pa.ArrowInvalid:
        return pa.array(
            [_time(text, row, field, faults) for row, text in enumerate(texts)], TIME
        )


def _time(text: str | None, row: int, field: str, faults: Faults) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        faults.add(row, field, "not an RFC 3339 timestamp")
        return None
    if moment.tzinfo is None:
        faults.add(row, field, "timestamp without zone")
        return None
    return moment


def lists(values: Sequence[object], *, fill: bool) -> pa.Array:
    """Build a column of lists; a bare number is a list of one.

    Parameters
    ----------
    values : (row,)
        Numbers, lists of numbers and nulls, or None.
    fill
        Whether None is one missing value, `[null]`. If not, it stays null.
    """
    if fill or None not in values:
        try:
            return singles(pa.array(values, pa.float64()))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass
    return pa.array(
        [
            value if type(value) is list or (value is None and not fill) else [value]
            for value in values
        ],
        NUMBERS,
    )


def singles(numbers: pa.Array) -> pa.Array:
    """Wrap each number in a list of one; a null becomes `[null]`."""
    offsets = pa.array(np.arange(len(numbers) + 1, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, numbers, type=NUMBERS)
