"""Bodies that send columns: `{"columns": {"version": […], "features": {"load": […]}}}`."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from core.errors import Unprocessable
from core.schema.names import printable
from services.ingest.formats.columns import check_size
from services.ingest.formats.row_types import Field


def check_lengths(columns: msgspec.Struct, fields: list[Field]) -> int:
    """Return how many rows the columns hold.

    Raises
    ------
    Unprocessable
        If they do not agree, naming the first that differs.
    """
    return _agree(_typed(columns, fields))


def _typed(columns: msgspec.Struct, fields: list[Field]) -> Iterator[tuple[str, int]]:
    for field in fields:
        column = getattr(columns, field.name)
        if column is None:
            continue
        if field.children is None:
            yield field.name, len(column)
            continue
        for i, child in enumerate(field.children):
            values = getattr(column, f"f{i}")
            if values is not None:
                yield f"{field.name}.{child}", len(values)


def _agree(lengths: Iterator[tuple[str, int]]) -> int:
    first = next(lengths, None)
    if first is None:
        return 0
    for name, length in lengths:
        if length != first[1]:
            raise Unprocessable(
                f"column {printable(name)!r} has {length} rows, "
                f"{printable(first[0])!r} has {first[1]}"
            )
    return first[1]


def rows_of(columns: object, fields: list[Field], max_rows: int) -> list[object]:
    """Turn columns of any content into rows, so that each bad one can be named.

    Raises
    ------
    Unprocessable
        If they are no columns, or do not agree in length.
    TooLarge
        If they hold more rows than one batch may.
    """
    if not isinstance(columns, dict):
        raise Unprocessable("columns must be an object of lists")
    nested = {field.name for field in fields if field.children is not None}
    n_rows = _agree(_untyped(columns, nested))
    check_size(n_rows, max_rows)
    whole = {name: column for name, column in columns.items() if column is not None}
    may_be_null = {field.name for field in fields if field.is_nullable}
    return [_row(whole, row, may_be_null) for row in range(n_rows)]


def _untyped(columns: Mapping[Any, Any], nested: set[str]) -> Iterator[tuple[str, int]]:
    for name, column in columns.items():
        if column is None:
            continue
        if not isinstance(column, dict):
            yield _counted(str(name), column)
            continue
        if name not in nested:
            raise Unprocessable(f"column {printable(str(name))!r} must be a list")
        for child, values in column.items():
            if values is not None:
                yield _counted(f"{name}.{child}", values)


def _counted(name: str, column: object) -> tuple[str, int]:
    if not isinstance(column, list):
        raise Unprocessable(f"column {printable(name)!r} must be a list")
    return name, len(column)


def _row(columns: Mapping[Any, Any], row: int, may_be_null: set[str]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for name, column in columns.items():
        if isinstance(column, list):
            made[name] = column[row]
            continue
        lists = {child: values[row] for child, values in column.items() if values is not None}
        # As in the typed columns: where every list is null, there is none at all.
        is_absent = name in may_be_null and not any(each is not None for each in lists.values())
        made[name] = None if is_absent else lists
    return made
