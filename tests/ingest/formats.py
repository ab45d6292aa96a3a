"""The shapes and encodings in which a batch is sent."""

from typing import Any

import msgspec
import pytest

from tests.ingest.conftest import Rows, as_json

JSON = "application/json"
MSGPACK = "application/msgpack"


def as_rows(rows: Rows) -> dict[str, Any]:
    return {"rows": rows}


def as_columns(rows: Rows) -> dict[str, Any]:
    """Turn rows on their side; a field that one row has and another has not is null there."""
    columns: dict[str, Any] = {}
    for name in {name: None for row in rows for name in row}:
        values = [row.get(name) for row in rows]
        nested = next((value for value in values if isinstance(value, dict)), None)
        columns[name] = (
            values
            if nested is None
            else {child: [(value or {}).get(child) for value in values] for child in nested}
        )
    return {"columns": columns}


SHAPES = [pytest.param(as_rows, id="rows"), pytest.param(as_columns, id="columns")]
ENCODINGS = [
    pytest.param(JSON, as_json, id="JSON"),
    pytest.param(MSGPACK, msgspec.msgpack.encode, id="msgpack"),
    pytest.param("application/vnd.msgpack", msgspec.msgpack.encode, id="vnd.msgpack"),
    pytest.param("application/x-msgpack; v=5", msgspec.msgpack.encode, id="x-msgpack"),
]
