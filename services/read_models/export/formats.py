"""Streaming writers of the export formats."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lake.lists import child


class Format(StrEnum):
    """What an export may be written as."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"

    @property
    def media_type(self) -> str:
        """How HTTP calls it."""
        return {
            Format.CSV: "text/csv; charset=utf-8",
            Format.PARQUET: "application/vnd.apache.parquet",
            Format.ARROW: "application/vnd.apache.arrow.stream",
        }[self]


ROWS_OF_A_GROUP = 65_536  # of Parquet: gathered before they are written


class _Sink:
    """A file that hands on what was written to it."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._size = 0

    def write(self, content: Any) -> int:
        """Take some bytes."""
        self._written.append(bytes(content))
        self._size += len(self._written[-1])
        return len(self._written[-1])

    def tell(self) -> int:
        """Return how much was written so far."""
        return self._size

    def flush(self) -> None:
        """Hold nothing back."""

    def close(self) -> None:
        """Write no more; what was written is still to be taken."""

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        content = b"".join(self._written)
        self._written.clear()
        return content


def encoded(tables: Iterable[pa.Table], columns: pa.Schema, form: Format) -> Iterator[bytes]:
    """Yield a file in pieces.

    Parameters
    ----------
    tables
        The rows, in batches.
    columns
        Their schema: a file without rows has it too.
    form
        What to write.
    """
    sink = _Sink()
    flat = flattened(columns.empty_table()).schema if form is Format.CSV else columns
    with _writer(sink, flat, form) as writer:
        yield sink.taken()
        for table in gathered(tables) if form is Format.PARQUET else tables:
            writer.write_table(flattened(table) if form is Format.CSV else table)
            yield sink.taken()
    yield sink.taken()


def _writer(sink: _Sink, columns: pa.Schema, form: Format) -> Any:
    target = pa.PythonFile(sink, mode="w")
    if form is Format.CSV:
        import pyarrow.csv

        return pyarrow.csv.CSVWriter(target, columns)
    if form is Format.PARQUET:
        import pyarrow.parquet

        return pyarrow.parquet.ParquetWriter(target, columns, compression="zstd")
    return pa.ipc.new_stream(target, columns)


def gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Put small tables together: each becomes a row group, and small ones waste space."""
    some: list[pa.Table] = []
    for table in tables:
        some.append(table)
        if sum(each.num_rows for each in some) >= ROWS_OF_A_GROUP:
            yield pa.concat_tables(some)
            some = []
    if some:
        yield pa.concat_tables(some)


def flattened(table: pa.Table) -> pa.Table:
    """Return rows of plain cells: a struct is a column for each field, a list is JSON text.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.

    Examples
    --------
    >>> rows = pa.table({"output": [{"load": [1.5, None]}], "entity": ["=1+1"]})
    >>> flattened(rows).to_pylist()
    [{'output.load': '[1.5,null]', 'entity': "'=1+1"}]
    """
    names, columns = list[str](), []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_struct(field.type):
            for each in field.type:
                names.append(f"{field.name}.{each.name}")
                columns.append(_as_json(child(column, each.name)))
        else:
            names.append(field.name)
            columns.append(_plain(column))
    return pa.table(columns, names=names)


def _as_json(lists: pa.ChunkedArray) -> pa.Array:
    return pa.array(
        [
            None if cell is None else msgspec.json.encode(cell).decode()
            for cell in lists.to_pylist()
        ],
        pa.string(),
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_string(column.type):
        return pc.replace_substring_regex(
            column, pattern=r"\A([=+\-@\t\r])", replacement=r"'\1"
        )
    return column
