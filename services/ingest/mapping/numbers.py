"""Columns of numbers and categories in a table, as values or as lists."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import Unprocessable
from core.schema.rows import NUMBERS, TEXTS
from services.ingest.formats.columns import even_lists, is_text
from services.ingest.formats.exact_numbers import MAX_INTEGER, REASON
from services.ingest.mapping.cells import Refuse, cast, present, without

_LIST = r"^\s*\["
_FLAGS = {"true": "1", "false": "0"}


def read(name: str, column: pa.Array, refuse: Refuse) -> pa.Array:
    """Return numbers, or lists of numbers; NaN is missing, as most tools write it.

    Integers and booleans keep their type: the platform refuses, row by row, those that are not
    valid for a number of the contract. In text, which has one type only, they are refused
    here, as are texts that are no number.
    """
    if is_text(column.type):
        column = present(column)
        if pc.any(pc.match_substring_regex(column, _LIST)).as_py():
            return _lists(name, column, refuse)
        read = cast(name, column, pa.float64(), refuse)
        column = _without_rounded(name, column, read, refuse)
    elif pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.float64(), safe=False)
    elif pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    else:
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def flags(column: pa.Array) -> pa.Array:
    """Return the texts true and false as 1 and 0, for a number that allows booleans."""
    if not is_text(column.type):
        return column
    texts = column.cast(pa.string())
    for word, number in _FLAGS.items():
        is_word = pc.equal(pc.utf8_lower(texts), word)
        texts = pc.if_else(is_word, pa.scalar(number), texts)
    return texts


def side_by_side(name: str, columns: Sequence[pa.Array], refuse: Refuse) -> pa.Array:
    """Return one list per row, of its values in several columns."""
    parts = [read(name, column, refuse) for column in columns]
    for place, part in enumerate(parts):
        if pa.types.is_integer(part.type):
            sizes = np.abs(part.fill_null(0).to_numpy().astype(object))
            beyond = np.flatnonzero(sizes > MAX_INTEGER).tolist()
            parts[place] = _refused(name, part, beyond, refuse)
        elif not pa.types.is_floating(part.type) and not pa.types.is_boolean(part.type):
            raise Unprocessable(f"{name}: of several columns each must hold numbers")
    flat = np.column_stack(
        [part.cast(pa.float64()).to_numpy(zero_copy_only=False) for part in parts]
    )
    values = pa.array(flat.ravel(), mask=np.isnan(flat).ravel())
    return even_lists(values, len(parts))


def categories(columns: Sequence[pa.Array]) -> pa.Array:
    """Return texts, or lists of texts: of several columns, or where each text is a JSON list.

    An export to CSV writes a category as a JSON list. Texts stay plain unless all of them
    are such lists.
    """
    if len(columns) > 1:
        parts = [column.cast(pa.string()).to_pylist() for column in columns]
        flat = [text for row in zip(*parts, strict=True) for text in row]
        return even_lists(pa.array(flat, pa.string()), len(columns))
    (column,) = columns
    if not is_text(column.type) or column.null_count == len(column):
        return column
    texts = column.cast(pa.string())
    if not pc.all(pc.match_substring_regex(texts, _LIST)).as_py():
        return column
    lists = [None if text is None else _texts(text) for text in texts.to_pylist()]
    is_list = all(
        one is not None or text is None
        for one, text in zip(lists, texts.to_pylist(), strict=True)
    )
    return pa.array(lists, TEXTS) if is_list else column


def _texts(text: str) -> list[str | None] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    is_texts = isinstance(found, list) and all(isinstance(one, str | None) for one in found)
    return found if is_texts else None


def _lists(name: str, column: pa.Array, refuse: Refuse) -> pa.Array:
    """Read JSON lists of numbers."""
    lists: list[list[float | None] | None] = []
    for row, text in enumerate(column.to_pylist()):
        try:
            found = None if text is None else json.loads(text)
            kinds = {type(one) for one in found or ()}
        except (ValueError, TypeError):
            kinds, found = {str}, None
        if not (found is None or isinstance(found, list)) or kinds - {int, float, type(None)}:
            refuse(row, name, "not a list of numbers")
            found = None
        if any(type(one) is int and abs(one) > MAX_INTEGER for one in found or ()):
            refuse(row, name, REASON)
            found = None
        lists.append(found)
    return pa.array(lists, NUMBERS)


def _without_rounded(name: str, texts: pa.Array, read: pa.Array, refuse: Refuse) -> pa.Array:
    """Refuse texts of integers that were rounded when they were read."""
    large = pc.greater_equal(pc.abs(read), float(MAX_INTEGER)).fill_null(False)
    if not pc.any(large).as_py():
        return read
    whole = pc.match_substring_regex(texts, r"^\s*[+-]?\d+\s*$").fill_null(False)
    rows = np.flatnonzero(np.asarray(pc.and_(large, whole))).tolist()
    beyond = [row for row in rows if abs(int(texts[row].as_py())) > MAX_INTEGER]
    return _refused(name, read, beyond, refuse)


def _refused(name: str, column: pa.Array, beyond: list[int], refuse: Refuse) -> pa.Array:
    for row in beyond:
        refuse(row, name, REASON)
    return without(column, beyond) if beyond else column
