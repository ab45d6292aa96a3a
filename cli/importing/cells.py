"""Text of a file, read as another type, with the row that cannot be read."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import Unprocessable

# What tools write into a CSV where a number, a flag or a time is missing. In a column of
# texts they are texts: there only the empty field is null.
_NULLS = pa.array(["NA", "NaN", "nan", "null", "NULL", "None"])


def is_text(column: pa.Array) -> bool:
    """Return whether a column holds texts, in any layout."""
    kinds, given = pa.types, column.type
    return bool(
        kinds.is_string(given) or kinds.is_large_string(given) or kinds.is_string_view(given)
    )


def present(column: pa.Array) -> pa.Array:
    """Return texts, null where one of the words for a missing value stands."""
    texts = column.cast(pa.string())
    is_null = pc.is_in(texts, value_set=_NULLS)
    return (
        pc.if_else(is_null, pa.scalar(None, pa.string()), texts)
        if pc.any(is_null).as_py()
        else texts
    )


def cast(name: str, column: pa.Array, wanted: pa.DataType, first: int) -> pa.Array:
    """Read texts as another type.

    Raises
    ------
    Unprocessable
        Naming the first row that is no such value; `first` is the place of the first row.
    """
    return converted(
        column,
        lambda some: some.cast(wanted),
        lambda row: Unprocessable(f"row {first + row}, {name}: expected {wanted}"),
    )


def converted(
    column: pa.Array,
    convert: Callable[[pa.Array], pa.Array],
    refusal: Callable[[int], Unprocessable],
) -> pa.Array:
    """Convert a column, or raise the refusal of the first row that cannot be converted."""
    try:
        return convert(column)
    except pa.ArrowInvalid:
        start, end = 0, len(column)
        while end - start > 1:  # halve until it is found
            middle = (start + end) // 2
            try:
                convert(column.slice(start, middle - start))
                start = middle
            except pa.ArrowInvalid:
                end = middle
        raise refusal(start) from None
