"""Integers that a 64-bit float cannot hold exactly.

Numbers of a feature, an output or a label are 64-bit floats. From 2^53 on they have gaps:
an identifier would silently become another one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.formats.columns import Faults, Mask, rows_with

MAX_INTEGER = 2**53
BOOLEAN = "expected numbers, got booleans: they are for a declared range of 0 to 1"
REASON = "an integer beyond 2^53, which a 64-bit float cannot hold exactly"
_GROUPS = ("features", "output", "actual")


def refuse_inexact(column: pa.Array, field: str, faults: Faults, *, booleans: bool) -> None:
    """Add faults for rows of an Arrow column whose numbers cannot be stored exactly.

    Parameters
    ----------
    column : (row,)
        Single values, or lists of them, of any type.
    field
        Its name, for the faults.
    faults
        Collects the faults.
    booleans
        Whether true and false are numbers of this field.
    """
    is_list = not pa.types.is_dictionary(column.type) and hasattr(column.type, "value_type")
    values = column.flatten() if is_list else column
    if pa.types.is_integer(values.type):
        bad, reason = _is_beyond(values), REASON
    elif pa.types.is_boolean(values.type) and not booleans:
        bad, reason = np.asarray(values.is_valid()), BOOLEAN
    else:
        return
    if bad is not None and bad.any():
        faults.where(rows_with(column, bad) if is_list else bad, field, reason)


def _is_beyond(integers: pa.Array) -> Mask | None:
    if integers.type.bit_width < 64 or integers.null_count == len(integers):
        return None
    bounds = pc.min_max(integers).as_py()
    if bounds["min"] >= -MAX_INTEGER and bounds["max"] <= MAX_INTEGER:
        return None
    low = 0 if pa.types.is_unsigned_integer(integers.type) else -MAX_INTEGER
    bad = pc.or_(
        pc.less(integers, pa.scalar(low, integers.type)),
        pc.greater(integers, pa.scalar(MAX_INTEGER, integers.type)),
    )
    return np.asarray(bad.fill_null(False))


def note(row: int, sent: Mapping[str, Any], faults: Faults) -> None:
    """Add a fault for the first integer beyond 2^53 in a row as it was sent."""
    for group in _GROUPS:
        lists = sent.get(group)
        for name, value in lists.items() if isinstance(lists, dict) else ():
            values: Sequence[object] = value if isinstance(value, list) else [value]
            if any(type(each) is int and abs(each) > MAX_INTEGER for each in values):
                faults.add(row, f"{group}.{name}", REASON)
                return
