"""JSON bodies: a typed decode that is fast, and a slow one that names each bad row."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from core.contract import Contract
from core.errors import Malformed, RowFault, Unprocessable
from core.rows import REFERENCE, TIME, Status, schema
from services.ingest.batch import Feed
from services.ingest.columns import Faults, lists, printable, times

NUMBER_OR_LIST = float | list[float | None] | None
INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_WHERE = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(
    r"Object (?:missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL
)
# What a row may leave out although the log always has it.
_DEFAULTS = {"status": Status.OK.value, "shadow": False, "arrived_at": None}


class JsonRows(msgspec.Struct, kw_only=True):
    """The rows of one body.

    `rows` are those of the right types, `positions` their places in the body;
    `faults` are the others.
    """

    batch_id: str | None
    rows: list[Any]
    positions: Sequence[int]
    faults: list[RowFault]


class RowReader:
    """Reads the rows of one feed under one contract."""

    def __init__(self, feed: Feed, contract: Contract) -> None:
        self._schema = schema(feed.kind, contract)
        self._row = _row_type(feed, self._schema)
        self._row_decoder = msgspec.json.Decoder(self._row)
        self._batch_decoder = msgspec.json.Decoder(
            msgspec.defstruct(
                "BatchBody",
                [("rows", list[self._row]), ("batch_id", str | None, None)],  # type: ignore[name-defined]
                kw_only=True,
                forbid_unknown_fields=True,
            )
        )

    def read(self, body: bytes) -> JsonRows:
        """Read one body.

        Raises
        ------
        Malformed
            If it is not JSON at all.
        Unprocessable
            If it is neither a row nor an object with `rows`.
        """
        try:
            batch: Any = self._batch_decoder.decode(body)
        except msgspec.DecodeError:
            pass
        else:
            return _rows(batch.batch_id, batch.rows, range(len(batch.rows)), [])
        try:
            return _rows(None, [self._row_decoder.decode(body)], range(1), [])
        except msgspec.DecodeError:
            return self._read_row_by_row(body)

    def _read_row_by_row(self, body: bytes) -> JsonRows:
        batch_id, raw = raw_rows(body)
        rows, positions, faults = [], [], []
        for position, content in enumerate(raw):
            try:
                row = msgspec.convert(content, self._row)
                msgspec.json.encode(row)  # refuses text that is not Unicode
            except msgspec.ValidationError as error:
                field, reason = _explain(str(error))
                faults.append(RowFault(row=position, field=field, reason=reason))
            except UnicodeEncodeError:
                faults.append(RowFault(row=position, field="", reason="text is not Unicode"))
            else:
                rows.append(row)
                positions.append(position)
        return _rows(batch_id, rows, positions, faults)

    def table(self, rows: Sequence[Any], now: datetime, faults: Faults) -> pa.Table:
        """Turn rows, of one body or of many, into the columns of the log."""
        sent = {*self._row.__struct_fields__}
        absent = [None] * len(rows)
        columns = []
        for field in self._schema:
            values = [*map(attrgetter(field.name), rows)] if field.name in sent else absent
            if field.name in ("received_at", "arrived_at"):
                columns.append(times(values, field.name, faults).fill_null(now))
            elif field.type == TIME:
                columns.append(times(values, field.name, faults))
            elif pa.types.is_struct(field.type):
                columns.append(_struct(values, field))
            else:
                columns.append(pa.array(values, field.type))
        return pa.Table.from_arrays(columns, schema=self._schema)


@lru_cache(maxsize=256)
def reader(feed: Feed, contract: Contract) -> RowReader:
    """Return the reader of one feed under one contract."""
    return RowReader(feed, contract)


def raw_rows(body: bytes) -> tuple[str | None, list[object]]:
    """Read a body without expecting anything of its rows: its id, and the rows.

    NaN and Infinity are read, though JSON has no such numbers: Python's own
    encoder writes them, and the row that carries one should be named.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON") from None
    if not isinstance(content, dict):
        raise Unprocessable("the body must be an object: one row, or a batch with 'rows'")
    if "rows" not in content:
        return None, [content]
    unknown = content.keys() - {"rows", "batch_id"}
    if unknown:
        raise Unprocessable(f"unknown field {printable(min(unknown))!r} beside 'rows'")
    batch_id, rows = content.get("batch_id"), content["rows"]
    if not isinstance(batch_id, str | None):
        raise Unprocessable("batch_id must be text")
    if not isinstance(rows, list):
        raise Unprocessable("rows must be a list")
    return batch_id, rows


def _rows(
    batch_id: str | None, rows: list[Any], positions: Sequence[int], faults: list[RowFault]
) -> JsonRows:
    return JsonRows(batch_id=batch_id, rows=rows, positions=positions, faults=faults)


def _explain(message: str) -> tuple[str, str]:
    where = _WHERE.fullmatch(message)
    assert where is not None
    path, reason = where["path"] or "", where["reason"]
    named = _NAMED.fullmatch(reason)
    if named:
        path = f"{path}.{named['name']}" if path else named["name"]
        reason = "missing" if "missing" in reason else "unknown field"
    return printable(path), printable(reason)


def _row_type(feed: Feed, columns: pa.Schema) -> type[msgspec.Struct]:
    defaults = dict(_DEFAULTS)
    if feed is Feed.REFERENCE:
        defaults["version"] = REFERENCE
    fields: list[Any] = []
    for field in columns:
        if field.name == "received_at" or (feed is Feed.REFERENCE and field.name == "output"):
            continue
        kind = _type_of(field)
        if field.nullable or defaults.get(field.name, ...) is None:
            fields.append((field.name, kind | None, None))
        elif field.name in defaults:
            fields.append((field.name, kind, defaults[field.name]))
        else:
            fields.append((field.name, kind))
    return _struct_type("Row", fields, {})


def _type_of(field: pa.Field) -> Any:
    if pa.types.is_struct(field.type):
        # A name in the contract may be any text, also one that Python has not.
        names = {f"f{i}": child.name for i, child in enumerate(field.type)}
        # Labels may be partial; a model's input and output may not.
        default = (None,) if field.name == "actual" else ()
        return _struct_type(
            "Lists", [(name, NUMBER_OR_LIST, *default) for name in names], names
        )
    if pa.types.is_int64(field.type):
        return INT64
    if pa.types.is_boolean(field.type):
        return bool
    if pa.types.is_float64(field.type):
        return float
    return str


def _struct_type(name: str, fields: list[Any], rename: dict[str, str]) -> type[msgspec.Struct]:
    # gc=False: rows hold no cycles, and a hundred thousand of them would
    # otherwise wake the collector again and again.
    return msgspec.defstruct(
        name, fields, rename=rename, kw_only=True, forbid_unknown_fields=True, gc=False
    )


def _struct(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if not any(values):
        return pa.nulls(len(values), field.type)
    is_null = np.fromiter((value is None for value in values), np.bool_, len(values))
    return pa.StructArray.from_arrays(
        [
            lists(
                [None if value is None else getattr(value, f"f{i}") for value in values],
                fill=field.name == "features",
            )
            for i in range(field.type.num_fields)
        ],
        fields=list(field.type),
        mask=pa.array(is_null),
    )
