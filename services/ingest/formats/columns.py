"""Columns of the prediction log, built from what callers send."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from core import moments
from core.errors import TooLarge
from core.schema.names import printable
from core.schema.rows import TIME

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
Ints = np.ndarray[tuple[int], np.dtype[np.int64]]

OUT_OF_RANGE = "out_of_range"  # a number whose magnitude no measurement has


class Faults:
    """Faults by row; the first fault found in a row is the one reported."""

    def __init__(self) -> None:
        self.by_row: dict[int, tuple[str, str]] = {}
        self.large: set[int] = set()

    def add(self, row: int, field: str, reason: str) -> None:
        """Add a fault of one row."""
        self.by_row.setdefault(row, (printable(field), reason))

    def where(self, bad: Mask, field: str, reason: str) -> None:
        """Add a fault of all rows at which `bad : (row,)` is true."""
        for row in np.flatnonzero(bad):
            self.add(int(row), field, reason)

    def note_large(self, large: Mask) -> None:
        """Note the rows with a number from 2^53 on, which may have been an integer."""
        self.large.update(np.flatnonzero(large).tolist())

    def among(self, rows: Ints) -> "Faults":
        """Return a view that adds faults of some rows only, counted from 0."""
        return _Among(self, rows)


class _Among(Faults):
    def __init__(self, all_rows: Faults, rows: Ints) -> None:
        super().__init__()
        self._all_rows = all_rows
        self._rows = rows

    def add(self, row: int, field: str, reason: str) -> None:
        self._all_rows.add(int(self._rows[row]), field, reason)

    def note_large(self, large: Mask) -> None:
        self._all_rows.large.update(self._rows[large].tolist())


def mask(values: pa.Array) -> Mask:
    """Return booleans as numpy has them; null is false."""
    if values.null_count:
        values = values.fill_null(False)
    return values.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def within(numbers: pa.Array, largest: float) -> bool:
    """Return whether no magnitude is above a limit, and none is NaN; nulls are left out.

    Examples
    --------
    >>> within(pa.array([1.0, None, -2.0]), 2.0), within(pa.array([float("nan")]), 2.0)
    (True, False)
    """
    if numbers.null_count:
        numbers = numbers.drop_null()
    values = numbers.to_numpy(zero_copy_only=False)
    return bool(np.abs(values).max(initial=0.0) <= largest)


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
        moment = moments.parse(text)
    except ValueError:
        faults.add(row, field, "not an RFC 3339 timestamp")
        return None
    if moment.tzinfo is None:
        faults.add(row, field, "timestamp without zone")
        return None
    return moment


def lists(values: Sequence[object], wanted: pa.DataType, *, fill: bool) -> pa.Array:
    """Build a column of lists; a bare value is a list of one.

    Parameters
    ----------
    values : (row,)
        Numbers or texts, lists of them and nulls, None, or UNSET.
    wanted
        The type of the column.
    fill
        Whether None is one missing value, `[null]`. If not, it stays null, as
        UNSET always does.
    """
    try:  # by the type of the first value; the others may be of another
        if values and type(values[0]) is list:
            if not (fill and None in values):
                return pa.array(values, wanted)
        elif fill or None not in values:
            return singles(pa.array(values, wanted.value_type))
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        pass
    return pa.array([_listed(value, fill=fill) for value in values], wanted)


def _listed(value: object, *, fill: bool) -> object:
    if value is UNSET or (value is None and not fill):
        return None
    return value if type(value) is list else [value]


def singles(values: pa.Array) -> pa.Array:
    """Put each value in a list of its own."""
    return even_lists(values, 1)


def even_lists(values: pa.Array, length: int) -> pa.Array:
    """Cut values into lists of one length."""
    offsets = pa.array(np.arange(0, len(values) + 1, length, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, values, type=pa.list_(values.type))


def rows_with(lists: pa.Array, values: Mask) -> Mask:
    """Return which lists hold any of these values, of all that the lists hold."""
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    found = np.zeros(len(lists), dtype=np.bool_)
    found[rows[values]] = True
    return found


def is_text(given: pa.DataType) -> bool:
    """Return whether values of a type are texts."""
    kinds = pa.types
    return bool(
        kinds.is_string(given) or kinds.is_large_string(given) or kinds.is_string_view(given)
    )


def is_list(given: pa.DataType) -> bool:
    """Return whether values of a type are lists, of any length."""
    kinds = pa.types
    return bool(
        kinds.is_list(given) or kinds.is_large_list(given) or kinds.is_fixed_size_list(given)
    )


def check_size(n_rows: int, max_rows: int) -> None:
    """Refuse a batch of too many rows.

    Raises
    ------
    TooLarge
        If there are more than `max_rows`.
    """
    if n_rows > max_rows:
        raise TooLarge(f"more than {max_rows} rows in one batch")
