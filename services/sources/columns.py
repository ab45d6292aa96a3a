"""Columns of a source: their types, and how they differ from those of the first page."""

from collections.abc import Callable, Mapping

import pyarrow as pa

from services.ingest.formats.columns import is_list, is_text

UNKNOWN = "null"  # the type of a column without a value


def types_of(table: pa.Table) -> dict[str, str]:
    """Return the type of each column, as far as a source keeps to it.

    Examples
    --------
    >>> types_of(pa.table({"a": [1], "b": [0.5], "c": ["x"], "d": [[1]], "e": [None]}))
    {'a': 'number', 'b': 'number', 'c': 'text', 'd': 'list of number', 'e': 'null'}
    """
    return {field.name: _type(field.type) for field in table.schema}


_KINDS: Mapping[str, Callable[[pa.DataType], bool]] = {
    UNKNOWN: pa.types.is_null,
    "text": is_text,
    "time": lambda given: pa.types.is_timestamp(given) or pa.types.is_date(given),
    "number": lambda given: (
        (pa.types.is_primitive(given) and not pa.types.is_temporal(given))
        or pa.types.is_decimal(given)
    ),
}


def _type(given: pa.DataType) -> str:
    if pa.types.is_dictionary(given):
        return _type(given.value_type)
    if is_list(given):
        return f"list of {_type(given.value_type)}"
    return next((name for name, is_one in _KINDS.items() if is_one(given)), str(given))


def merged(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return the types that are known after one more page; a column that is new is not known.

    Examples
    --------
    >>> merged({"a": "number", "b": "null"}, {"a": "text", "b": "text", "c": "text"})
    {'a': 'number', 'b': 'text'}
    """
    known = before or dict.fromkeys(now, UNKNOWN)
    return {name: now.get(name, UNKNOWN) if _is_open(of) else of for name, of in known.items()}


def retyped(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Describe the columns that have another type.

    Examples
    --------
    >>> retyped({"a": "number", "b": "null"}, {"a": "text", "b": "text", "c": "text"})
    {'a': 'column a is text, it was number'}
    """
    return {
        name: f"column {name} is {of}, it was {before[name]}"
        for name, of in now.items()
        if name in before
        and of != before[name]
        and not (_is_open(of) or _is_open(before[name]))
    }


def _is_open(given: str) -> bool:
    return given.endswith(UNKNOWN)
