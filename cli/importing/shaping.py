"""Rows of a file, brought into the columns that the interface takes."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cli.importing.mapping import OF_LABELS, TEXTS, TIMES, Layout, Unit
from core.contract import Contract
from core.errors import Unprocessable
from core.feature import Dtype
from core.rows import NUMBERS, TIME

_UNITS = {Unit.SECONDS: "s", Unit.MILLISECONDS: "ms", Unit.MICROSECONDS: "us"}
_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"


class Shaper:
    """Brings the rows of one file into form.

    Parameters
    ----------
    layout
        Where each field comes from.
    contract
        What the fields hold.
    digest
        Of the file: rows without an id are named after it and their place.
    """

    def __init__(self, layout: Layout, contract: Contract, digest: str) -> None:
        self._layout = layout
        self._texts = {
            f"features.{f.name}" for f in contract.features if f.dtype is Dtype.CATEGORY
        }
        self._digest = digest

    def predictions(self, rows: pa.Table, first: int) -> pa.Table:
        """Return predictions, or past input; `first` is the place of the first row."""
        wishes = self._layout.wishes
        made = {
            name: self._column(name, rows, first)
            for name in self._layout.fields
            if not name.startswith("actual") and name not in ("target_at", "arrived_at")
        }
        made.setdefault("prediction_id", self._ids(len(rows), first))
        if wishes.is_reference:
            made.pop("version", None)
        elif wishes.version is not None:
            made["version"] = _constant(wishes.version, len(rows))
        if wishes.entity is not None:
            made["entity"] = _constant(wishes.entity, len(rows))
        return pa.table(made)

    def labels(self, rows: pa.Table, first: int) -> tuple[pa.Table, pa.Array]:
        """Return labels, and for each of them its place in the file.

        Rows that say nothing yet are left out.
        """
        wishes, fields = self._layout.wishes, self._layout.fields
        made = {
            name: self._column(name, rows, first)
            for name in fields
            if name.startswith("actual") or name in OF_LABELS
        }
        if wishes.entity is not None:
            made["entity"] = _constant(wishes.entity, len(rows))
        if wishes.is_series:
            made.pop("prediction_id", None)
            made["target_at"] = self._column("at", rows, first)
        elif "target_at" in made:
            if self._layout.has_predictions:
                made.pop("prediction_id", None)
        else:
            made.pop("entity", None)
            made.setdefault("prediction_id", self._ids(len(rows), first))
        told = np.zeros(len(rows), dtype=np.bool_)
        for name, column in made.items():
            if name.startswith("actual"):
                told |= np.asarray(column.is_valid())
        places = pa.array(np.flatnonzero(told) + first)
        return pa.table(made).filter(pa.array(told)).combine_chunks(), places

    def _ids(self, n: int, first: int) -> pa.Array:
        numbers = pa.array(np.arange(first, first + n)).cast(pa.string())
        return pc.binary_join_element_wise(self._digest[:16], numbers, ":")

    def _column(self, name: str, rows: pa.Table, first: int) -> pa.Array:
        columns = [rows.column(each).combine_chunks() for each in self._layout.fields[name]]
        if name in TIMES:
            return self._moments(name, columns[0], first)
        if name in TEXTS:
            return _text(name, columns[0])
        if name.partition(".")[0] in ("features", "output", "actual") and "." in name:
            if name in self._texts:
                return columns[0]
            if len(columns) > 1:
                return _side_by_side(name, columns, first)
            return _numbers(name, columns[0], first)
        return _plain(name, columns[0], first)

    def _moments(self, name: str, column: pa.Array, first: int) -> pa.Array:
        given = column.type
        if pa.types.is_string(given) or pa.types.is_large_string(given):
            column = self._read_times(name, column, first)
        elif pa.types.is_integer(given):
            if self._layout.wishes.epoch is None:
                raise Unprocessable(f"{name} holds numbers: say what they count with --epoch")
            unit = _UNITS[self._layout.wishes.epoch]
            column = column.cast(pa.int64()).cast(pa.timestamp(unit, tz="UTC"))
        elif pa.types.is_date(given):
            column = column.cast(pa.timestamp("us"))
        elif not pa.types.is_timestamp(given):
            raise Unprocessable(f"{name}: expected times, got {given}")
        if column.type.tz is None:
            column = self._place(name, column)
        return column.cast(TIME, safe=False)

    def _read_times(self, name: str, column: pa.Array, first: int) -> pa.Array:
        column = column.cast(pa.string())
        has_zone = pc.match_substring_regex(column, _ZONE)
        kinds = {*pc.unique(has_zone.drop_null()).to_pylist()}
        if kinds == {True, False}:
            raise Unprocessable(f"{name}: some times name a zone and others do not")
        wanted = pa.timestamp("us", tz="UTC") if kinds == {True} else pa.timestamp("us")
        try:
            return column.cast(wanted)
        except pa.ArrowInvalid:
            bad = _first_bad(column, wanted)
            raise Unprocessable(f"row {first + bad}, {name}: not an ISO 8601 time") from None

    def _place(self, name: str, column: pa.Array) -> pa.Array:
        zone = self._layout.wishes.timezone
        if zone is None:
            raise Unprocessable(
                f"{name} holds times without a zone: say which with --timezone, e.g. UTC"
            )
        try:
            return pc.assume_timezone(column, zone)
        except pa.ArrowInvalid:
            raise Unprocessable(
                f"{name}: a time that {zone} has twice or not at all; write times in UTC"
            ) from None


def _constant(text: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), n)


def _text(name: str, column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
        return column.cast(pa.string())
    if pa.types.is_large_string(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.string())
    raise Unprocessable(f"{name}: expected text, got {column.type}")


def _plain(name: str, column: pa.Array, first: int) -> pa.Array:
    """Return a column that the interface can read itself, but for text from CSV."""
    if not pa.types.is_string(column.type):
        return column
    if name in ("shadow", "session_start", "session_end", "cold_start"):
        return _cast(name, pc.utf8_lower(column), pa.bool_(), first)
    whole = name in ("step_index", "queue_length", "batch_size")
    return _cast(name, column, pa.int64() if whole else pa.float64(), first)


def _numbers(name: str, column: pa.Array, first: int) -> pa.Array:
    """Return numbers, or lists of numbers; NaN is missing, as most tools write it."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        is_list = pc.match_substring_regex(column, r"^\s*\[")
        if pc.any(is_list).as_py():
            return _lists(name, column, first)
        column = _cast(name, column, pa.float64(), first)
    elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        column = column.cast(pa.float64(), safe=False)
    elif pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    else:
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _lists(name: str, column: pa.Array, first: int) -> pa.Array:
    """Read JSON lists."""
    lists = []
    for row, text in enumerate(column.to_pylist()):
        try:
            read = None if text is None else json.loads(text)
            lists.append(pa.scalar(read, NUMBERS) if isinstance(read, list) else None)
            ok = read is None or isinstance(read, list)
        except (ValueError, TypeError, pa.ArrowException):
            ok = False
        if not ok:
            raise Unprocessable(f"row {first + row}, {name}: not a list of numbers")
    return pa.array([None if one is None else one.as_py() for one in lists], NUMBERS)


def _side_by_side(name: str, columns: Sequence[pa.Array], first: int) -> pa.Array:
    """Make one list of each row's columns."""
    parts = [_numbers(name, column, first) for column in columns]
    if any(not pa.types.is_floating(part.type) for part in parts):
        raise Unprocessable(f"{name}: of several columns each must hold numbers")
    flat = np.column_stack([part.to_numpy(zero_copy_only=False) for part in parts])
    values = pa.array(flat.ravel(), mask=np.isnan(flat).ravel())
    offsets = pa.array(np.arange(len(flat) + 1, dtype=np.int32) * len(parts))
    return pa.ListArray.from_arrays(offsets, values, type=NUMBERS)


def _cast(name: str, column: pa.Array, wanted: pa.DataType, first: int) -> pa.Array:
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid:
        bad = _first_bad(column, wanted)
        raise Unprocessable(f"row {first + bad}, {name}: expected {wanted}") from None


def _first_bad(column: pa.Array, wanted: pa.DataType) -> int:
    """Return the first row that cannot be read: halve until it is found."""
    start, end = 0, len(column)
    while end - start > 1:
        middle = (start + end) // 2
        try:
            column.slice(start, middle - start).cast(wanted)
            start = middle
        except pa.ArrowInvalid:
            end = middle
    return start
