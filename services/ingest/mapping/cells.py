"""Conversion of text columns to other types; a row that cannot be read is refused."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# What tools write into a CSV where a number, a flag or a time is missing. In a column of
# texts they are texts: there only the empty field is null.
_NULLS = pa.array(["NA", "NaN", "nan", "null", "NULL", "None"])

# Called with a row of the table, its field and a reason. It raises, or records the fault:
# then the value becomes null.
Refuse: TypeAlias = Callable[[int, str, str], None]


def present(column: pa.Array) -> pa.Array:
    """Return texts, with null for each word for a missing value."""
    texts = column.cast(pa.string())
    is_null = pc.is_in(texts, value_set=_NULLS)
    return (
        pc.if_else(is_null, pa.scalar(None, pa.string()), texts)
        if pc.any(is_null).as_py()
        else texts
    )


def cast(name: str, column: pa.Array, wanted: pa.DataType, refuse: Refuse) -> pa.Array:
    """Read texts as another type; each that is no such value is refused."""
    return converted(
        column,
        lambda some: some.cast(wanted),
        lambda row: refuse(row, name, f"expected {wanted}"),
    )


def converted(
    column: pa.Array,
    convert: Callable[[pa.Array], pa.Array],
    refuse: Callable[[int], None],
) -> pa.Array:
    """Convert a column; each row that cannot be converted is refused, and becomes null.

    Examples
    --------
    >>> refused = []
    >>> converted(pa.array(["1", "x"]), lambda c: c.cast("int64"), refused.append).to_pylist()
    [1, None]
    >>> refused
    [1]
    """
    try:
        return convert(column)
    except pa.ArrowInvalid:
        bad = []
        for row in _unreadable(column, convert):
            refuse(row)
            bad.append(row)
        return convert(without(column, bad))


def without(column: pa.Array, rows: list[int]) -> pa.Array:
    """Return a column, null in some rows."""
    is_bad = np.zeros(len(column), dtype=np.bool_)
    is_bad[rows] = True
    return pc.if_else(pa.array(is_bad), pa.scalar(None, column.type), column)


def _unreadable(
    column: pa.Array, convert: Callable[[pa.Array], pa.Array], start: int = 0
) -> Iterator[int]:
    """Yield the rows that cannot be converted, in order: halve until they are found."""
    try:
        convert(column)
    except pa.ArrowInvalid:
        middle = len(column) // 2
        if middle == 0:
            yield start
        else:
            yield from _unreadable(column.slice(0, middle), convert, start)
            yield from _unreadable(column.slice(middle), convert, start + middle)
