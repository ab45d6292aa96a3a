"""JSON and msgpack bodies: a typed decode that is fast, and a slow one that names each bad row.

A body is one row, or an object with `rows`, or one with `columns`.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from core.errors import RowFault, Unprocessable
from core.schema.names import printable
from core.schema.rows import TIME, wire_schema
from core.terms import Terms
from services.ingest.batch import Feed
from services.ingest.formats import column_bodies
from services.ingest.formats.columns import Faults, check_size, lists, times
from services.ingest.formats.encodings import JSON, Encoding
from services.ingest.formats.row_types import (
    Field,
    are_escaped,
    columns_type,
    escaped,
    fields,
    row_type,
    unescaped,
)

# Rows that are held as objects at a time. If they exceed the processor's cache,
# reading each takes three times as long.
MAX_HELD = 2048

_WHERE = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(
    r"Object (?:missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL
)


class Read(msgspec.Struct, kw_only=True):
    """The rows of one body.

    `rows` are those of the right types, or `columns` are, all `n_rows` of them;
    `positions` are their places in the body, `faults` the other rows.
    """

    batch_id: str | None
    n_rows: int
    positions: Sequence[int]
    rows: list[Any]
    columns: Any = None
    faults: list[RowFault]


class RowReader:
    """Reads the rows of one feed under one contract, in one encoding."""

    def __init__(self, feed: Feed, terms: Terms, encoding: Encoding) -> None:
        self._schema = wire_schema(feed.kind, terms.contract)
        self._fields = {field.name: field for field in fields(feed, terms)}
        self._encoding = encoding
        self._are_escaped = are_escaped(self._fields.values())
        self._row = row_type([*self._fields.values()])
        self._row_decoder = encoding.typed(self._row)
        columns = columns_type([*self._fields.values()])
        self._batch_decoder = encoding.typed(
            msgspec.defstruct(
                "BatchBody",
                [
                    ("rows", list[self._row] | msgspec.UnsetType, msgspec.UNSET),  # type: ignore[name-defined]
                    ("columns", columns | msgspec.UnsetType, msgspec.UNSET),
                    ("batch_id", str | None, None),
                ],
                kw_only=True,
                forbid_unknown_fields=True,
            )
        )

    def read(self, body: bytes, max_rows: int) -> Read:
        """Read one body.

        Raises
        ------
        Malformed
            If it is of another encoding.
        Unprocessable
            If it is neither a row nor an object with `rows` or `columns`.
        TooLarge
            If it holds more rows than one batch may.
        """
        self._encoding.refuse_bombs(body)
        if self._are_escaped:
            return self._read_row_by_row(body, max_rows)
        try:
            batch: Any = self._batch_decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            batch = None
        if batch is None or (batch.rows is msgspec.UNSET) == (batch.columns is msgspec.UNSET):
            return self._read_one(body, max_rows)
        if batch.columns is msgspec.UNSET:
            return _rows(batch.batch_id, batch.rows, range(len(batch.rows)), [])
        n_rows = column_bodies.check_lengths(batch.columns, [*self._fields.values()])
        return Read(
            batch_id=batch.batch_id,
            n_rows=n_rows,
            positions=range(n_rows),
            rows=[],
            columns=batch.columns,
            faults=[],
        )

    def _read_one(self, body: bytes, max_rows: int) -> Read:
        try:
            row = self._row_decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_row_by_row(body, max_rows)
        return _rows(None, [row], range(1), [])

    def _read_row_by_row(self, body: bytes, max_rows: int) -> Read:
        batch_id, raw = self.raw_rows(body, max_rows)
        rows, positions, faults = [], [], []
        for position, content in enumerate(raw):
            try:
                row = msgspec.convert(self._escaped(content), self._row)
                msgspec.json.encode(row)  # refuses text that is not Unicode
            except msgspec.ValidationError as error:
                field, reason = _explain(str(error), is_escaped=self._are_escaped)
                faults.append(RowFault(row=position, field=field, reason=reason))
            except UnicodeEncodeError:
                faults.append(RowFault(row=position, field="", reason="text is not Unicode"))
            else:
                rows.append(row)
                positions.append(position)
        return _rows(batch_id, rows, positions, faults)

    def _escaped(self, content: object) -> object:
        """Rename the lists of a row to the escaped names of their types."""
        if not self._are_escaped or not isinstance(content, dict):
            return content
        return {
            name: {escaped(str(child)): each for child, each in value.items()}
            if isinstance(value, dict)
            else value
            for name, value in content.items()
        }

    def raw_rows(self, body: bytes, max_rows: int) -> tuple[str | None, list[object]]:
        """Decode a body with rows of any structure: return its id and the rows."""
        content = self._encoding.untyped(body)
        if not isinstance(content, dict):
            raise Unprocessable("the body must be an object: one row, or a batch with 'rows'")
        shape = next((name for name in ("rows", "columns") if name in content), None)
        if shape is None:
            return None, [content]
        unknown = {str(name) for name in content} - {shape, "batch_id"}
        if unknown:
            raise Unprocessable(f"unknown field {printable(min(unknown))!r} beside '{shape}'")
        batch_id, rows = content.get("batch_id"), content[shape]
        if not isinstance(batch_id, str | None):
            raise Unprocessable("batch_id must be text")
        if shape == "columns":
            rows = column_bodies.rows_of(rows, [*self._fields.values()], max_rows)
        if not isinstance(rows, list):
            raise Unprocessable("rows must be a list")
        check_size(len(rows), max_rows)
        return batch_id, rows

    def table(self, reads: Sequence[Read], now: datetime, faults: Faults) -> pa.Table:
        """Convert rows, of one body or of many, to the columns of the log."""
        parts = _merged(reads)
        n_rows = sum(read.n_rows for read in reads)
        columns = []
        for column in self._schema:
            field = self._fields.get(column.name)
            if field is not None and field.children is not None:
                columns.append(_struct(parts, field, column))
                continue
            values = [None] * n_rows if field is None else _values(parts, field)
            if column.name in ("received_at", "arrived_at"):
                columns.append(times(values, column.name, faults).fill_null(now))
            elif column.type == TIME:
                columns.append(times(values, column.name, faults))
            elif field is None:
                columns.append(pa.nulls(n_rows, column.type))
            else:
                columns.append(pa.array(values, column.type))
        return pa.Table.from_arrays(columns, schema=self._schema)


class Growing:
    """A table that is built from the rows of many bodies while they are read."""

    def __init__(self, reader: RowReader, now: datetime, faults: Faults) -> None:
        self._reader = reader
        self._now = now
        self._faults = faults
        self._held: list[Read] = []
        self._n_held = 0
        self._parts: list[pa.Table] = []
        self._n_rows = 0

    def add(self, read: Read) -> None:
        """Append the rows of one more body; they are removed from `read`."""
        self._held.append(read)
        self._n_held += read.n_rows
        if self._n_held >= MAX_HELD:
            self._settle()

    def whole(self) -> pa.Table:
        """Return all rows, in one chunk per column."""
        self._settle()
        return pa.concat_tables(self._parts).combine_chunks()

    def _settle(self) -> None:
        if not self._held and self._parts:
            return
        faults = self._faults.among(self._n_rows + np.arange(self._n_held))
        self._parts.append(self._reader.table(self._held, self._now, faults))
        self._n_rows += self._n_held
        self._held, self._n_held = [], 0


@lru_cache(maxsize=256)
def reader(feed: Feed, terms: Terms, encoding: Encoding = JSON) -> RowReader:
    """Return the reader of one feed under the terms of one model."""
    return RowReader(feed, terms, encoding)


def _rows(
    batch_id: str | None, rows: list[Any], positions: Sequence[int], faults: list[RowFault]
) -> Read:
    return Read(
        batch_id=batch_id, n_rows=len(rows), positions=positions, rows=rows, faults=faults
    )


def _merged(reads: Sequence[Read]) -> list[Read]:
    """Merge the rows of many bodies, so that the fixed cost per column is paid once."""
    merged: list[Read] = []
    for read in reads:
        if merged and read.columns is None and merged[-1].columns is None:
            merged[-1].rows.extend(read.rows)
            merged[-1].n_rows += read.n_rows
        else:
            merged.append(_rows(None, [*read.rows], (), []) if read.columns is None else read)
    return merged


def _values(parts: list[Read], field: Field) -> list[Any]:
    found: list[Any] = []
    for part in parts:
        if part.columns is None:
            found += map(attrgetter(field.name), part.rows)
            continue
        column = getattr(part.columns, field.name)
        default = None if field.default is ... else field.default
        found += [default] * part.n_rows if column is None else column
    return found


def _struct(parts: list[Read], field: Field, column: pa.Field) -> pa.Array:
    made = [_lists_of(part, field) for part in parts]
    is_null = np.concatenate([nulls for nulls, _ in made])
    if is_null.all():
        return pa.nulls(len(is_null), column.type)
    return pa.StructArray.from_arrays(
        [
            lists(values, child.type, fill=child.name in field.fills)
            for values, child in zip(
                map(_joined, zip(*(children for _, children in made), strict=True)),
                column.type,
                strict=True,
            )
        ],
        fields=list(column.type),
        mask=pa.array(is_null),
    )


def _joined(some: tuple[list[Any], ...]) -> list[Any]:
    return some[0] if len(some) == 1 else [*chain.from_iterable(some)]


def _lists_of(part: Read, field: Field) -> tuple[Any, list[list[Any]]]:
    """Return which rows have no struct at all, and the values of each child."""
    assert field.children is not None
    names = [f"f{i}" for i in range(len(field.children))]
    if part.columns is None:
        structs = [*map(attrgetter(field.name), part.rows)]
        if all(structs):  # nearly always: then no value is checked
            children = [[*map(attrgetter(name), structs)] for name in names]
            return np.zeros(len(structs), np.bool_), children
        is_null = np.fromiter((each is None for each in structs), np.bool_, len(structs))
        return is_null, [
            [None if each is None else getattr(each, name) for each in structs]
            for name in names
        ]
    column = getattr(part.columns, field.name)
    if column is None:
        return np.ones(part.n_rows, np.bool_), [[None] * part.n_rows for _ in names]
    children = [_listed(getattr(column, name), part.n_rows) for name in names]
    is_null = np.zeros(part.n_rows, np.bool_)
    # Where every list is null, there is none at all.
    if field.is_nullable and all(None in child for child in children):
        is_null |= [all(one is None for one in row) for row in zip(*children, strict=True)]
    return is_null, children


def _listed(values: Any, n_rows: int) -> list[Any]:
    return values if isinstance(values, list) else [values] * n_rows  # None, or UNSET


def _explain(message: str, *, is_escaped: bool) -> tuple[str, str]:
    where = _WHERE.fullmatch(message)
    assert where is not None
    path, reason = where["path"] or "", where["reason"]
    named = _NAMED.fullmatch(reason)
    if named:
        path = f"{path}.{named['name']}" if path else named["name"]
        reason = "missing" if "missing" in reason else "unknown field"
    path = unescaped(path) if is_escaped else path
    return printable(path), printable(reason)
