"""Bad rows as they were sent, for quarantine."""

import sys
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from core import moments
from services.ingest.formats.json_rows import RowReader


class RowContent:
    """Reads the bad rows of a body again, as they were sent."""

    def __init__(self, reader: RowReader, body: bytes, max_rows: int) -> None:
        self._reader = reader
        self._body = body
        self._max_rows = max_rows
        self._rows: list[object] | None = None

    def __call__(self, row: int) -> dict[str, Any]:
        """Return one row, as JSON values."""
        if self._rows is None:
            _, self._rows = self._reader.raw_rows(self._body, self._max_rows)
        content = plain(self._rows[row])
        return content if isinstance(content, dict) else {"row": content}


class ArrowContent:
    """Reads the bad rows of a table again, as they were sent."""

    def __init__(self, raw: pa.Table) -> None:
        self._raw = raw

    def __call__(self, row: int) -> dict[str, Any]:
        """Return one row, as JSON values."""
        columns = zip(self._raw.column_names, self._raw.columns, strict=True)
        return {plain(name): plain(_cell(column[row])) for name, column in columns}


def _cell(scalar: pa.Scalar) -> object:
    if pa.types.is_timestamp(scalar.type):
        return moments.written(scalar)
    return scalar.as_py()


def plain(value: Any) -> Any:
    """Return a value with null for each part that JSON or a database cannot hold.

    Examples
    --------
    >>> plain({"load": [1.0, float("nan")], "note": b"x"})
    {'load': [1.0, None], 'note': None}
    """
    match value:
        case dict():
            return {plain(str(name)): plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case Decimal():
            return str(value)
        case str():
            return value.encode(errors="replace").decode().replace("\0", "?")
        case datetime():
            return value.isoformat()
        case _:
            is_plain = value is None or (
                isinstance(value, int | float) and abs(value) <= sys.float_info.max
            )
            return value if is_plain else None
