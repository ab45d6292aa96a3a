"""Arrow bodies: any column order, narrow and large types, nested or flat lists."""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from core import moments
from core.errors import Malformed, Unprocessable
from core.schema.names import printable
from core.schema.rows import TIME, takes_booleans, wire_schema
from core.terms import Terms
from services.ingest.batch import Feed
from services.ingest.formats.arrow_sizes import refuse_bombs
from services.ingest.formats.columns import (
    Faults,
    check_size,
    is_list,
    is_text,
    singles,
    times,
)
from services.ingest.formats.exact_numbers import refuse_inexact
from services.ingest.formats.row_types import defaults

# Layouts that were checked, by the bytes that describe them. At most 16 MiB.
_LAYOUTS: dict[bytes, str] = {}
MAX_LAYOUTS = 1024
MAX_HEAD = 16 * 2**10
_CONTINUED = b"\xff" * 4


def read(body: bytes, max_rows: int, max_bytes: int) -> pa.Table:
    """Read an untrusted IPC stream.

    Raises
    ------
    Malformed
        If it is not a stream, ends early, or its buffers contradict each other.
    TooLarge
        If it holds more rows, or unpacks to more bytes, than allowed.
    """
    refuse_bombs(body, max_bytes)
    batches, n_rows = [], 0
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            columns = stream.schema
            layout(head_of(body), columns)
            for batch in stream:
                # Offsets are untrusted: without a check, memory outside the body would be read.
                batch.validate(full=True)
                batches.append(batch)
                n_rows += batch.num_rows
                check_size(n_rows, max_rows)
    except (pa.ArrowException, OSError, KeyError, ValueError, MemoryError):
        raise Malformed("the body is not a complete Arrow IPC stream") from None
    if len({*columns.names}) < len(columns.names):
        raise Unprocessable("two columns have the same name")
    return pa.Table.from_batches(batches, columns)


def head_of(body: bytes) -> bytes:
    """Return the beginning of a stream, in which its columns are described.

    Examples
    --------
    >>> head_of(bytes.fromhex("ffffffff 02000000 abcd 00"))[8:].hex()
    'abcd'
    """
    at = 4 if body[:4] == _CONTINUED else 0  # until Arrow 0.15 streams began with the length
    return body[: at + 4 + int.from_bytes(body[at : at + 4], "little")]


def layout(head: bytes, columns: pa.Schema) -> str:
    """Return names and types of columns as text; each layout is checked once.

    Raises
    ------
    Unprocessable
        If one has an unsupported type.
    ValueError
        If a name, at any depth, is no text.
    """
    known = _LAYOUTS.get(head)
    if known is None:
        _refuse_unsupported_types(columns)
        known = columns.to_string(show_schema_metadata=False)
        if len(_LAYOUTS) >= MAX_LAYOUTS:
            _LAYOUTS.clear()
        if len(head) <= MAX_HEAD:
            _LAYOUTS[head] = known
    return known


def _refuse_unsupported_types(columns: pa.Schema) -> None:
    """Refuse unsupported types: views of lists, unions, run ends, maps, extensions.

    Arrow's kernels support and validate them only in part. A name that is no text
    raises where it is read, and every name is read here.
    """
    for field in columns:
        name = field.name
        if not _is_needed(field.type):
            raise Unprocessable(f"{printable(name)}: no type of ours")


def _is_needed(given: pa.DataType) -> bool:
    if isinstance(given, pa.BaseExtensionType):
        return False
    kinds = pa.types
    if kinds.is_struct(given):
        return all(isinstance(child.name, str) and _is_needed(child.type) for child in given)
    if is_list(given):
        return _is_flat(given.value_type)
    if kinds.is_dictionary(given):
        return is_text(given.value_type)
    return _is_flat(given)


def _is_flat(given: pa.DataType) -> bool:
    is_other = pa.types.is_null(given) or pa.types.is_timestamp(given)
    return is_other or is_text(given) or _is_number(given)


def to_log(raw: pa.Table, feed: Feed, terms: Terms, now: datetime, faults: Faults) -> pa.Table:
    """Convert columns to the wire schema.

    Parameters
    ----------
    raw : (row,)
        As sent.
    feed, terms
        What the columns should be.
    now
        Time of receipt, for the columns that hold it.
    faults
        Collects the faults of single rows.

    Raises
    ------
    Unprocessable
        If a column is missing, unknown, or of a type that cannot be read.
    """
    columns = wire_schema(feed.kind, terms.contract)
    given = {name: raw.column(name).combine_chunks() for name in raw.column_names}
    filled = defaults(feed) | {"arrived_at": pa.scalar(now, TIME)}
    made = []
    for field in columns:
        if field.name == "received_at":
            made.append(pa.repeat(pa.scalar(now, TIME), raw.num_rows))
        elif field.name == "output" and feed is Feed.REFERENCE:
            made.append(pa.nulls(raw.num_rows, field.type))
        elif pa.types.is_struct(field.type):
            made.append(_struct(given, field, raw.num_rows, terms, faults))
        else:
            if field.name in given:
                column = _plain(given.pop(field.name), field, faults)
            else:
                column = pa.nulls(raw.num_rows, field.type)
            if column.null_count and field.name in filled:
                column = column.fill_null(filled[field.name])
            made.append(column)
    if given:
        raise Unprocessable(f"unknown column {printable(min(given))!r}")
    return pa.Table.from_arrays(made, schema=columns)


def _plain(column: pa.Array, field: pa.Field, faults: Faults) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if field.type == TIME:
        return _moments(column, field.name, faults)
    if column.type == field.type:
        return column
    if is_text(field.type) != is_text(column.type) and not pa.types.is_null(column.type):
        raise _wrong_type(field.name, field.type, column.type)
    try:
        return column.cast(field.type)
    except pa.ArrowException:
        raise _wrong_type(field.name, field.type, column.type) from None


def _moments(column: pa.Array, name: str, faults: Faults) -> pa.Array:
    given = column.type
    if pa.types.is_timestamp(given):
        if given.tz is None:
            raise Unprocessable(f"{name}: timestamp without zone")
        return moments.clipped(column).cast(TIME)
    if pa.types.is_null(given):
        return column.cast(TIME)
    if is_text(given):
        return times(column.to_pylist(), name, faults)
    raise _wrong_type(name, TIME, given)


def _struct(
    given: dict[str, pa.Array], field: pa.Field, n_rows: int, terms: Terms, faults: Faults
) -> pa.Array:
    """Return a struct column, from a struct or from flat columns `features.NAME`."""
    children, is_null = _children(given, field)
    wanted = [child.name for child in field.type]
    unknown = children.keys() - {*wanted}
    if unknown:
        raise Unprocessable(f"unknown column '{field.name}.{printable(min(unknown))}'")
    is_input = field.name == "features"
    missing = [name for name in wanted if name not in children]
    if is_input:
        missing = [name for name in missing if name not in terms.omittable]
    if missing and (is_input or (field.name == "output" and children)):
        raise Unprocessable(f"missing column '{field.name}.{missing[0]}'")
    if not children and not is_input:
        return pa.nulls(n_rows, field.type)
    with_booleans = takes_booleans(terms.contract, field.name)
    for child in field.type:
        if child.name in children and not pa.types.is_string(child.type.value_type):
            is_taken = child.name in with_booleans
            refuse_inexact(
                children[child.name], f"{field.name}.{child.name}", faults, booleans=is_taken
            )
    lists = [
        _lists(
            children[child.name],
            pa.field(f"{field.name}.{child.name}", child.type),
            fill=is_input and child.name not in terms.nullable,
        )
        if child.name in children
        else pa.nulls(n_rows, child.type)
        for child in field.type
    ]
    return pa.StructArray.from_arrays(lists, fields=list(field.type), mask=is_null)


def _children(
    given: dict[str, pa.Array], field: pa.Field
) -> tuple[dict[str, pa.Array], pa.Array | None]:
    prefix = f"{field.name}."
    flat = [name for name in given if name.startswith(prefix)]
    if field.name not in given:
        return {name.removeprefix(prefix): given.pop(name) for name in flat}, None
    nested = given.pop(field.name)
    if pa.types.is_null(nested.type):
        return {}, None
    if not pa.types.is_struct(nested.type) or flat:
        raise _wrong_type(field.name, field.type, nested.type)
    names = [child.name for child in nested.type]
    is_null = nested.is_null() if nested.null_count else None
    return dict(zip(names, nested.flatten(), strict=True)), is_null


def _lists(column: pa.Array, field: pa.Field, *, fill: bool) -> pa.Array:
    item = field.type.value_type
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        column = column.cast(item)
    try:
        if _is_like(column.type, item):
            is_there = column.is_valid()
            column = singles(column.cast(item, safe=False))
            if not fill and is_there.false_count:
                column = pc.if_else(is_there, column, pa.scalar(None, field.type))
        elif column.type != field.type:
            given = getattr(column.type, "value_type", None)
            if given is None or not (pa.types.is_null(given) or _is_like(given, item)):
                raise _wrong_type(field.name, field.type, column.type)
            column = column.cast(field.type, safe=False)
    except pa.ArrowException:
        raise _wrong_type(field.name, field.type, column.type) from None
    if fill and column.null_count:
        rows = [[None] if row is None else row for row in column.to_pylist()]
        return pa.array(rows, field.type)
    return column


def _is_like(given: pa.DataType, item: pa.DataType) -> bool:
    if pa.types.is_dictionary(given):
        given = given.value_type
    return is_text(given) if pa.types.is_string(item) else _is_number(given)


def _is_number(given: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_floating(given)
        or kinds.is_integer(given)
        or kinds.is_decimal(given)
        or kinds.is_boolean(given)  # refused row by row where the contract does not take them
    )


def _wrong_type(name: str, wanted: pa.DataType, given: pa.DataType) -> Unprocessable:
    return Unprocessable(f"{name}: expected {wanted}, got {printable(str(given))}")
